"""What the outbox reports later, as the parsers of Python read it."""

import email
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from cdp_platform.campaigns import bounces
from cdp_platform.ops import signatures
from cdp_platform_tests.sandbox.outbox.conftest import Sender
from cdp_platform_tests.sandbox_process import OUTBOX_SECRET
from cdp_sandbox.outbox.reports import signature

Reported = Callable[[], tuple[str, dict[str, str], bytes]]


def later(method: str, how: str, **options: object) -> dict[str, object]:
    return {"match": {"method": method}, "action": "distort", "how": how, **options}


def test_a_bounce_is_a_delivery_status_notification_with_the_code_and_the_key(sender: Sender, reported: Reported):
    sender.sandbox.spoil(later("MESSAGE", "bounce", status=550, body="5.2.1 Mailbox disabled", seconds=0.3))
    began = time.monotonic()
    sender.mail(key="e7a1")
    path, headers, body = reported()
    assert time.monotonic() - began >= 0.3
    assert path == "/dsn?channel=email"
    assert headers["content-type"] == "message/rfc822"
    report: Any = email.message_from_bytes(body)
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    _, status, returned = report.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    of_all, of_one = status.get_payload()
    assert of_all["Reporting-MTA"]
    assert (of_one["Action"], of_one["Status"]) == ("failed", "5.2.1")
    assert of_one["Final-Recipient"] == "rfc822; an@example.com"
    assert "Message-ID: <e7a1@shop.invalid>" in returned.get_payload()
    assert [message["accepted"] for message in sender.messages()] == [True]


def test_a_complaint_is_a_feedback_report_with_the_key(sender: Sender, reported: Reported):
    sender.sandbox.spoil(later("MESSAGE", "complaint"))
    sender.mail(key="e7a1")
    path, _, body = reported()
    assert path == "/dsn?channel=email"
    report: Any = email.message_from_bytes(body)
    assert report.get_param("report-type") == "feedback-report"
    _, feedback, returned = report.get_payload()
    assert feedback.get_content_type() == "message/feedback-report"
    assert "Feedback-Type: abuse" in feedback.as_string()
    assert "Message-ID: <e7a1@shop.invalid>" in returned.get_payload()


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [("bounce", "bounced", "5.1.1"), ("complaint", "complained", "2.0.0"), ("delivered", "delivered", "2.0.0")],
)
def test_a_webhook_reports_an_outcome_by_its_key(sender: Sender, reported: Reported, how: str, kind: str, code: str):
    sender.sandbox.spoil(later("POST", how))
    assert sender.post("k1").status_code == 200
    path, _, body = reported()
    assert path == "/outcomes/sms"
    (outcome,) = orjson.loads(body)
    assert (outcome["key"], outcome["kind"], outcome["code"]) == ("k1", kind, code)
    assert "+84" not in body.decode()


def test_reports_are_signed(sender: Sender, reported: Reported):
    sender.sandbox.spoil(later("POST", "bounce"))
    sender.post("k1")
    _, headers, body = reported()
    stamp = headers["x-cdp-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    assert headers["x-cdp-signature"] == signature(OUTBOX_SECRET, stamp, body)


def test_what_was_answered_from_memory_is_not_reported_again(sender: Sender, reported: Reported, web_app):
    sender.sandbox.spoil(later("POST", "bounce", times=None))
    sender.post("k1")
    reported()
    assert sender.post("k1").headers["idempotent-replayed"] == "true"
    sender.post("k2")
    web_app.wait(2)
    assert [orjson.loads(body)[0]["key"] for _, _, body in web_app.posted] == ["k1", "k2"]


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [("bounce", "bounced", "5.1.1"), ("complaint", "complained", ""), ("delivered", "delivered", "")],
)
def test_the_platform_understands_and_believes_what_is_reported_of_mail(
    sender: Sender, reported: Reported, how: str, kind: str, code: str
):
    key = "0123456789abcdef0123456789abcdef01234567"
    sender.sandbox.spoil(later("MESSAGE", how))
    sender.mail(key=key)
    _, headers, body = reported()
    given = (headers["x-cdp-timestamp"], headers["x-cdp-signature"])
    assert signatures.is_signed(OUTBOX_SECRET, *given, body)
    (report,) = bounces.from_message(body)
    assert (report.key, report.kind, report.code) == (key, kind, code)
