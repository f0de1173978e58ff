"""Reports of providers are taken when they are signed and fresh, each once, and a bad one costs no other."""

import time
from datetime import UTC, datetime

import orjson
import pytest

from cdp_platform import settings
from cdp_platform.ops import rejected, signatures
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.campaigns.test_bounces import KEY, bounce, complaint
from cdp_platform_tests.web.conftest import SECRET, Web
from cdp_platform_tests.web.test_recipients import messages, state


def item(key: str, kind: str = "delivered", **fields: object) -> dict[str, object]:
    return {"id": f"{key} {kind}", "key": key, "kind": kind, "at": datetime.now(UTC).isoformat(), **fields}


def body(*items: object) -> bytes:
    return orjson.dumps(list(items))


def held(sender: Sender) -> list[tuple]:
    return sender.rows("SELECT kind, status_code FROM campaigns.delivery_outcome ORDER BY 1")


def test_signed_reports_are_taken_each_once(sender: Sender, web: Web):
    (_, _, key, _), (_, _, other, _) = messages(sender, 2)
    reported = body(item(key), item(other, "complained"))
    answer = web.report("email", reported)
    assert (answer.status_code, answer.json()) == (200, {"taken": 2, "known": 0, "unknown": 0, "unreadable": []})
    assert web.report("email", reported).json() == {"taken": 0, "known": 2, "unknown": 0, "unreadable": []}
    assert held(sender) == [("complained", None), ("delivered", None)]
    assert state(sender)[1] == [("email", "complaint")]
    assert [entry.reason for entry in web.journal.read()[0]] == ["complaint"]


def test_a_channel_may_be_named_by_its_alias(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    assert web.report("E-Mail", body(item(key))).json()["taken"] == 1


def test_reports_that_are_forged_replayed_or_foreign_are_refused(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    good = body(item(key, "complained"))
    old = int(time.time()) - 400
    stale = {"X-CDP-Timestamp": str(old), "X-CDP-Signature": signatures.signature(SECRET, old, good)}
    refused = [
        web.report("email", good, secret="not the secret"),
        web.report("email", good, **stale),
        web.report("email", good, **{"X-CDP-Signature": ""}),
        web.report("email", good, **{"X-CDP-Timestamp": "soon"}),
        web.client.post("/outcomes/email", content=good),
        # Signed with the secret of another channel, of a channel without one, of none that there is.
        web.report("sms", good),
        web.report("zalo", good, secret=""),
        web.report("nowhere", good),
        web.client.post("/outcomes/email", content=good + b" ", headers=signatures.headers(SECRET, good)),
    ]
    assert {(answer.status_code, answer.text) for answer in refused} == {(401, refused[0].text)}
    assert held(sender) == []
    assert state(sender)[1] == []


def test_a_provider_of_one_channel_says_nothing_about_another(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    answer = web.report("sms", body(item(key, "complained")), secret="another secret")
    assert answer.json()["unknown"] == 1
    assert held(sender) == []


def test_a_report_of_an_unknown_key_is_kept_as_a_rejected_record(sender: Sender, web: Web):
    strange = item("0" * 40, "bounced", code="5.1.1")
    assert web.report("email", body(strange, strange)).json()["unknown"] == 2
    with tenant_transaction(sender.connection, sender.tenant_id):
        (record,) = rejected.waiting(sender.connection, sender.tenant_id)
    assert (record.source, record.code, record.path) == ("delivery_outcome", "unknown_key", "$.key")
    assert record.document["key"] == "0" * 40


def test_of_several_tenants_the_default_one_keeps_what_nobody_knows(new_sender, web: Web, monkeypatch):
    one, two = new_sender("one"), new_sender("two")

    def kept() -> list[int]:
        counts = []
        for each in (one, two):
            with tenant_transaction(each.connection, each.tenant_id):
                counts.append(rejected.count_waiting(each.connection, each.tenant_id, "delivery_outcome"))
        return counts

    web.report("email", body(item("0" * 40)))
    assert kept() == [0, 0]
    monkeypatch.setenv("DEFAULT_TENANT_ID", "two")
    settings.forget()
    web.report("email", body(item("0" * 40)))
    assert kept() == [0, 1]


def test_a_bad_item_costs_no_other_one_and_is_named(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    answer = web.report("email", body(item(key, "opened"), item(key), "x"))
    assert answer.json()["taken"] == 1
    assert [each["place"] for each in answer.json()["unreadable"]] == [0, 2]


@pytest.mark.parametrize(("sent", "status"), [(b"", 400), (b"{}", 400), (b"[" * 1000, 400), (b"x" * (2 << 20), 413)])
def test_a_body_that_is_no_list_or_too_large_is_refused(web: Web, sent: bytes, status: int):
    answer = web.report("email", sent)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def dsn(web: Web, raw: bytes, *, channel: str = "email", secret: str = SECRET):
    return web.client.post(f"/dsn?channel={channel}", content=raw, headers=signatures.headers(secret, raw))


@pytest.mark.parametrize(
    ("raw", "kind", "reasons"),
    [
        (bounce(), "bounced", [("email", "hard_bounce")]),
        (bounce("Action: failed\nStatus: 5.7.1"), "bounced", []),
        (bounce("Action: failed\nStatus: 4.4.7"), "bounced", []),
        (complaint(), "complained", [("email", "complaint")]),
        (f"Subject: unsubscribe {KEY}\nMessage-ID: <a@b>\n\n".encode(), "opted_out", [("email", "opt_out")]),
    ],
    ids=["hard", "about us", "soft", "complaint", "mailto"],
)
def test_what_a_mail_system_sends_back_is_taken_as_it_came(
    sender: Sender, web: Web, raw: bytes, kind: str, reasons: list
):
    ((_, _, key, _),) = messages(sender)
    raw = raw.replace(KEY.encode(), key.encode())
    assert dsn(web, raw).json()["taken"] == 1
    assert dsn(web, raw).json() == {"taken": 0, "known": 1, "unknown": 0, "unreadable": []}
    assert [each[0] for each in held(sender)] == [kind]
    assert state(sender)[1] == reasons


def test_a_mail_that_is_no_report_or_not_signed_is_refused(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    raw = bounce().replace(KEY.encode(), key.encode())
    assert dsn(web, b"Subject: Out of office\n\nI am away.").status_code == 422
    assert dsn(web, raw, secret="another secret").status_code == 401
    assert dsn(web, raw, channel="").status_code == 401
    assert web.client.post("/dsn", content=raw).status_code == 401
    assert held(sender) == []


def test_a_delay_is_taken_and_changes_nothing(sender: Sender, web: Web):
    ((_, _, key, _),) = messages(sender)
    raw = bounce("Action: delayed\nStatus: 4.4.1").replace(KEY.encode(), key.encode())
    assert dsn(web, raw).json() == {"taken": 0, "known": 0, "unknown": 0, "unreadable": []}
    assert held(sender) == []
