"""A worker that is killed anywhere, and another one after it, buy nothing twice and forget nobody."""

import time
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest

from cdp_platform.enrichment import reserving
from cdp_platform_tests import crashes
from cdp_platform_tests.enrichment.room import Room

_PEOPLE, _BATCH = 3, 2


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that kill points have an order."""
    monkeypatch.setattr(reserving, "THREADS", 1)


class _Place:
    """A search of a tenant of its own for each kill, and a run for it."""

    def __init__(self, room: Room, *, after: Callable[[Room], None] = lambda _room: None) -> None:
        self.room = room
        self.after = after

    def fresh(self) -> UUID:
        """Everything earlier is gone: the judge begins at 0."""
        self.room.apollo.clear()
        for table in ("contact_field", "contact", "answer", "call_question", "provider_call", "spend", "search"):
            self.room.rows(f"DELETE FROM enrichment.{table}")
        return self.room.search(_PEOPLE)

    def run(self, _search: UUID) -> None:
        self.room.run(apollo_max_contacts_per_request=_BATCH)

    def recover(self) -> None:
        """End the leases, and run again."""
        self.room.end_leases()
        self.run(UUID(int=0))

    def assert_right(self, search: UUID, point: crashes.KillPoint) -> int:
        """No person was bought twice, and each is enriched or reported as held; returns how many are held."""
        room = self.room
        held = room.outcomes().get("held", 0)
        assert room.charged_twice() == 0, point
        assert room.outcomes().get("enriched", 0) + held == _PEOPLE, point
        unknown = room.rows("SELECT coalesce(sum(people), 0) FROM enrichment.provider_call WHERE state = 'unknown'")[0][
            0
        ]
        assert unknown == held, point
        assert room.ledger() <= room.apollo.credits() <= room.ledger() + room.reserved(), point
        assert room.reserved() == held, point
        assert room.of(search, "status") == ("enriching" if held else "ready"), point
        return held


@pytest.fixture
def place(room: Room) -> _Place:
    return _Place(room)


def test_no_kill_after_a_write_buys_anything_twice_or_forgets_anybody(place: _Place):
    kills, calls, held = 0, 0, 0
    for point, search in crashes.after_every_write(place.run, place.fresh):
        kills += 1
        calls += point.exchange.startswith("POST")
        place.recover()
        lost = place.assert_right(search, point)
        # No more than the batch that was under way.
        assert lost <= _BATCH, point
        held += lost > 0
    # Two batches, each among others killed between the call and the writing of its answer.
    assert calls == 2
    assert held >= 2
    assert kills > 20


def test_a_kill_while_an_answer_is_under_way_leaves_its_people_held_and_charged_once(place: _Place):
    # The first run reads the account's counter, for an hour. All other requests are for people.
    place.run(place.fresh())
    points = []
    for point, search in crashes.while_an_answer_is_under_way(place.run, place.fresh):
        points.append(point)
        _wait_until(lambda number=point.number: len(place.room.apollo.calls()) == number)
        place.recover()
        assert place.assert_right(search, point) == (_BATCH if point.number == 1 else _PEOPLE - _BATCH)
        # They were charged, and nobody has asked for them since.
        assert place.room.apollo.credits() == Decimal(_PEOPLE)
    assert [point.number for point in points] == [1, 2]
    assert all(point.exchange.endswith("/people") for point in points), points


def test_a_worker_that_dies_before_the_hand_over_holds_no_money(place: _Place):
    for point, search in crashes.after_every_write(place.run, place.fresh):
        if place.room.rows("SELECT call_id FROM enrichment.provider_call WHERE state = 'reserved'"):
            assert place.room.reserved() > 0
            place.recover()
            assert place.room.rows("SELECT reason FROM enrichment.provider_call WHERE state = 'failed'")
            assert place.assert_right(search, point) == 0
            return
    pytest.fail("no kill was between reservation and hand-over")


def _wait_until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.01)
