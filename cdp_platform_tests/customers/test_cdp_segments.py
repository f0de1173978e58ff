"""Segments of the CDP are read like profiles and transactions."""

import json
from typing import Any

import pytest

from cdp_platform.customers import segments
from cdp_platform_tests.dagster_runs import figures, verdicts
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

RULES = json.dumps({"condition": "AND", "rules": [{"field": "age", "type": "integer", "operator": "less", "value": 9}]})


@pytest.fixture
def with_segments(leo: Leo) -> Leo:
    leo.database.create_collection(segments.COLLECTION)
    return leo


def put(leo: Leo, key: str, day: int = 1, **fields: Any) -> None:
    stamps = {"createdAt": STAMP.format(day=1), "updatedAt": STAMP.format(day=day)}
    leo.put(segments.COLLECTION, {"_key": key, "name": key, "status": 1, "jsonQueryRules": RULES, **stamps, **fields})


def held(leo: Leo) -> dict[str, str | None]:
    return dict(leo.rows("SELECT segment_id, closed_reason FROM customers.cdp_segments"))


def test_a_segment_is_a_row_with_its_rules_and_a_removed_one_is_closed(with_segments: Leo, run):
    put(with_segments, "young", totalCount=3, managedBySystem=False, customQueryFilter="")
    put(with_segments, "on-demand", status=0)
    put(with_segments, "removed", status=-4)
    outcome = run("acme")
    assert outcome.success
    assert figures(outcome, "new")["cdp_segments", "acme"] == (3,)
    assert held(with_segments) == {"young": None, "on-demand": None, "removed": "removed"}
    query = "SELECT json_query_rules, custom_query_filter, total_count FROM customers.cdp_segments WHERE name = 'young'"
    assert with_segments.rows(query) == [(RULES, None, 3)]


def test_changes_and_deletes_arrive_as_those_of_profiles_do(with_segments: Leo, run):
    for key in ("kept", "deleted"):
        put(with_segments, key)
    run("acme")
    put(with_segments, "kept", day=2, name="another")
    with_segments.delete(segments.COLLECTION, "deleted")
    outcome = run("acme", job="customers_reconcile")
    assert outcome.success
    assert figures(outcome, "changed", "gone")["cdp_segments", "acme"] == (1, 1)
    assert held(with_segments) == {"kept": None, "deleted": "deleted"}
    assert with_segments.rows("SELECT name FROM customers.cdp_segments WHERE segment_id = 'kept'") == [("another",)]


def test_a_cdp_without_segments_has_none_here_and_says_so(leo: Leo, run):
    outcome = run("acme")
    assert outcome.success
    found = figures(outcome, "read", "note")["cdp_segments", "acme"]
    assert found == (0, "The CDP has no collection cdp_segment: nothing was read.")


def test_a_segment_that_cannot_be_read_waits_rejected_and_lands_when_it_can(with_segments: Leo, run):
    put(with_segments, "odd", managedBySystem="perhaps")
    put(with_segments, "even")
    outcome = run("acme")
    assert held(with_segments) == {"even": None}
    (waiting,) = with_segments.waiting()
    assert (waiting.code, waiting.path) == ("not_a_flag", "$.managedBySystem")
    assert verdicts(outcome)["cdp_segments: rejected_share", "acme"] == "ERROR"
    put(with_segments, "odd", day=2, managedBySystem=True)
    run("acme")
    assert set(held(with_segments)) == {"even", "odd"}
    assert with_segments.waiting() == []


def test_the_sensor_sees_a_changed_segment(with_segments: Leo):
    with with_segments.reading() as (source, _):
        before = source.states()[segments.COLLECTION]
        put(with_segments, "new", day=3)
        after = source.states()[segments.COLLECTION]
    assert (before.count, after.count) == (0, 1)
    assert after.greatest == STAMP.format(day=3)
