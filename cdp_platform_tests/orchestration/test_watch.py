"""What sensors that look at sources remember from tick to tick."""

import json

import pytest

from cdp_platform.orchestration.watch import Watch

KEYS = ["a", "b", "c"]


@pytest.mark.parametrize(("after", "turns"), [(None, "abc"), ("b", "cab"), ("gone", "abc")])
def test_everybody_has_a_turn(after: str | None, turns: str):
    assert list(Watch(json.dumps({"after": after})).in_turn(KEYS)) == list(turns)


def test_the_next_tick_goes_on_behind_the_last_turn_of_this_one():
    watch = Watch(None)
    turns = watch.in_turn(KEYS)
    assert [next(turns), next(turns)] == ["a", "b"]
    assert list(Watch(watch.cursor(KEYS)).in_turn(KEYS)) == ["c", "a", "b"]


def test_what_has_no_run_waits_for_the_next_tick():
    watch = Watch(None)
    watch.waiting.update(KEYS)
    assert watch.runs(KEYS, {"a", "b", "c"}, at_most=0) == []
    watch = Watch(watch.cursor(KEYS))
    assert watch.runs(KEYS, {"a", "b"}, at_most=3) == [["a", "b"]]
    assert Watch(watch.cursor(KEYS)).waiting == {"c"}


@pytest.mark.parametrize(("at_most", "runs"), [(3, [["a"], ["b"], ["d"]]), (2, [["a", "b"], ["d"]]), (0, [])])
def test_few_that_can_take_long_have_a_run_each(at_most: int, runs: list[list[str]]):
    assert Watch(None).runs(["a", "b", "c", "d"], {"a", "b", "d"}, at_most=at_most, apart=True) == runs


def test_what_is_gone_is_forgotten_and_notes_are_kept():
    watch = Watch(None)
    watch.notes["started"] = "today"
    watch.seen.update(a=1, gone=2)
    watch.waiting.update({"b", "gone"})
    kept = Watch(watch.cursor(KEYS))
    assert (kept.notes, kept.seen, kept.waiting) == ({"started": "today"}, {"a": 1}, {"b"})
