"""Who may have a message: the rules that audience and dispatch share."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import sql

from cdp_platform.campaigns import permission
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

_EMAIL: Any = SimpleNamespace(name="email", to="email")
_SMS: Any = SimpleNamespace(name="sms-vn", to="phone")
_ZALO: Any = SimpleNamespace(name="zalo", to="phone")
_MESSAGE = "SELECT profile_id, reason, is_capped FROM permission ORDER BY 1"


def _decided(sender: Sender, channel: Any = _EMAIL, *, event_type: str = "message", **own: Any) -> dict[str, str]:
    """What the rules say of everybody: the reason, ``capped``, or ``may``."""
    tenant = replace(sender.tenant, stored_settings=sender.tenant.stored_settings | own)
    query = sql.SQL(
        "WITH people AS MATERIALIZED (SELECT profile_id FROM customers.cdp_profiles WHERE tenant_id = %(tenant)s), "
    )
    query += permission.rules(channel) + sql.SQL(_MESSAGE)
    with tenant_transaction(sender.connection, sender.tenant_id):
        sender.connection.execute("SELECT ops.salt_of(%s)", [sender.tenant_id])
        rows = sender.connection.execute(query, permission.parameters(tenant, channel, event_type, datetime.now(UTC)))
        return {profile_id: reason or ("capped" if capped else "may") for profile_id, reason, capped in rows}


def _suppress(sender: Sender, address: str, channel: str = "email") -> None:
    sender.rows(
        "INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason)"
        " SELECT %s, %s, ops.address_hash(ops.salt_of(%s), %s), 'manual'",
        [sender.tenant_id, channel, sender.tenant_id, address],
    )


def test_without_a_consent_that_was_given_there_is_no_message(sender: Sender) -> None:
    for state in ("unknown", "requested", "given", "refused", "withdrawn"):
        sender.people(1, prefix=state, consent=None)
        sender.consent([f"{state}0000"], state)
    sender.people(1, prefix="silent", consent=None)
    decided = _decided(sender)
    assert decided.pop("given0000") == "may"
    assert len(decided) == 5
    assert set(decided.values()) == {"no_consent"}


def test_consent_for_one_channel_is_none_for_another(sender: Sender) -> None:
    sender.people(1, primary_phone="+84901234567", consent="sms-vn")
    assert _decided(sender, _SMS) == {"p0000": "may"}
    assert _decided(sender, _EMAIL) == _decided(sender, _ZALO) == {"p0000": "no_consent"}


@pytest.mark.parametrize(("channel", "column"), [(_EMAIL, "receive_email"), (_SMS, "receive_sms")])
def test_the_consent_of_the_cdp_counts_only_where_the_tenant_trusts_it(
    sender: Sender, channel: Any, column: str
) -> None:
    for number, (name, value) in enumerate((("yes", True), ("nothing", None), ("no", False))):
        sender.people(1, prefix=name, consent=None, primary_phone=f"+8490123456{number}", **{column: value})
    assert set(_decided(sender, channel).values()) == {"no_consent"}
    assert _decided(sender, channel, trust_cdp_consent=True) == {
        "yes0000": "may",
        "nothing0000": "no_consent",
        "no0000": "no_consent",
    }


def test_what_the_cdp_refuses_is_refused_though_a_consent_was_given(sender: Sender) -> None:
    sender.people(1, receive_email=False)
    assert _decided(sender, trust_cdp_consent=True) == {"p0000": "no_consent"}


def test_the_cdp_says_nothing_of_a_channel_that_it_does_not_have(sender: Sender) -> None:
    sender.people(1, primary_phone="+84901234567", receive_sms=True, consent=None)
    assert _decided(sender, _ZALO, trust_cdp_consent=True) == {"p0000": "no_consent"}


@pytest.mark.parametrize("refusal", ["refused", "withdrawn", "cdp", "closed"])
def test_a_refusal_of_another_profile_with_the_address_wins(sender: Sender, refusal: str) -> None:
    sender.people(2)
    sender.profiles(
        {
            "profile_id": "other",
            "primary_email": "p0000@example.org",
            "receive_email": False if refusal == "cdp" else None,
            "closed_at": "2026-01-01" if refusal == "closed" else None,
            "closed_reason": "inactive" if refusal == "closed" else None,
        }
    )
    if refusal != "cdp":
        sender.consent(["other"], "refused" if refusal == "closed" else refusal)
    decided = _decided(sender)
    assert (decided["p0000"], decided["p0001"]) == ("no_consent", "may")


def test_a_profile_that_was_merged_into_another_is_the_same_person(sender: Sender) -> None:
    merged = {"closed_at": "2026-01-01", "closed_reason": "merged"}
    sender.people(2, prefix="root", consent=None)
    sender.people(1, prefix="agreed", root_profile_id="root0000", **merged)
    sender.people(1, prefix="refused", root_profile_id="root0001", consent=None, **merged)
    sender.consent(["root0001"])
    sender.consent(["refused0000"], "withdrawn")
    assert _decided(sender) == {
        "root0000": "may",
        "root0001": "no_consent",
        "agreed0000": "closed",
        "refused0000": "closed",
    }


def test_the_first_reason_that_applies_is_told(sender: Sender) -> None:
    closed = {"closed_at": "2026-01-01", "closed_reason": "inactive"}
    sender.people(1, prefix="closed", primary_email=None, consent=None, **closed)
    sender.people(1, prefix="mute", primary_email=None, consent=None)
    sender.people(1, prefix="silent", consent=None)
    sender.people(1, prefix="suppressed")
    for name in ("silent", "suppressed"):
        _suppress(sender, f"{name}0000@example.org")
    assert _decided(sender) == {
        "closed0000": "closed",
        "mute0000": "no_address",
        "silent0000": "no_consent",
        "suppressed0000": "suppressed",
    }


def test_an_address_is_suppressed_in_one_channel_or_in_all(sender: Sender) -> None:
    sender.people(3)
    for number, channel in enumerate(("email", "*", "sms-vn")):
        _suppress(sender, f"p000{number}@example.org", channel)
    assert _decided(sender) == {"p0000": "suppressed", "p0001": "suppressed", "p0002": "may"}


def _sent(sender: Sender, number: int, ids: list[str], *, hours_ago: float = 1, **event: Any) -> None:
    for place in range(number):
        event_id = sender.event(f"{ids[0]}-{hours_ago}-{event.get('channel', 'email')}-{place}", **event)
        to = "email" if event.get("channel", "email") == "email" else "phone"
        sender.reserve(ids, event_id, to=to)
        sender.rows(
            "UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = %s"
            " WHERE tenant_id = %s AND event_id = %s",
            [datetime.now(UTC) - timedelta(hours=hours_ago), sender.tenant_id, event_id],
        )


def test_a_person_gets_as_many_messages_as_the_cap_allows_in_its_hours(sender: Sender) -> None:
    sender.people(2)
    _sent(sender, 3, ["p0000"])
    _sent(sender, 2, ["p0001"])
    _sent(sender, 2, ["p0001"], hours_ago=25)
    assert _decided(sender) == {"p0000": "capped", "p0001": "may"}
    assert _decided(sender, cap_hours=48) == {"p0000": "capped", "p0001": "capped"}
    assert _decided(sender, cap_messages=4) == {"p0000": "may", "p0001": "may"}


def test_a_cap_holds_over_all_channels_and_a_smaller_one_through_its_own(sender: Sender) -> None:
    sender.people(1, primary_phone="+84901234567")
    sender.consent(["p0000"], channel="sms-vn")
    _sent(sender, 2, ["p0000"], channel="sms-vn")
    assert _decided(sender) == _decided(sender, _SMS) == {"p0000": "may"}
    assert _decided(sender, _SMS, cap_by_channel={"sms-vn": 2}) == {"p0000": "capped"}
    assert _decided(sender, cap_by_channel={"sms-vn": 2}) == {"p0000": "may"}
    _sent(sender, 1, ["p0000"])
    assert _decided(sender) == _decided(sender, _SMS) == {"p0000": "capped"}


def test_a_cap_counts_what_the_address_got_under_another_profile(sender: Sender) -> None:
    sender.people(1)
    sender.profiles({"profile_id": "other", "primary_email": "p0000@example.org"})
    sender.consent(["other"])
    _sent(sender, 3, ["other"])
    assert _decided(sender) == {"p0000": "capped", "other": "capped"}


def test_messages_that_failed_or_wait_count_for_no_cap(sender: Sender) -> None:
    sender.people(1)
    _sent(sender, 3, ["p0000"])
    sender.rows("UPDATE campaigns.delivery_log SET state = 'failed' WHERE tenant_id = 'acme'")
    for number in range(3):
        sender.reserve(["p0000"], sender.event(f"waits-{number}"))
    assert _decided(sender) == {"p0000": "may"}


def test_a_confirmation_is_asked_of_those_who_requested_it_and_once_for_ever(sender: Sender) -> None:
    sender.people(1, prefix="given")
    sender.people(2, prefix="asks", consent=None)
    sender.consent(["asks0000", "asks0001"], "requested")
    _sent(sender, 1, ["asks0001"], hours_ago=24 * 700, type="confirmation")
    assert _decided(sender, event_type="confirmation", trust_cdp_consent=True) == {
        "asks0000": "may",
        "asks0001": "capped",
        "given0000": "no_consent",
    }


def test_no_tenant_sees_what_another_one_knows(new_sender: Callable[[str], Sender]) -> None:
    acme, other = new_sender("acme"), new_sender("other")
    acme.people(1)
    other.people(1, consent=None)
    other.consent(["p0000"], "withdrawn")
    _suppress(other, "p0000@example.org", "*")
    _sent(other, 3, ["p0000"])
    assert _decided(acme) == {"p0000": "may"}
    assert _decided(other) == {"p0000": "no_consent"}
