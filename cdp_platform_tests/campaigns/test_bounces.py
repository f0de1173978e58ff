"""Bounces and complaints, in the shapes in which mail systems write them, say which message they are about."""

import base64
import re
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from cdp_platform.campaigns import bounces
from cdp_platform.campaigns.reports import Report
from cdp_platform.errors import QueryError

KEY = "0123456789abcdef" * 2 + "01234567"
RETURNED = f"From: shop@example.com\nMessage-ID: <{KEY}@example.com>\nSubject: Hello"
RECIPIENT = "Final-Recipient: rfc822; someone@example.org\nAction: failed\nStatus: 5.1.1"


def bounce(
    *recipients: str,
    returned: str = RETURNED,
    returned_as: str = "text/rfc822-headers",
    message: str = "Reporting-MTA: dns; mx.example.org",
    encoding: str = "7bit",
) -> bytes:
    """A bounce with these groups of fields."""
    status = "\n\n".join(filter(None, (message, *(recipients or (RECIPIENT,)))))
    if encoding == "base64":
        returned = base64.encodebytes(returned.encode()).decode()
    return f"""\
From: Mail Delivery System <MAILER-DAEMON@mx.example.org>
Date: Mon, 01 Jun 2026 15:00:00 +0700
Message-ID: <report-1@mx.example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

--=_b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.

--=_b
Content-Type: message/delivery-status

{status}

--=_b
Content-Type: {returned_as}
Content-Transfer-Encoding: {encoding}

{returned}

--=_b--
""".encode()


def complaint(fields: str = "Feedback-Type: abuse\nVersion: 1", returned: str = RETURNED) -> bytes:
    return f"""\
From: fbl@isp.example
Message-ID: <report-2@isp.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="=_c"

--=_c
Content-Type: text/plain

This is an email abuse report.

--=_c
Content-Type: message/feedback-report

{fields}

--=_c
Content-Type: message/rfc822

{returned}

Body.
--=_c--
""".encode()


def only(raw: bytes) -> Report:
    (report,) = bounces.from_message(raw)
    return report


def test_a_bounce_says_which_message_bounced_when_and_why():
    report = only(bounce())
    assert (report.key, report.kind, report.code) == (KEY, "bounced", "5.1.1")
    assert report.happened_at == datetime(2026, 6, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("Action: failed\nStatus: 5.0.0 (permanent failure)\nDiagnostic-Code: smtp; 550 5.1.1 no such user", "5.1.1"),
        ("Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 user unknown", "5.0.0"),
        ("Action: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 5.1.1 odd", "5.7.1"),
        ("Action: Failed \nStatus:  5.1.10", "5.1.10"),
        ("Action: failed\nDiagnostic-Code: smtp;\n 550-5.2.1 The account\n 550 is disabled", "5.2.1"),
        ("Action: failed", ""),
        ("Action: expired\nStatus:", ""),
        ("Status: 5.3.0", "5.3.0"),
        ("Action: failed\nStatus: 4.4.7", "4.4.7"),
    ],
)
def test_the_code_is_the_one_that_says_most(recipient: str, code: str):
    report = only(bounce(recipient))
    assert (report.kind, report.code) == ("bounced", code)


def test_a_delay_reports_nothing_and_a_delivery_that_it_arrived():
    assert bounces.from_message(bounce("Action: delayed\nStatus: 4.4.1")) == []
    assert only(bounce("Action: delivered\nStatus: 2.0.0")).kind == "delivered"
    assert only(bounce("Action: delivered\nStatus: 2.0.0", "Action: failed\nStatus: 5.1.1")).kind == "bounced"


@pytest.mark.parametrize(
    "raw",
    [
        bounce(returned_as="message/rfc822", returned=f"{RETURNED}\n\nBody."),
        bounce(returned_as="text/plain"),
        bounce(returned_as="text/rfc822-header"),
        bounce(encoding="base64"),
        bounce(returned=RETURNED.replace("Message-ID: ", "message-id:\n ")),
        bounce(returned=f"Message-Id: {KEY}@example.com"),
        bounce(returned="", message=f"Reporting-MTA: dns; mx\nX-Original-Message-ID: <{KEY}@example.com>"),
        bounce().replace(b"Auto-Submitted", f"In-Reply-To: <{KEY}@example.com>\nAuto-Submitted".encode(), 1),
        bounce().replace(b"\n", b"\r\n"),
        bounce(message=""),
        bounce(f"Reporting-MTA: dns; mx\n{RECIPIENT}", message=""),
        bounce(returned=f"Message-ID: <another@example.com>\nX: 1\n\nMessage-ID: <{KEY}@example.com>"),
    ],
)
def test_the_message_is_found_wherever_a_system_names_it(raw: bytes):
    report = only(raw)
    assert (report.key, report.kind, report.code) == (KEY, "bounced", "5.1.1")


@pytest.mark.parametrize("raw", [bounce(), complaint(), bounce(encoding="base64")])
def test_a_report_whose_own_number_looks_like_a_key_is_about_the_message_that_it_returns(raw: bytes):
    own = re.sub(rb"<report-\d@", b"<" + b"ab" * 20 + b"@", raw)
    assert own != raw
    assert only(own).key == KEY


def test_a_report_inside_another_message_is_read():
    outer = b'From: list@example.com\nContent-Type: multipart/mixed; boundary="=_o"\n\n--=_o\n%b\n--=_o--\n'
    _, _, inner = bounce().partition(b"MIME-Version: 1.0\n")
    assert only(outer % inner).key == KEY


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        ("abuse", "complained"),
        ("Abuse ", "complained"),
        ("fraud", "complained"),
        ("other", "complained"),
        ("opt-out", "opted_out"),
        ("not-spam", None),
        ("auth-failure", None),
        ("something-new", None),
    ],
)
def test_a_complaint_is_what_a_person_said_and_no_other_feedback(feedback: str, kind: str | None):
    found = bounces.from_message(complaint(f"Feedback-Type: {feedback}\nVersion: 1"))
    assert [(report.key, report.kind) for report in found] == ([(KEY, kind)] if kind else [])


def test_a_complaint_that_returns_no_headers_names_the_message_itself():
    raw = complaint(f"Feedback-Type: abuse\nOriginal-Message-ID: <{KEY}@example.com>", returned="Subject: redacted")
    assert only(raw).key == KEY


def test_a_mail_to_the_address_that_takes_opt_outs_is_one():
    report = only(f"From: someone@example.org\nMessage-ID: <1@x>\nSubject: unsubscribe {KEY}\n\n".encode())
    assert (report.key, report.kind) == (KEY, "opted_out")


def test_the_same_report_has_the_same_id_and_another_one_another():
    again = bounce().replace(b"\n\n--", b"\n\nReceived later\n--")
    assert only(bounce()).report_id == only(again).report_id
    assert only(bounce()).report_id != only(bounce().replace(b"report-1", b"report-3")).report_id
    unnamed = bounce().replace(b"Message-ID: <report-1@mx.example.org>\n", b"")
    assert only(unnamed).report_id != only(unnamed.replace(b"15:00", b"16:00")).report_id


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\0\0",
        b"Subject: Out of office\nIn-Reply-To: <%b@example.com>\n\nI am away." % KEY.encode(),
        b"Subject: Re: unsubscribe %b\n\nNo." % KEY.encode(),
        b"Content-Type: multipart/report; report-type=delivery-status\n\nno boundary",
        complaint("Version: 1"),
    ],
)
def test_what_is_no_report_is_refused(raw: bytes):
    with pytest.raises(QueryError, match="no bounce"):
        bounces.from_message(raw)


@pytest.mark.parametrize("raw", [bounce(returned="Subject: Hello"), bounce(returned="Message-ID: <a.b.c@example.com>")])
def test_a_report_about_a_message_that_is_not_ours_is_refused(raw: bytes):
    with pytest.raises(QueryError, match="which message"):
        bounces.from_message(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(18_000)),
        b"Content-Type: message/rfc822\n\n" * 30_000,
        bounce("\n\n" * 400_000),
        bounce("A: b\n\n" * 150_000),
        bounce(returned="Message-ID: <" + "0" * 900_000),
        b"Subject: unsubscribe " + b" " * 900_000 + b"\n\n",
        b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n" * 60_000,
    ],
)
def test_a_message_that_was_made_to_take_long_does_not(raw: bytes):
    assert len(raw) < 1 << 20
    began = time.process_time()
    with suppress(QueryError):
        bounces.from_message(raw)
    assert time.process_time() - began < 3
