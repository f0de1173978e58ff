"""Answers that are known: how long, for which questions, and for whom."""

import pytest

from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.errors import OutcomeUnknownError
from cdp_platform.ops import tenants
from cdp_platform.resources.apollo import Apollo
from cdp_platform_tests.enrichment.room import Room
from cdp_platform_tests.enrichment.test_phones import erase
from cdp_sandbox.apollo import KEY

FOUND, NOBODY = "found-1@shop.example", "unmatched-1@shop.example"


def test_an_answer_is_bought_again_once_its_life_is_over_and_not_before(room: Room):
    room.search([FOUND, NOBODY])
    room.run()
    assert room.rows(
        "SELECT state, round(extract(epoch FROM expires_at - answered_at) / 86400) FROM enrichment.answer ORDER BY 1"
    ) == [("match", 90), ("no_match", 30)]
    again = room.search([FOUND, NOBODY])
    room.run()
    assert len(room.apollo.calls()) == 1
    assert room.outcomes(again) == {"enriched": 1, "no_match": 1}
    # A month and a day later, only the one who was not found is asked about.
    room.rows(
        "UPDATE enrichment.answer SET answered_at = answered_at - interval '31 days',"
        " expires_at = expires_at - interval '31 days'"
    )
    room.search([FOUND, NOBODY])
    room.run()
    assert [people for _, people in room.calls()] == [2, 1]
    room.assert_ledger_is_right()


def test_lives_of_answers_are_settings_of_the_tenant(room: Room):
    tenants.add(
        room.connection,
        room.tenant_id,
        settings=[EnrichmentTenantSettings(enrichment_match_days=1, enrichment_no_match_days=2)],
    )
    room.search([FOUND, NOBODY])
    room.run()
    assert room.rows(
        "SELECT state, round(extract(epoch FROM expires_at - answered_at) / 86400) FROM enrichment.answer ORDER BY 1"
    ) == [("match", 1), ("no_match", 2)]


def test_what_was_certainly_not_done_is_no_answer(room: Room):
    room.search([FOUND])
    room.apollo.spoil("status", status=503, times=4)
    room.run()
    assert room.rows("SELECT count(*) FROM enrichment.answer") == [(0,)]


def test_an_answer_with_private_addresses_answers_a_question_without_and_not_the_other_way(room: Room):
    room.search([FOUND], personal_emails=True)
    room.run()
    room.search([FOUND])
    room.run()
    assert len(room.apollo.calls()) == 1
    other = "found-2@shop.example"
    room.search([other])
    room.run()
    room.search([other], personal_emails=True)
    room.run()
    assert len(room.apollo.calls()) == 3


@pytest.mark.parametrize("is_lost", [False, True])
def test_of_a_person_who_is_erased_while_the_answer_is_on_its_way_nothing_is_kept(room: Room, is_lost: bool):
    others = [f"found-{n}@shop.example" for n in (2, 3)]
    search = room.search([FOUND, *others])

    class Slow(Apollo):
        def bulk_match(self, *args: object, **options: object) -> object:  # ty: ignore[incompatible-method-override]
            answer = super().bulk_match(*args, **options)  # ty: ignore[invalid-argument-type]
            erase(room, FOUND)
            if is_lost:
                raise OutcomeUnknownError("no answer in time")
            return answer

    room.run(client=lambda: Slow(KEY, room.apollo.base_url))
    assert room.outcomes() == ({"held": 2} if is_lost else {"enriched": 2})
    assert room.of(search, "erased") == 1
    for table in ("contact", "contact_field", "answer", "call_question", "provider_call", "search"):
        assert room.rows(f"SELECT 1 FROM enrichment.{table} AS t WHERE t::text LIKE %s", [f"%{FOUND}%"]) == []
    assert room.apollo.credits() == 3
    # The money of the call stays, for all who were asked about.
    assert room.ledger() + room.reserved() == 3
