"""A segment is synced by itself: who is in it, what they bought, and who has left."""

import pytest

from cdp_platform.customers import segment_sync
from cdp_platform.errors import UnknownSegmentError
from cdp_platform_tests.leo import Leo

pytestmark = pytest.mark.usefixtures("small_batches")


def member(leo: Leo, key: str, day: int = 1, *, segments: tuple[str, ...] = ("vip",), **fields) -> None:
    leo.profile(key, day, inSegments=[{"id": each, "name": each.upper()} for each in segments], **fields)


def run(leo: Leo, segment_id: str = "vip") -> tuple[segment_sync.SegmentResult, segment_sync.SegmentResult]:
    with leo.reading() as (source, mapper):
        people = segment_sync.sync_profiles(leo.connection, source, leo.tenant, mapper, segment_id)
    with leo.reading("transactions") as (source, mapper):
        return people, segment_sync.sync_transactions(leo.connection, source, leo.tenant, mapper, segment_id)


def test_profiles_of_the_segment_and_their_transactions_and_nobody_else(leo: Leo):
    for number in range(5):
        member(leo, f"vip{number}")
        leo.purchase(f"e{number}", f"vip{number}")
    member(leo, "other", segments=("rest",))
    leo.purchase("e-other", "other")
    people, purchases = run(leo)
    assert (people.members, people.left, people.landed.new) == (5, 0, 5)
    assert (purchases.members, purchases.landed.new) == (5, 5)
    assert leo.keys() == {f"vip{number}" for number in range(5)}
    assert leo.keys("transactions") == {f"e{number}" for number in range(5)}
    assert leo.stamp() is None


def test_leaving_a_segment_is_noticed(leo: Leo):
    for number in range(4):
        member(leo, f"vip{number}")
    leo.sync()
    member(leo, "vip1", 1, segments=("rest",))
    people, _ = run(leo)
    assert (people.members, people.left, people.landed.changed) == (3, 1, 1)
    assert leo.rows("SELECT segments -> 0 ->> 'id' FROM customers.cdp_profiles WHERE profile_id = 'vip1'") == [
        ("rest",)
    ]
    assert run(leo)[0].left == 0


def test_the_last_one_who_leaves_is_noticed_too(leo: Leo):
    member(leo, "p1")
    leo.sync()
    member(leo, "p1", segments=())
    assert run(leo)[0].left == 1


def test_an_unknown_segment_is_an_error_that_says_so(leo: Leo):
    member(leo, "p1")
    with pytest.raises(UnknownSegmentError, match="has no segment vipp"):
        run(leo, "vipp")


def test_a_segment_with_nobody_in_it_is_an_ordinary_result(leo: Leo):
    leo.database.create_collection("cdp_segment")
    leo.put("cdp_segment", {"_key": "empty", "name": "Nobody yet"})
    people, purchases = run(leo, "empty")
    assert (people.members, people.landed.read, purchases.landed.read) == (0, 0, 0)


def test_what_a_member_lacks_waits_rejected_and_the_others_land(leo: Leo):
    member(leo, "p1")
    member(leo, "p2", age="old")
    people, _ = run(leo)
    assert (people.landed.new, people.landed.rejected) == (1, 1)
    assert [record.document_key for record in leo.waiting()] == ["p2"]
