"""The provider's counter is kept only where everything is settled, and a day's movement is compared with the ledger."""

from collections.abc import Iterator

import pytest

from cdp_platform.enrichment import account
from cdp_platform.enrichment.account import Movement, Reading, Silent
from cdp_platform.resources.apollo import Apollo, account_of
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.later import pass_by
from cdp_platform_tests.enrichment.room import Room
from cdp_sandbox.apollo import KEY, PEOPLE_KEY

ACCOUNT = account_of(KEY)


@pytest.fixture
def client(room: Room) -> Iterator[Apollo]:
    with room.client() as client:
        yield client


def readings(room: Room) -> int:
    return room.rows("SELECT count(*) FROM enrichment.account_reading")[0][0]


def compare(room: Room, client: Apollo) -> Movement:
    found = account.compare(room.connection, ACCOUNT, client)
    assert isinstance(found, Movement)
    return found


def test_a_reading_is_what_the_provider_counted(room: Room, client: Apollo, warehouse: Warehouse):
    room.search(3)
    room.run()
    pass_by(warehouse)
    reading = account.read(room.connection, ACCOUNT, client)
    assert isinstance(reading, Reading)
    assert reading.consumed == 3
    assert reading.cycle


@pytest.mark.parametrize("lost", [True, False])
def test_nothing_is_kept_while_something_is_lost_or_has_just_ended(
    room: Room, client: Apollo, warehouse: Warehouse, lost: bool
):
    room.search(3)
    if lost:
        room.apollo.spoil("drop_after")
    room.run()
    if lost:
        pass_by(warehouse)
    before = readings(room)
    assert isinstance(account.read(room.connection, ACCOUNT, client), Silent)
    assert readings(room) == before


def test_a_recent_reading_is_not_repeated_and_an_old_one_is(room: Room, client: Apollo, warehouse: Warehouse):
    for _ in range(3):
        assert account.baseline(room.connection, ACCOUNT, client)
    assert readings(room) == 1
    pass_by(warehouse, "2 hours")
    assert account.baseline(room.connection, ACCOUNT, client)
    assert readings(room) == 2


def test_a_key_without_permission_and_a_provider_that_is_away_keep_nobody_from_working(room: Room):
    with room.client(key=PEOPLE_KEY) as client:
        assert not account.baseline(room.connection, account_of(PEOPLE_KEY), client)
    room.apollo.spoil("drop_before", path="/api/v1/usage_stats/credit_usage_stats")
    with room.client() as client:
        assert not account.baseline(room.connection, ACCOUNT, client)
    assert room.apollo.fired() == [1]


def test_counter_and_ledger_agree_over_searches_of_several_tenants(
    room: Room, new_room, client: Apollo, warehouse: Warehouse
):
    account.baseline(room.connection, ACCOUNT, client)
    for each in (room, new_room("other")):
        each.search(3)
        each.run()
    pass_by(warehouse)
    moved = compare(room, client)
    assert (moved.counted, moved.known) == (6, 6)
    assert moved.is_explained


def test_credits_that_the_ledger_does_not_know_are_seen_for_a_day(room: Room, client: Apollo, warehouse: Warehouse):
    account.baseline(room.connection, ACCOUNT, client)
    room.apollo.ask("found-1@elsewhere.example", "found-2@elsewhere.example")
    pass_by(warehouse, "2 hours")
    assert (compare(room, client).excess, compare(room, client).is_explained) == (2, False)
    # Also when the counter was read since.
    assert account.baseline(room.connection, ACCOUNT, client)
    assert compare(room, client).excess == 2
    pass_by(warehouse, "26 hours")
    assert compare(room, client).is_explained


def test_a_lost_answer_may_explain_the_difference(room: Room, client: Apollo, warehouse: Warehouse):
    account.baseline(room.connection, ACCOUNT, client)
    room.search(3)
    room.apollo.spoil("drop_after")
    room.run()
    pass_by(warehouse)
    moved = compare(room, client)
    assert (moved.excess, moved.unknown, moved.is_explained) == (3, 1, True)


def test_old_calls_that_are_deleted_change_nothing(room: Room, client: Apollo, warehouse: Warehouse):
    room.search(3)
    room.run()
    pass_by(warehouse, "26 hours")
    assert isinstance(account.read(room.connection, ACCOUNT, client), Reading)
    pass_by(warehouse, "26 hours")
    with warehouse.superuser() as connection:
        for table in ("answer", "call_question", "provider_call"):
            connection.execute(f"DELETE FROM enrichment.{table}".encode())
    assert compare(room, client).is_explained
