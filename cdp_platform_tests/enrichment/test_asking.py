"""Calls that go wrong: what was done is never bought again, and what was not done is asked again."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from cdp_platform.enrichment import asking
from cdp_platform_tests.enrichment.room import Room


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("place", [0, 4, 6, 9])
def test_a_batch_that_is_refused_is_taken_apart_until_the_contact_at_fault_is_found(room: Room, place: int):
    people = [f"found-{each}@shop.example" for each in range(9)]
    people.insert(place, "poison@shop.example")
    search = room.search(people)
    result = room.run()
    assert room.outcomes() == {"enriched": 9, "unusable": 1}
    unusable = room.rows("SELECT given ->> 'email', reason FROM enrichment.contact WHERE outcome = 'unusable'")
    assert unusable == [("poison@shop.example", "the provider takes no question about this contact")]
    # The batch, and no more than 2 log2 of 10 more.
    assert result.calls <= 1 + 6
    assert room.charged_twice() == 0
    assert room.of(search, "status") == "ready"
    room.assert_ledger_is_right()


def test_two_at_fault_are_both_found(room: Room):
    room.search(["poison-1@shop.example", *[f"found-{n}@shop.example" for n in range(8)], "poison-2@shop.example"])
    room.run()
    assert room.outcomes() == {"enriched": 8, "unusable": 2}
    room.assert_ledger_is_right()


@pytest.mark.parametrize(
    ("action", "options"),
    [("status", {"status": 503}), ("status", {"status": 429, "retry_after": 0.1}), ("status", {"status": 425})],
)
def test_a_request_that_was_certainly_not_done_is_made_again_as_another_attempt(
    room: Room, action: str, options: dict[str, Any]
):
    search = room.search(3)
    room.apollo.spoil(action, times=3, **options)
    room.run()
    assert room.apollo.fired() == [3]
    assert room.calls() == [("failed", 3)] * 3 + [("confirmed", 3)]
    attempts = room.rows("SELECT attempt FROM enrichment.provider_call ORDER BY created_at")
    assert attempts == [(1,), (2,), (3,), (4,)]
    assert room.outcomes() == {"enriched": 3}
    assert room.of(search, "status") == "ready"
    room.assert_ledger_is_right()


def test_after_four_attempts_a_search_waits_and_a_later_run_goes_on(room: Room):
    search = room.search(3)
    room.apollo.spoil("status", status=503, times=4)
    result = room.run()
    assert room.apollo.fired() == [4]
    assert (result.calls, result.why_ended) == (4, "failing")
    assert room.outcomes() == {"waiting": 3}
    assert room.of(search, "status") == "enriching"
    assert "503" in room.of(search, "status_reason")
    assert room.of(search, "not_before BETWEEN now() + interval '4 minutes' AND now() + interval '5 minutes'")
    room.run()
    assert room.outcomes() == {"enriched": 3}
    room.assert_ledger_is_right()


def test_a_rest_that_is_asked_for_is_kept_by_everybody(room: Room):
    search = room.search(3)
    room.apollo.spoil("status", status=429, retry_after=3600)
    result = room.run()
    assert room.apollo.fired() == [1]
    assert result.why_ended == "paced"
    assert room.outcomes() == {"waiting": 3}
    assert room.of(search, "not_before > now() + interval '59 minutes'")
    room.run()
    assert len(room.apollo.calls()) == 0
    assert room.reserved() == 0


@pytest.mark.parametrize(
    ("action", "options", "charged"),
    [
        ("drop_after", {}, 3),
        ("truncate", {}, 3),
        ("distort", {"how": "html"}, 3),
        ("drop_before", {}, 0),
        ("status", {"status": 500}, 0),
        ("status", {"status": 502}, 0),
        ("status", {"status": 504}, 0),
        ("status", {"status": 408}, 0),
    ],
)
def test_a_lost_answer_is_unknown_and_its_people_are_held_and_not_asked_about_again(
    room: Room, action: str, options: dict[str, Any], charged: int
):
    search = room.search(3)
    room.apollo.spoil(action, **options)
    result = room.run()
    assert room.apollo.fired() == [1]
    assert result.unknown == 1
    assert room.calls() == [("unknown", 3)]
    assert room.outcomes() == {"held": 3}
    assert room.apollo.credits() == charged
    assert (room.ledger(), room.reserved(), room.of(search, "credits_reserved")) == (0, 3, 3)
    # Neither this search nor another one asks again.
    other = room.search([email for (email,) in room.rows("SELECT given ->> 'email' FROM enrichment.contact")])
    room.run()
    assert room.apollo.credits() == charged
    assert room.calls() == [("unknown", 3)]
    assert room.of(search, "status") == "enriching"
    assert "3 contacts are held" in room.of(search, "status_reason")
    assert room.outcomes(other) == {"waiting": 3}


@pytest.mark.parametrize("how", ["short", "swapped_people", "wrong_order"])
def test_an_answer_about_others_is_charged_and_nobody_gets_it(room: Room, how: str):
    search = room.search(3)
    room.apollo.spoil("distort", how=how)
    room.run()
    assert room.apollo.fired() == [1]
    assert room.outcomes() == {"held": 3}
    assert room.rows("SELECT count(*) FROM enrichment.contact_field") == [(0,)]
    assert room.rows("SELECT count(*) FROM enrichment.answer WHERE fields IS NOT NULL") == [(0,)]
    assert room.of(search, "credits") == 3
    room.assert_ledger_is_right()


def test_half_unmatched_costs_half(room: Room):
    people = [f"{fate}-{n}@shop.example" for n in range(5) for fate in ("found", "unmatched")]
    search = room.search(people)
    room.run()
    assert room.outcomes() == {"enriched": 5, "no_match": 5}
    assert room.of(search, "status") == "ready"
    assert room.apollo.credits() == 5
    room.assert_ledger_is_right()


@pytest.mark.parametrize("fate", ["unmatched", "nameonly"])
def test_an_answer_that_enriches_nobody_costs_nothing_and_is_no_match(room: Room, fate: str):
    room.search([f"{fate}-{n}@shop.example" for n in range(10)])
    room.run()
    assert room.outcomes() == {"no_match": 10}
    assert room.apollo.credits() == 0
    room.assert_ledger_is_right()


def test_fractions_of_credits_are_kept_to_the_last_digit(room: Room):
    search = room.search(3)
    room.apollo.spoil("distort", how="fractional")
    room.run()
    assert room.apollo.fired() == [1]
    assert room.of(search, "credits") == Decimal("1.05") == room.apollo.credits()
    room.assert_ledger_is_right()


def test_an_answer_without_counts_enriches_and_keeps_what_it_may_have_cost(room: Room):
    search = room.search([*[f"found-{n}@shop.example" for n in range(3)], "unmatched@shop.example"])
    room.apollo.spoil("distort", how="no_counts")
    room.run()
    assert room.apollo.fired() == [1]
    assert room.outcomes() == {"enriched": 3, "no_match": 1}
    assert room.rows("SELECT credits, credits_reserved FROM enrichment.provider_call") == [(None, 3)]
    assert (room.of(search, "credits"), room.of(search, "credits_reserved"), room.apollo.credits()) == (0, 3, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"status": 401, "body": "Invalid access credentials."}, "APOLLO_API_KEY"),
        ({"status": 403, "body": {"error_code": "API_INACCESSIBLE"}}, "API_INACCESSIBLE"),
        ({"status": 422, "body": {"error": "You have insufficient credits! Upgrade your plan."}}, "credits"),
    ],
)
def test_what_a_person_has_to_mend_fails_the_search_and_trips_nothing(room: Room, options: dict[str, Any], words: str):
    search = room.search(3)
    room.apollo.spoil("status", **options)
    result = room.run()
    assert room.apollo.fired() == [1]
    assert result.why_ended == "refused"
    assert room.of(search, "status") == "failed"
    assert words in room.of(search, "status_reason")
    assert room.outcomes() == {"waiting": 3}
    assert room.rows("SELECT failures FROM ops.gate WHERE name LIKE '%% bulk_match'") == [(0,)]
    room.rows("SELECT enrichment.move_search('acme', %s, 'failed', 'paid')", [search])
    room.run()
    assert room.outcomes() == {"enriched": 3}
    room.assert_ledger_is_right()


def test_request_ids_keep_all_their_64_bits(room: Room):
    room.search(40)
    room.run()
    kept = {request_id for (request_id,) in room.rows("SELECT request_id FROM enrichment.provider_call")}
    assert kept == {call["request_id"] for call in room.apollo.calls()}
    assert min(kept) < 0 or max(map(abs, kept)) > 2**53


def test_nobody_who_was_asked_about_is_named_in_the_ledger(room: Room, new_room: Callable[..., Room]):
    person = "poison.nguyen@planted.example"
    room.search([person, *[f"found-{n}@shop.example" for n in range(3)]])
    room.apollo.spoil("drop_after", after=1)
    room.run()
    assert room.apollo.fired() == [1]
    kept = room.rows(
        "SELECT p::text FROM enrichment.provider_call AS p UNION ALL SELECT s::text FROM enrichment.search AS s"
    )
    assert kept
    assert not [row for (row,) in kept if "planted" in row or "poison" in row]
