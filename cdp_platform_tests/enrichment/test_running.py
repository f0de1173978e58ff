"""Runs: paid searches become enriched, every question is bought once, and the ledger is what Apollo charged."""

from cdp_platform_tests.enrichment.room import Room


def test_a_search_is_enriched_in_batches_of_ten_and_the_ledger_is_what_was_charged(room: Room):
    search = room.search(25)
    result = room.run()
    assert room.outcomes() == {"enriched": 25}
    assert room.of(search, "status") == "ready"
    assert sorted(people for _, people in room.calls()) == [5, 10, 10]
    assert (result.enriched, result.calls, result.credits) == (25, 3, 25)
    room.assert_ledger_is_right()
    assert room.apollo.credits() == 25
