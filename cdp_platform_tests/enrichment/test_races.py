"""Several workers and several searches at once: a question is bought once, and the last credit is spent once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops import tenants
from cdp_platform_tests.enrichment.room import Room


def _at_once(*works: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(work) for work in works]]


def test_workers_share_a_search_and_buy_each_question_once(room: Room):
    search = room.search(120)
    room.apollo.set(latency_seconds=0.05)
    _at_once(*[room.run] * 3)
    assert room.outcomes() == {"enriched": 120}
    assert room.charged_twice() == 0
    assert len(room.apollo.calls()) == 12
    room.run()
    assert room.of(search, "status") == "ready"
    room.assert_ledger_is_right()


def test_a_contact_that_two_searches_buy_at_once_is_bought_once(room: Room):
    people = [f"found-{number}@shop.example" for number in range(10)]
    searches = [room.search(people), room.search(people)]
    # The first call is under way while the second search looks for something to ask.
    room.apollo.set(latency_seconds=0.5)
    _at_once(room.run, room.run)
    assert room.outcomes() == {"enriched": 20}
    assert len(room.apollo.calls()) == 1
    assert room.apollo.credits() == 10
    room.run()
    assert [room.of(search, "status") for search in searches] == ["ready", "ready"]
    assert sorted(room.of(search, "credits") for search in searches) == [0, 10]
    fields = room.rows("SELECT count(*) FROM enrichment.contact_field GROUP BY split_part(contact_id, ' ', 1)")
    assert len(fields) == 2
    assert len(set(fields)) == 1
    room.assert_ledger_is_right()


def test_equal_contacts_of_a_search_are_one_question(room: Room):
    room.search([f"found-{number % 4}@shop.example" for number in range(40)])
    room.run()
    assert room.outcomes() == {"enriched": 40}
    assert room.apollo.credits() == 4
    room.assert_ledger_is_right()


@pytest.mark.parametrize("limit", ["search", "money", "tenant", "day", "daily money"])
def test_two_workers_at_the_last_credit_do_not_pass_the_limit(new_room: Callable[..., Room], limit: str):
    options: dict[str, Any] = {
        "day": {"enrichment_daily_credits": 7},
        "daily money": {"enrichment_daily_budget": "0.7"},
    }
    room = new_room("acme", **options.get(limit, {}))
    if limit == "tenant":
        tenants.add(room.connection, "acme", settings=[EnrichmentTenantSettings(enrichment_credit_limit=7)])
    # At 0.10 US dollars per credit.
    limits: dict[str, Any] = {"search": {"credit_limit": 7}, "money": {"money_limit": Decimal("0.7")}}
    search = room.search(12, **limits.get(limit, {}))
    room.apollo.set(latency_seconds=0.1)
    results = _at_once(room.run, room.run)
    assert "limit" in {result.why_ended for result in results}
    assert room.apollo.credits() == 7
    assert room.outcomes() == {"enriched": 7, "waiting": 5}
    assert room.of(search, "status") == "enriching"
    assert "5 contacts that wait may need 5 credits" in room.of(search, "status_reason")
    assert room.of(search, "not_before > now()")
    room.assert_ledger_is_right()


def test_a_search_that_reached_its_limit_goes_on_by_itself_once_it_is_raised(room: Room):
    search = room.search(12, credit_limit=7)
    room.run()
    assert room.outcomes() == {"enriched": 7, "waiting": 5}
    room.run()
    assert room.apollo.credits() == 7
    room.rows("UPDATE enrichment.search SET credit_limit = 100")
    room.run()
    assert room.outcomes() == {"enriched": 12}
    assert (room.of(search, "status"), room.of(search, "status_reason")) == ("ready", None)
    room.assert_ledger_is_right()


def test_what_answers_release_is_spent_in_the_same_run(room: Room):
    """Each call reserves the worst case; nobody is found at first, so the limit is not used up."""
    people = [
        *[f"unmatched-{number}@shop.example" for number in range(20)],
        *[f"found-{n}@shop.example" for n in range(10)],
    ]
    search = room.search(people, credit_limit=10)
    result = room.run()
    assert room.outcomes() == {"enriched": 10, "no_match": 20}
    assert room.of(search, "status") == "ready"
    assert result.ready == 1
    room.assert_ledger_is_right()


def test_one_search_at_its_limit_does_not_stop_the_others(room: Room):
    poor, rich = room.search(12, credit_limit=2), room.search(12)
    room.run()
    assert room.outcomes(poor) == {"enriched": 2, "waiting": 10}
    assert room.outcomes(rich) == {"enriched": 12}
    assert room.of(rich, "status") == "ready"
    room.assert_ledger_is_right()


def test_tenants_that_share_an_account_share_its_gate_and_nothing_else(new_room: Callable[..., Room]):
    people = [f"found-{number}@shop.example" for number in range(5)]
    first, second = new_room("acme"), new_room("other")
    first.search(people)
    second.search(people)
    _at_once(first.run, second.run)
    # Each buys for itself: what one has found is not the other's.
    assert first.outcomes() == second.outcomes() == {"enriched": 5}
    assert first.apollo.credits() == 10
    assert first.ledger() == second.ledger() == 5
    assert first.rows("SELECT count(*) FROM ops.gate WHERE name LIKE 'apollo %% bulk_match'") == [(1,)]
