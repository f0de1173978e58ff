"""What people said, in whatever order it comes; and what lifts a suppression."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_platform.campaigns import consent, suppressions
from cdp_platform.campaigns.consent import Change, ConsentResult, State
from cdp_platform.customers import persons
from cdp_platform.errors import QueryError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _say(sender: Sender, *words: tuple[State, float], profile_id: str = "p0000", **more: Any) -> ConsentResult:
    """Somebody says these words, so many hours after noon."""
    changes = [
        Change(profile_id, "email", state, "file", _NOON + timedelta(hours=hours), **more) for state, hours in words
    ]
    with tenant_transaction(sender.connection, sender.tenant_id):
        return consent.set_states(sender.connection, sender.tenant_id, changes)


def _held(sender: Sender) -> list[tuple]:
    return sender.rows("SELECT state, happened_at FROM campaigns.consent_management WHERE profile_id = 'p0000'")


def _suppress(sender: Sender, reason: suppressions.Reason, *, hours: float = 0, channel: str = "email") -> None:
    with tenant_transaction(sender.connection, sender.tenant_id):
        hashes = suppressions.hashes_of(sender.connection, sender.tenant_id, ["p0000@example.org"])
        at = [_NOON + timedelta(hours=hours)]
        suppressions.add(sender.connection, sender.tenant_id, channel, hashes, reason, since=at)


def _suppressed(sender: Sender) -> list[tuple]:
    return sender.rows("SELECT channel, reason FROM campaigns.suppression ORDER BY 1")


def test_what_was_said_earlier_never_replaces_what_was_said_later(sender: Sender) -> None:
    assert _say(sender, ("withdrawn", 2)) == ConsentResult(1, 0)
    assert _say(sender, ("given", 1)) == ConsentResult(0, 1)
    assert _held(sender) == [("withdrawn", _NOON + timedelta(hours=2))]
    assert _say(sender, ("given", 3)) == ConsentResult(1, 0)
    assert _held(sender) == [("given", _NOON + timedelta(hours=3))]


def test_of_several_words_the_last_counts_in_whatever_order_they_come(sender: Sender) -> None:
    assert _say(sender, ("given", 1), ("withdrawn", 3), ("requested", 2)) == ConsentResult(1, 2)
    assert _held(sender) == [("withdrawn", _NOON + timedelta(hours=3))]


@pytest.mark.parametrize("together", [True, False])
def test_of_two_words_of_one_moment_the_refusal_counts(sender: Sender, together: bool) -> None:
    words: list[tuple[State, float]] = [("given", 1), ("refused", 1), ("given", 1)]
    for part in [words] if together else [[word] for word in words]:
        _say(sender, *part)
    assert _held(sender) == [("refused", _NOON + timedelta(hours=1))]


def test_a_word_from_the_future_does_not_keep_a_later_one_out(sender: Sender) -> None:
    _say(sender, ("given", 24 * 365 * 30))
    with tenant_transaction(sender.connection, "acme"):
        consent.set_states(
            sender.connection, "acme", [Change("p0000", "email", "withdrawn", "person", datetime.now(UTC))]
        )
    assert _held(sender)[0][0] == "withdrawn"


def test_the_same_word_again_changes_nothing_and_every_change_is_kept(sender: Sender) -> None:
    sender.people(1, consent=None)
    for _ in range(2):
        _say(sender, ("requested", 1), legal_basis="consent", evidence="form 3")
        _say(sender, ("given", 2), evidence="confirmed")
    with tenant_transaction(sender.connection, "acme"):
        shown = consent.show(sender.connection, "acme", "p0000")
    assert [(held.state, held.evidence) for held in shown.held] == [("given", "confirmed")]
    assert [(change.before, change.state, change.evidence) for change in shown.changes] == [
        (None, "requested", "form 3"),
        ("requested", "given", "confirmed"),
    ]


def test_what_is_shown_of_a_person_says_what_the_cdp_says(sender: Sender) -> None:
    sender.people(1, receive_email=False, receive_sms=None, consent=None)
    with tenant_transaction(sender.connection, "acme"):
        assert consent.show(sender.connection, "acme", "p0000").cdp == {"email": False, "sms": None}
        with pytest.raises(QueryError, match="no profile"):
            consent.show(sender.connection, "acme", "nobody")


def test_a_consent_after_an_opt_out_lifts_it_and_an_earlier_one_does_not(sender: Sender) -> None:
    sender.people(1, consent=None)
    _suppress(sender, "opt_out", hours=2)
    _say(sender, ("given", 1))
    assert _suppressed(sender) == [("email", "opt_out")]
    _say(sender, ("given", 3))
    assert _suppressed(sender) == []


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "manual"])
def test_a_consent_lifts_no_other_suppression(sender: Sender, reason: suppressions.Reason) -> None:
    sender.people(1, consent=None)
    _suppress(sender, reason)
    _suppress(sender, "opt_out", channel="*")
    _say(sender, ("given", 3))
    assert _suppressed(sender) == [("*", "opt_out"), ("email", reason)]


def test_a_second_opt_out_is_not_lifted_by_a_consent_between_the_two(sender: Sender) -> None:
    sender.people(1, consent=None)
    _suppress(sender, "opt_out", hours=1)
    _suppress(sender, "opt_out", hours=3)
    _say(sender, ("given", 2))
    assert _suppressed(sender) == [("email", "opt_out")]


def test_an_opt_out_becomes_a_complaint_and_never_the_other_way(sender: Sender) -> None:
    for reason, kept in (("opt_out", "opt_out"), ("complaint", "complaint"), ("opt_out", "complaint")):
        _suppress(sender, reason)
        assert _suppressed(sender) == [("email", kept)]


def test_a_person_lifts_what_only_a_person_may(sender: Sender) -> None:
    _suppress(sender, "complaint")
    with tenant_transaction(sender.connection, "acme"):
        found = suppressions.hash_of(sender.connection, sender.tenant, " P0000@Example.org ")
        assert suppressions.lift(sender.connection, "acme", "sms", [found]) == 0
        assert suppressions.lift(sender.connection, "acme", "email", [found]) == 1
    assert _suppressed(sender) == []


def test_an_address_is_known_however_it_is_written(sender: Sender) -> None:
    with tenant_transaction(sender.connection, "acme"):
        hashes = {suppressions.hash_of(sender.connection, sender.tenant, n) for n in ("0901 234 567", "+84901234567")}
        assert len(hashes) == 1
        for wrong in ("", "nobody", "a@", "+84", "a@b\r\nBcc: c@d"):
            with pytest.raises(QueryError):
                suppressions.hash_of(sender.connection, sender.tenant, wrong)


def test_a_suppression_outlives_the_erasure_of_the_person_and_their_consent_does_not(sender: Sender) -> None:
    sender.people(1)
    _suppress(sender, "opt_out")
    persons.erase(sender.connection, "acme", ["p0000"])
    assert _suppressed(sender) == [("email", "opt_out")]
    for table in ("consent_management", "consent_change"):
        assert sender.rows(f"SELECT 1 FROM campaigns.{table}") == []
    _say(sender, ("given", 1))
    assert _held(sender) == []


def test_counts_say_how_many_said_what(sender: Sender) -> None:
    sender.people(2, receive_email=True)
    sender.people(1, prefix="other", consent=None, receive_sms=False)
    sender.consent(["other0000"], "refused", channel="sms")
    _suppress(sender, "manual", channel="*")
    with tenant_transaction(sender.connection, "acme"):
        counts = consent.counts(sender.connection, "acme")
    assert counts.held == {"email": {"given": 2}, "sms": {"refused": 1}}
    assert counts.cdp == {"email": {"agreed": 2, "no data": 1}, "sms": {"no data": 2, "refused": 1}}
    assert counts.suppressed == {"*": {"manual": 1}}
