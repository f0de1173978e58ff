"""A provider that is away: contacts are handed out as they came, nothing is charged, and one probe at a time asks."""

from concurrent.futures import ThreadPoolExecutor

from cdp_platform_tests.enrichment.room import Room

_WORKERS = 4
# The time of the breaker has gone by, and that of searches that wait for it.
_LATER = (
    "UPDATE ops.gate SET open_until = open_until - interval '300 seconds'",
    "UPDATE enrichment.search SET not_before = NULL",
)


def later(room: Room) -> None:
    for query in _LATER:
        room.rows(query)


def run_workers(room: Room) -> None:
    """Several processes at once would do the same: each run has its own connections."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        for ended in [pool.submit(room.run) for _ in range(_WORKERS)]:
            ended.result()


def test_contacts_of_a_provider_that_is_away_are_handed_out_as_they_came_and_taken_up_later(room: Room):
    search = room.search(3)
    # Two runs of four attempts: the fifth failure in a row opens the breaker.
    room.apollo.spoil("status", status=503, times=None)
    room.run()
    room.rows("UPDATE enrichment.search SET not_before = NULL")
    result = room.run()
    assert result.why_ended == "provider_away"
    assert room.apollo.fired() == [5]
    assert room.outcomes() == {"original": 3}
    assert (room.of(search, "status"), room.of(search, "original")) == ("enriching", 3)
    assert room.of(search, "not_before > now() + interval '4 minutes'")
    assert (room.ledger(), room.reserved(), room.apollo.credits()) == (0, 0, 0)
    room.apollo.sandbox.clear()
    later(room)
    room.run()
    assert room.outcomes() == {"enriched": 3}
    assert room.of(search, "status") == "ready"
    room.assert_ledger_is_right()


def test_in_an_hour_of_an_outage_four_workers_make_one_probe_every_300_seconds(room: Room):
    room.search(50)
    room.apollo.spoil("status", status=503, times=None)
    for _ in range(3):
        run_workers(room)
        room.rows("UPDATE enrichment.search SET not_before = NULL")
    before = sum(room.apollo.fired())
    # Calls that were under way when the breaker opened may end.
    assert 5 <= before < 5 + _WORKERS * 4
    assert room.outcomes() == {"original": 50}
    for _ in range(12):
        later(room)
        run_workers(room)
    assert sum(room.apollo.fired()) == before + 12
    # No attempt was used up: every contact is asked about as at first.
    room.apollo.sandbox.clear()
    later(room)
    run_workers(room)
    room.rows("UPDATE enrichment.search SET not_before = NULL")
    room.run()
    assert room.outcomes() == {"enriched": 50}
    assert room.charged_twice() == 0
    room.assert_ledger_is_right()


def test_after_a_probe_that_died_another_worker_is_the_probe(room: Room):
    room.search(3)
    room.apollo.spoil("status", status=503, times=5)
    for _ in range(2):
        room.run()
        room.rows("UPDATE enrichment.search SET not_before = NULL")
    later(room)
    # A worker has become the probe, and is killed.
    room.rows("UPDATE ops.gate SET probe_until = now() + interval '60 seconds' WHERE open_until IS NOT NULL")
    room.run()
    assert room.outcomes() == {"original": 3}
    assert len(room.apollo.calls()) == 0
    room.rows("UPDATE ops.gate SET probe_until = now() - interval '1 second' WHERE open_until IS NOT NULL")
    room.rows("UPDATE enrichment.search SET not_before = NULL")
    room.run()
    assert room.outcomes() == {"enriched": 3}
    room.assert_ledger_is_right()
