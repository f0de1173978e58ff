"""What sensors that look at sources remember from tick to tick."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from cdp_platform.errors import SourceError
from cdp_platform.ops import tenants
from cdp_platform.ops.looks import Source
from cdp_platform.orchestration import watch as watching
from cdp_platform.orchestration.watch import Watch

KEYS = ["a", "b", "c"]

Tick = Callable[..., Watch]


@pytest.fixture
def tick(app: psycopg.Connection) -> Tick:
    """The watch of one tick, for these partitions, whose tenants are registered."""

    def begin(cursor: str | None = None, keys: list[str] | None = None) -> Watch:
        for key in keys or KEYS:
            tenants.add(app, key, arango_database=key)
        return Watch(app, "a_sensor", cursor, {key: Source(key, f"db_{key}") for key in keys or KEYS})

    return begin


@pytest.mark.parametrize(("after", "turns"), [(None, "abc"), ("b", "cab"), ("gone", "abc")])
def test_everybody_has_a_turn(tick: Tick, after: str | None, turns: str):
    assert list(tick(json.dumps({"after": after})).in_turn(KEYS)) == list(turns)


def test_the_next_tick_goes_on_behind_the_last_turn_of_this_one(tick: Tick):
    watch = tick()
    turns = watch.in_turn(KEYS)
    assert [next(turns), next(turns)] == ["a", "b"]
    assert list(tick(watch.cursor()).in_turn(KEYS)) == ["c", "a", "b"]


def test_what_has_no_run_waits_for_the_next_tick(tick: Tick):
    watch = tick()
    watch.waiting.update(KEYS)
    assert watch.runs(KEYS, {"a", "b", "c"}, at_most=0) == []
    watch = tick(watch.cursor())
    assert watch.runs(KEYS, {"a", "b"}, at_most=3) == [["a", "b"]]
    assert tick(watch.cursor()).waiting == {"c"}


@pytest.mark.parametrize(("at_most", "runs"), [(3, [["a"], ["b"], ["d"]]), (2, [["a", "b"], ["d"]]), (0, [])])
def test_few_that_can_take_long_have_a_run_each(tick: Tick, at_most: int, runs: list[list[str]]):
    keys = ["a", "b", "c", "d"]
    assert tick(keys=keys).runs(keys, {"a", "b", "d"}, at_most=at_most, apart=True) == runs


def test_what_is_gone_is_forgotten_and_notes_are_kept(tick: Tick, app: psycopg.Connection):
    watch = tick(keys=[*KEYS, "gone"])
    watch.notes["started"] = "today"
    for key in ("a", "gone"):
        watch.saw(key, {"count": 1}, changed=True)
    watch.waiting.update({"b", "gone"})
    kept = tick(tick(watch.cursor()).cursor())
    assert (kept.notes, kept.seen, kept.waiting) == ({"started": "today"}, {"a": {"count": 1}}, {"b"})
    found = app.execute("SELECT tenant_id, source FROM ops.source_looks('a_sensor')").fetchall()
    assert sorted(found) == [("a", "db_a"), ("b", "db_b")]


def test_another_source_of_the_same_partition_was_not_seen(tick: Tick, app: psycopg.Connection):
    watch = tick()
    watch.saw("a", 1, changed=True)
    watch = Watch(app, "a_sensor", watch.cursor(), {"a": Source("a", "elsewhere")})
    assert watch.seen == {}
    watch.cursor()
    assert app.execute("SELECT count(*) FROM ops.source_looks('a_sensor')").fetchone() == (0,)


def test_sensors_do_not_see_what_others_saw(tick: Tick, app: psycopg.Connection):
    watch = tick()
    watch.saw("a", 1, changed=True)
    assert Watch(app, "another", watch.cursor(), {"a": Source("a", "db_a")}).seen == {}


def test_failed_looks_are_counted_until_one_succeeds(tick: Tick):
    watch = tick()
    watch.saw("a", 1, changed=True)
    watch = tick(watch.cursor())
    assert watch.missed("a") == 1
    watch = tick(watch.cursor())
    assert (watch.missed("a"), watch.seen) == (2, {"a": 1})
    watch = tick(watch.cursor())
    watch.saw("a", 1, changed=False)
    assert tick(watch.cursor()).missed("a") == 1


def test_a_tick_whose_result_was_lost_is_repeated(tick: Tick):
    first = tick()
    first.saw("a", 1, changed=True)
    first.waiting.add("a")
    accepted = first.cursor()

    lost = tick(accepted)
    lost.saw("a", 2, changed=True)
    lost.saw("b", 1, changed=True)
    lost.waiting.add("b")
    assert lost.runs(KEYS, {"a", "b"}, at_most=3) == [["a", "b"]]
    lost.cursor()

    again = tick(accepted)
    assert (again.seen, again.waiting) == ({}, {"a", "b"})
    again.saw("a", 2, changed=True)
    assert again.runs(KEYS, {"a", "b"}, at_most=3) == [["a", "b"]]
    assert tick(again.cursor()).seen == {"a": 2}
    assert tick(again.cursor()).waiting == set()


def test_a_tick_that_dagster_gave_up_and_that_ends_later_hides_nothing(tick: Tick):
    accepted = tick().cursor()
    late = tick(accepted)
    late.saw("a", 2, changed=True)
    late.waiting.add("a")
    late.runs(KEYS, {"a"}, at_most=1)
    taken = tick(accepted)
    taken.saw("a", 1, changed=True)
    cursor = taken.cursor()
    late.cursor()
    following = tick(cursor)
    assert (following.seen, following.waiting) == ({}, {"a"})


def looking_with(look: Callable[[str], Any]) -> watching.Looking[Any]:
    @contextmanager
    def looking() -> Generator[Callable[[str], Any]]:
        yield look

    return looking


def test_eight_sources_are_looked_at_at_once(tick: Tick):
    keys = [f"t{number}" for number in range(16)]
    together = threading.Barrier(watching.LOOKS_AT_ONCE, timeout=20)

    def look(key: str) -> str:
        together.wait()
        return key.upper()

    found = dict(tick(keys=keys).at_once(keys, looking_with(look), seconds=10))
    assert found == {key: key.upper() for key in keys}


def test_a_source_that_hangs_takes_one_place_and_is_named(tick: Tick, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "TICK_BUDGET_SECONDS", 1.0)
    over = threading.Event()
    watch = tick()

    def look(key: str) -> str:
        if key == "b":
            over.wait()
        return key

    began = time.monotonic()
    found = dict(watch.at_once(KEYS, looking_with(look), seconds=0.5))
    over.set()
    assert time.monotonic() - began < 10
    assert (found["a"], found["c"]) == ("a", "c")
    assert isinstance(found["b"], SourceError)
    assert str(found["b"]) == "b: no answer within 0.5 s."


def test_the_error_of_one_look_is_its_own_and_one_of_all_looks_is_raised(tick: Tick):
    def look(key: str) -> str:
        raise ValueError(key)

    found = dict(tick().at_once(KEYS, looking_with(look), seconds=10))
    assert {key: str(error) for key, error in found.items()} == {key: key for key in KEYS}

    @contextmanager
    def unusable() -> Generator[Callable[[str], str]]:
        raise ValueError("no address")
        yield look

    with pytest.raises(ValueError, match="no address"):
        list(tick().at_once(KEYS, unusable, seconds=10))
