"""The SQL of a segment's rules finds whom the same rules find in LEO CDP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import strategies as st

from cdp_platform.campaigns.operators import OPERATORS
from cdp_platform.ops import tenants
from cdp_platform_tests.campaigns.rule_profiles import TENANT, compare

_NOW = datetime.now(UTC)
_TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "Ab%",
    "%",
    "_",
    "a_b",
    "b\\",
    "é",
    "Đà Nẵng",
    "đà nẵng",
    "a-b",
    "B",
    "z",
    "10",
    "true",
    "'; --",
]
_NUMBERS = [-1, 0, 1, 2.5, 10, 10.0, 0.1, 1e6]
_STAMPS = [
    *(
        (_NOW + timedelta(**shift)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for shift in (
            *({"days": days} for days in (-366, -365, -31, -3, -1, 0, 1, 3, 31, 365)),
            *({"hours": hours} for hours in (-20, -5, 5, 20)),
        )
    ),
    "1990-01-31T00:00:00.000Z",
    "1990-02-29",
    "2024-02-03T18:00:00+07:00",
    "2024-02-03 1:2",
    "2024-13-01",
    "5",
]
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_TEXTS),
    st.sampled_from(_STAMPS),
    st.sampled_from([0, 1700000000000, -5]),
)
_lists = st.lists(st.one_of(_scalars, st.just([]), st.just(["a"])), max_size=3)
_maps = st.dictionaries(st.sampled_from(["a", "k%", "name", "j-m"]), _scalars, max_size=3)
_entries = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from(["j", "k"]), "indexScore": st.sampled_from([None, 0, 1, 2, "x"])}),
    max_size=2,
)
_FIELDS = {
    "firstName": st.one_of(st.sampled_from(_TEXTS), _scalars),
    "age": st.one_of(st.sampled_from(_NUMBERS), _scalars),
    "createdAt": st.one_of(st.sampled_from(_STAMPS), _scalars),
    "dataLabels": st.one_of(_lists, _scalars),
    "lastTouchpoint": st.one_of(_maps, _scalars),
    "eventStatistics": st.one_of(_maps, st.none()),
}


@st.composite
def _profiles(draw: st.DrawFn) -> list[dict[str, Any]]:
    number = draw(st.integers(1, 12))
    profiles = []
    for key in range(number):
        fields = draw(st.fixed_dictionaries({"inJourneyMaps": _entries}, optional=_FIELDS))
        profiles.append({"_key": f"p{key}", **fields})
    return profiles


_days = st.sampled_from(["2024-01-31", "1990-02-28", "1990-03-01", _NOW.date().isoformat(), "2024-02-03"])
_spans = st.tuples(
    st.sampled_from([0, 1, "1", 3, 31, -1, 365]), st.sampled_from(["years", "months", "days", "exactly_days"])
).map(list)
_events = st.tuples(
    st.just("j"),
    st.just("m"),
    st.sampled_from(["equal", "not_equal", "less", "less_or_equal", "greater", "greater_or_equal"]),
    st.sampled_from(["0", "1", "10"]),
).map("#".join)
_typed = {
    "string": st.sampled_from(_TEXTS + _STAMPS),
    "integer": st.sampled_from([-1, 0, 1, 10]),
    "double": st.sampled_from(_NUMBERS),
    "boolean": st.booleans(),
    "date": _days,
}


_pairs = {kind: st.lists(values, min_size=2, max_size=2) for kind, values in _typed.items()}
_parts = st.sampled_from([*_TEXTS, "k%", "2024", '"'])
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "in_journey_map": st.tuples(st.sampled_from(["j", "x"]), st.sampled_from(["0", "1", 2])).map(list),
    "event_in_journey": _events,
    **dict.fromkeys(("after", "before", "exactly_after", "exactly_before"), _spans),
    "compare_month_and_day": _days,
    "compare_month_and_day_between": _pairs["date"],
    **dict.fromkeys(("begins_with", "ends_with", "contains", "has_key", "data_from", "data_contains"), _parts),
    **dict.fromkeys(("sub_field_contains", "sub_field_equals"), _parts),
}


def _values(operator: str, kind: str) -> st.SearchStrategy[Any]:
    plain = operator.removeprefix("not_")
    if plain in _VALUES:
        return _VALUES[plain]
    return {
        "between": _pairs[kind],
        "in": st.lists(_typed[kind], min_size=1, max_size=12),
        "contains_any": st.one_of(_typed[kind], st.lists(_typed[kind], min_size=1, max_size=3)),
    }.get(plain, _typed[kind])


@st.composite
def _rules(draw: st.DrawFn) -> dict[str, Any]:
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    kind = draw(st.sampled_from(sorted(_typed)))
    fields = [*_FIELDS, "lastTouchpoint__name", "createdAt#1", "cdp_profile__age"]
    field = draw(st.sampled_from(fields))
    if operator == "event_in_journey":
        field = "eventStatistics"
    if operator == "in_journey_map":
        field = draw(st.sampled_from(["inJourneyMaps", "cdp_profile__inJourneyMaps"]))
    return {"field": field, "type": kind, "operator": operator, "value": draw(_values(operator, kind))}


_trees = st.recursive(
    _rules(),
    lambda inner: st.fixed_dictionaries(
        {"condition": st.sampled_from(["AND", "OR"]), "rules": st.lists(inner, min_size=1, max_size=3)},
        optional={"not": st.booleans()},
    ),
    max_leaves=6,
).map(lambda tree: tree if "rules" in tree else {"condition": "AND", "rules": [tree]})


@pytest.fixture
def connection(app: psycopg.Connection) -> psycopg.Connection:
    tenants.add(app, TENANT, arango_database="")
    return app


_settings = hypothesis.settings(
    max_examples=hypothesis.settings().max_examples // 2,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)


@_settings
@hypothesis.given(documents=_profiles(), trees=st.lists(_trees, min_size=1, max_size=4))
def test_any_rules_find_whom_the_cdp_finds(
    connection: psycopg.Connection, documents: list[dict[str, Any]], trees: list[dict[str, Any]]
) -> None:
    compare(connection, documents, trees)


# One profile for each value that a field can have.
_SAMPLES = [
    *(None, True, False, [], ["a"], ["Ab%", "x"], [1, "b"], [None], {}, {"a": 1}, {"k%": "yes"}, {"k%": 0, "a": ""}),
    *({"j-m": 1}, {"j-m": 10}, {"name": "a"}, [{"id": "j", "indexScore": 1}], [{"id": "j"}, "j"]),
    *_NUMBERS,
    *_TEXTS,
    *_STAMPS,
    *(1700000000000, -5, _NOW.timestamp() * 1000),
]
_SPANS = [[n, unit] for n in (0, 3) for unit in ("years", "months", "days", "exactly_days")]
_TRIED: dict[str, list[Any]] = {
    "in_journey_map": [["j", "0"], ["j", 1], ["k", 0]],
    "event_in_journey": [
        f"j#m#{name}#{n}" for name in ("equal", "not_equal", "less", "greater_or_equal") for n in (1, 5)
    ],
    **dict.fromkeys(("after", "before", "exactly_after", "exactly_before"), _SPANS),
    "compare_month_and_day": ["1990-01-31", _NOW.date().isoformat(), "2000-03-01"],
    "compare_month_and_day_between": [["2024-01-01", "2024-12-31"], ["2024-01-31", "2024-02-03"]],
    "has_key": ["a", "k%", "x"],
    "data_from": ["a", "đà", "%"],
}


def _tried(operator: str) -> list[tuple[str, Any]]:
    """Types and values to try an operator with."""
    plain = operator.removeprefix("not_")
    if plain in _TRIED:
        return [("string", value) for value in _TRIED[plain]]
    if plain.startswith("is_") or plain.endswith("with_now"):
        return [("string", None)]
    if plain in ("between", "in"):
        return [("string", ["A", "b"]), ("double", [0, 10]), ("date", ["2024-01-01", "2026-12-31"])]
    if plain == "contains_any":
        return [("string", "a"), ("string", ["Ab%", "z"]), ("integer", [1, 2])]
    if any(word in plain for word in ("with", "contains", "sub_field")):
        return [("string", value) for value in ("a", "Ab", ".0", "%", "_", "\\", "ĐÀ", "", '"')]
    days = [("date", "1990-02-28"), ("date", "1990-03-01"), ("date", _NOW.date().isoformat())]
    return [("string", "a"), ("string", "Đà"), ("integer", 1), ("double", 2.5), ("boolean", True), *days]


def test_each_operator_finds_whom_the_cdp_finds_whatever_a_field_holds(connection: psycopg.Connection) -> None:
    documents = [{"_key": f"p{at}", "notes": value} for at, value in enumerate(_SAMPLES)]
    # The CDP's query fails where a profile has no list of journey maps, and the CDP always writes one.
    lists = [each for each in documents if isinstance(each["notes"], list)]
    documents.append({"_key": "missing"})
    for operator in OPERATORS:
        trees = [
            {"condition": "AND", "rules": [{"field": "notes", "type": kind, "operator": operator, "value": value}]}
            for kind, value in _tried(operator)
        ]
        among = lists if operator == "in_journey_map" else documents
        found = compare(connection, among, trees)
        # A comparison in which nobody or everybody is found proves nothing.
        assert any(0 < len(keys) < len(among) for keys in found), operator
