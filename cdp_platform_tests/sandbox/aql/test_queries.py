"""Statements: what rows come out, and in which order."""

# ruff: noqa: S311 - the generator guards nothing.

from __future__ import annotations

import random

import pytest

from cdp_platform_tests.sandbox.aql.memory import Collections, rows, run
from cdp_sandbox.arango.aql import execute

USERS = [
    {"name": name, "age": age, "gender": gender, "active": active}
    for name, age, gender, active in [
        ("Katie", 27, "f", True),
        ("Mariah", 34, "f", False),
        ("Mary", 31, "f", True),
        ("Andy", 30, "m", True),
        ("John", 33, "m", True),
        ("Jim", 38, "m", True),
        ("Lucy", 32, "f", True),
        ("Sophia", 35, "f", True),
        ("Eva", 36, "f", True),
        ("Alex", 28, "m", True),
    ]
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("let x = (for u in (for v in [1,2,3] return v+1) return u) return x", [[2, 3, 4]]),
        ("filter 1 == 1 filter 1 == 0 return 1", []),
        ("let a = (for x in [1,2,3] sort x desc return x) return a", [[3, 2, 1]]),
        ("limit 0 return 1", []),
        ("FOR i IN 1..1000 FILTER i > 500 LIMIT 3 RETURN i", [501, 502, 503]),
        ("FOR i IN 1..10 LIMIT 8, 5 RETURN i", [9, 10]),
        ("FOR i IN 1..10 SORT i DESC LIMIT 1, 2 RETURN i", [9, 8]),
        ("FOR a IN 1..2 FOR b IN a..2 RETURN [a, b]", [[1, 1], [1, 2], [2, 2]]),
        ("FOR a IN [1] RETURN (FOR b IN [a] RETURN (FOR c IN [a + b] RETURN c))", [[[2]]]),
        ("RETURN FIRST(FOR i IN [3, 1, 2] SORT i RETURN i)", [1]),
        ("FOR x IN [1, '1', 1.0, null, null] RETURN DISTINCT x", [1, "1", None]),
        ("LET a = 1, b = a + 1 RETURN [a, b]", [[1, 2]]),
        ("FOR x IN [3, null, 'a', [], 1, true] SORT x RETURN x", [None, True, 1, 3, "a", []]),
        ("FOR x IN [{a: 1, b: 1}, {a: 1, b: 2}, {a: 0, b: 3}] SORT x.a DESC, x.b RETURN x.b", [1, 2, 3]),
        ("FOR x IN [{a: 1, b: 1}, {a: 1, b: 2}, {a: 0, b: 3}] SORT x.a, x.b DESC RETURN x.b", [3, 2, 1]),
        ("FOR x IN [] COLLECT WITH COUNT INTO n RETURN n", [0]),
        (
            "FOR x IN [] COLLECT AGGREGATE a = MAX(x), b = SUM(x), c = COUNT(x), d = UNIQUE(x) RETURN [a, b, c, d]",
            [[None, None, 0, []]],
        ),
        ("FOR x IN [] COLLECT y = x RETURN y", []),
        (
            "FOR x IN [1, 2, 3] COLLECT odd = x % 2 INTO g RETURN {odd, g}",
            [{"odd": 0, "g": [{"x": 2}]}, {"odd": 1, "g": [{"x": 1}, {"x": 3}]}],
        ),
        ("FOR x IN [1, 2, 3] LET y = -x COLLECT odd = x % 2 INTO g KEEP y RETURN g[*].y", [[-2], [-1, -3]]),
        ("FOR x IN [1, 2, 3] COLLECT odd = x % 2 INTO g = x * 10 RETURN g", [[20], [10, 30]]),
        ("FOR x IN ['b', 'a', 'B', 'b'] COLLECT y = x WITH COUNT INTO n RETURN [y, n]", [["a", 1], ["B", 1], ["b", 2]]),
        ("FOR x IN [1, 2] COLLECT y = x LET x = y * 2 RETURN x", [2, 4]),
        (
            "FOR x IN [1, 2, null] COLLECT AGGREGATE a = AVG(x), s = SUM(x), l = LENGTH(x) RETURN [a, s, l]",
            [[1.5, 3, 3]],
        ),
        ("FOR x IN [1, 2] COLLECT y = x SORT y DESC RETURN y", [2, 1]),
    ],
)
def test_queries_give_their_documented_rows(query, expected):
    assert rows(query) == expected


def test_groups_are_counted_and_aggregated_as_in_the_manual():
    source = Collections(users=USERS)
    query = """FOR u IN users COLLECT ageGroup = FLOOR(u.age / 5) * 5, gender = u.gender WITH COUNT INTO n
               SORT ageGroup DESC, gender RETURN [ageGroup, gender, n]"""
    assert rows(query, source) == [[35, "f", 2], [35, "m", 1], [30, "f", 3], [30, "m", 2], [25, "f", 1], [25, "m", 1]]
    query = """FOR u IN users COLLECT AGGREGATE low = MIN(u.age), high = MAX(u.age), mean = AVERAGE(u.age),
               sexes = SORTED_UNIQUE(u.gender), ages = COUNT_DISTINCT(u.age) RETURN {low, high, mean, sexes, ages}"""
    assert rows(query, source) == [{"low": 27, "high": 38, "mean": 32.4, "sexes": ["f", "m"], "ages": 10}]


def test_a_missing_attribute_is_smaller_than_every_number():
    source = Collections(users=[{"age": 40}, {"age": 20}, {"name": "x"}, {"age": None}])
    assert len(rows("FOR u IN users FILTER u.age < 39 RETURN u", source)) == 3
    assert len(rows("FOR u IN users FILTER u.age == null RETURN u", source)) == 2


def test_full_count_is_what_the_last_limit_of_the_main_query_cuts():
    def full_count(query: str) -> int | None:
        return execute(query, {}, Collections(), full_count=True).full_count

    assert full_count("FOR i IN 1..1000 FILTER i > 500 LIMIT 10 RETURN i") == 500
    assert full_count("FOR i IN 1..1000 SORT i DESC LIMIT 10 RETURN i") == 1000
    assert full_count("FOR i IN 1..1000 LIMIT 20 LIMIT 10 RETURN i") == 20
    assert full_count("FOR i IN 1..5 LIMIT 10, 10 RETURN i") == 5
    assert full_count("RETURN (FOR i IN 1..5 LIMIT 2 RETURN i)") is None
    assert execute("FOR i IN 1..5 LIMIT 2 RETURN i", {}, Collections()).full_count is None


def test_a_limit_stops_the_work():
    assert rows("FOR i IN 1..9000000 LIMIT 1 RETURN i") == [1]
    assert run("FOR i IN [1, 0] LIMIT 1 RETURN 1 / i").warnings == []


def test_scans_and_ties_come_out_shuffled_and_nothing_else_does():
    numbers = list(range(50))
    source = Collections(c=[{"n": n, "half": n % 2} for n in numbers])
    scans = [run("FOR d IN c RETURN d.n", source, seed=seed).rows for seed in range(3)]
    assert scans[0] != scans[1] != numbers
    assert all(sorted(scan) == numbers for scan in scans)
    ties = [run("FOR n IN @n SORT n % 2 RETURN n", seed=seed, n=numbers).rows for seed in range(3)]
    assert ties[0] != ties[1]
    assert all([n % 2 for n in tie] == [0] * 25 + [1] * 25 for tie in ties)
    assert run("FOR n IN @n RETURN n", seed=1, n=numbers).rows == numbers
    assert run("FOR d IN c SORT d.n RETURN d.n", source, seed=1).rows == numbers
    assert run("FOR d IN c COLLECT h = d.half RETURN h", source, seed=1).rows == [0, 1]


def test_a_limit_after_ties_takes_any_of_them():
    firsts = {run("FOR n IN 1..100 SORT 1 LIMIT 1 RETURN n", seed=seed).rows[0] for seed in range(20)}
    assert len(firsts) > 5


def test_a_page_after_a_key_continues_where_the_last_one_ended():
    rng = random.Random(4)
    documents = [{"_key": f"k{n}", "u": f"2024-01-0{rng.randint(1, 3)}"} for n in range(40)]
    source = Collections(c=documents)
    query = (
        """FOR d IN c FILTER d.u >= @u FILTER d.u > @u OR d._key > @k SORT d.u, d._key LIMIT 7 RETURN [d.u, d._key]"""
    )
    seen, u, k = [], "", ""
    while page := run(query, source, seed=1, u=u, k=k).rows:
        seen.extend(page)
        u, k = page[-1]
    assert len(seen) == 40
    assert seen == rows("FOR d IN c SORT d.u, d._key RETURN [d.u, d._key]", source)


def test_subqueries_run_before_the_expression_they_are_in():
    # So does this version of the server: the branch is not taken, and the query fails all the same.
    with pytest.raises(Exception, match="collection or array expected as operand to FOR loop"):
        rows("LET x = null RETURN x ? (FOR y IN x RETURN y) : 1")


def test_documents_are_handed_out_as_they_are():
    document = {"_key": "1", "nested": {"a": [1.5]}}
    assert rows("FOR d IN c RETURN d", Collections(c=[document])) == [document]


def test_an_extract_for_one_segment_finds_its_profiles():
    source = Collections(p=[{"_key": "1", "inSegments": [{"id": "a"}, {"id": "b"}]}, {"_key": "2"}])
    assert rows("FOR d IN p FILTER @s IN d.inSegments[*].id RETURN d._key", source, s="b") == ["1"]
    query = "RETURN {n: LENGTH(p), last: FIRST(FOR d IN p SORT d._key DESC LIMIT 1 RETURN d._key)}"
    assert rows(query, source) == [{"n": 2, "last": "2"}]
