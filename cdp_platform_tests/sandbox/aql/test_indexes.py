"""What the server reads from an index comes in the order of that index, and is counted as such."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cdp_platform_tests.sandbox.aql.memory import Collections, rows, run, value
from cdp_sandbox.arango.errors import ArangoError

DOCUMENTS: list[dict[str, Any]] = [{"_key": str(n), "_id": f"c/{n}", "n": n % 10, "m": -n} for n in range(30)]


def source(*indexes: dict[str, Any]) -> Collections:
    made = Collections(c=DOCUMENTS)
    made.indexes_by_name["c"] = [{"sparse": False, **index} for index in indexes]
    return made


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ("d._key == '5'", ["5"]),
        ("'5' == d._key", ["5"]),
        ("d._key == '5' OR d._key IN ['3', '29', '3', 7, null]", ["29", "3", "5"]),
        ("d._key == ['5']", []),
        ("d._key IN '5'", []),
        ("d._key IN @wanted", ["1", "2"]),
    ],
)
def test_documents_asked_for_by_key_are_looked_up_in_the_order_of_their_keys(condition: str, keys: list[str]) -> None:
    binds = {"wanted": ["2", "1"]} if "@" in condition else {}
    result = run(f"FOR d IN c FILTER {condition} RETURN d._key", source(), seed=1, **binds)
    assert result.rows == keys
    assert (result.stats["scannedIndex"], result.stats["scannedFull"], result.stats["filtered"]) == (len(keys), 0, 0)


def test_other_conditions_on_the_key_are_a_scan_with_the_same_outcome() -> None:
    result = run("FOR d IN c FILTER d._key == '5' AND d.n == 5 RETURN d._key", source(), seed=1)
    assert (result.rows, result.stats["scannedFull"]) == (["5"], 30)


def test_a_range_on_an_indexed_attribute_comes_in_the_order_of_the_index() -> None:
    query = "FOR d IN c FILTER d.n >= 3 AND 5 > d.@a RETURN [d.n, d.m]"
    expected = sorted([d["n"], d["m"]] for d in DOCUMENTS if 3 <= d["n"] < 5)
    indexed = source({"type": "persistent", "fields": ["n", "m"]})
    for seed in range(5):
        assert run(query, indexed, seed=seed, a="n").rows == expected
    assert run(query, indexed, seed=1, a="n").stats["scannedIndex"] == len(expected)


@pytest.mark.parametrize("index", [None, {"type": "persistent", "fields": ["n"], "sparse": True}])
def test_without_an_index_that_serves_it_a_range_comes_in_any_order(index: dict[str, Any] | None) -> None:
    query = "FOR d IN c FILTER d.n >= 0 RETURN d.n"
    made = source(index) if index else source()
    outcomes = {tuple(run(query, made, seed=seed).rows) for seed in range(5)}
    assert len(outcomes) > 1
    assert {tuple(sorted(outcome)) for outcome in outcomes} == {tuple(sorted(d["n"] for d in DOCUMENTS))}


def places() -> Collections:
    random.seed(1)
    made = Collections(c=[{"_key": str(n), "loc": [n, n]} for n in range(4)] + [{"_key": "nowhere"}])
    made.indexes_by_name["c"] = [{"type": "geo", "fields": ["loc"], "geoJson": False, "sparse": True}]
    return made


def test_near_and_within_find_by_distance() -> None:
    assert rows("FOR d IN NEAR(c, 1.9, 1.9, 2) RETURN d._key", places()) == ["2", "1"]
    assert len(rows("FOR d IN NEAR(@name, 0, 0) RETURN d", places(), name="c")) == 4
    found = rows("FOR d IN WITHIN(@@c, 0, 0, 200000, 'far') RETURN [d._key, d.far]", places(), at_c="c")
    assert [key for key, _ in found] == ["0", "1"]
    assert found[0][1] == 0
    assert found[1][1] == value("DISTANCE(0, 0, 1, 1)") == pytest.approx(157_249, abs=10)


def test_near_without_a_geo_index_is_refused() -> None:
    with pytest.raises(ArangoError) as error:
        rows("FOR d IN NEAR(c, 0, 0) RETURN d", source())
    assert error.value.number == 1570


def test_a_random_number_differs_from_row_to_row() -> None:
    numbers = rows("FOR i IN 1..20 RETURN RAND()")
    assert len(set(numbers)) == 20
    assert all(0 <= number < 1 for number in numbers)


MIXED = [
    None,
    True,
    -1,
    0,
    0.5,
    7,
    "",
    "2026-06-01 10:00:00",
    "2026-06-01T09:00:00Z",
    "20260601",
    "a",
    "A",
    [],
    {"x": 1},
]


@pytest.mark.parametrize("lower", [">=", ">"])
@pytest.mark.parametrize("upper", ["<", "<="])
@pytest.mark.parametrize("sort", ["", "SORT d.v DESC, d._key LIMIT 3"])
def test_ranges_whose_bounds_change_find_with_an_index_what_they_find_without(
    lower: str, upper: str, sort: str
) -> None:
    documents = [{"_key": f"{n}-{copy}", "v": value} for n, value in enumerate(MIXED) for copy in range(2)]
    ranges = [[low, high] for low in MIXED for high in MIXED]
    query = (
        "FOR r IN @ranges LET found = (FOR d IN c"
        f" FILTER d.v {lower} r[0] AND d.v {upper} r[1] FILTER d._key != '3-1' {sort} RETURN d._key) RETURN found"
    )
    plain, indexed = Collections(c=documents), Collections(c=documents)
    indexed.indexes_by_name["c"] = [{"type": "persistent", "fields": ["v", "_key"], "sparse": False}]
    without, by_index = (run(query, each, seed=1, ranges=ranges) for each in (plain, indexed))
    assert [sorted(found) for found in by_index.rows] == [sorted(found) for found in without.rows]
    assert any(by_index.rows)
    assert (by_index.stats["scannedFull"], without.stats["scannedIndex"]) == (0, 0)
