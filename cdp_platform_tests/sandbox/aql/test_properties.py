"""What holds for all values and all expressions."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_platform_tests.sandbox.aql.memory import Collections, require_foreseen, run
from cdp_sandbox.arango.aql import parse
from cdp_sandbox.arango.aql.functions import FUNCTIONS
from cdp_sandbox.arango.aql.values import Members, compare, equal, hash_key, sort_key
from cdp_sandbox.arango.errors import ArangoError

TEXT = st.text(alphabet="aAbB _-.:019éÉđạ", max_size=4)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 2.0, 1e300]) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


@given(VALUES, VALUES)
def test_comparison_is_antisymmetric_and_agrees_with_equality(left, right):
    assert compare(left, right) == -compare(right, left)
    assert (compare(left, right) == 0) is equal(left, right)
    assert (sort_key(left) < sort_key(right)) is (compare(left, right) < 0)
    if hash_key(left) == hash_key(right):
        assert equal(left, right)


@given(VALUES, VALUES, VALUES)
def test_comparison_is_transitive(a, b, c):
    low, middle, high = sorted([a, b, c], key=sort_key)
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0


@given(VALUES, st.lists(VALUES, max_size=5))
def test_a_prepared_list_has_the_members_that_equality_finds(needle, values):
    assert (needle in Members(values)) is any(equal(needle, item) for item in values)


@given(st.lists(st.tuples(SCALARS, SCALARS), max_size=12), st.booleans(), st.booleans(), st.integers(0, 12))
def test_sorting_depends_on_the_shuffle_in_nothing_but_ties(pairs, first, second, count):
    documents = [{"a": a, "b": b, "n": n} for n, (a, b) in enumerate(pairs)]
    directions = ["DESC" if down else "ASC" for down in (first, second)]
    query = f"FOR d IN c SORT d.a {directions[0]}, d.b {directions[1]}, d.n LIMIT {count} RETURN d.n"
    plain = run(query, Collections(c=documents)).rows
    assert run(query, Collections(c=documents), seed=count).rows == plain
    keys = f"FOR d IN c SORT d.a {directions[0]}, d.b {directions[1]} RETURN [d.a, d.b]"
    assert run(keys, Collections(c=documents), seed=1).rows == run(keys, Collections(c=documents), seed=2).rows


LEAVES = st.sampled_from(
    [
        "null",
        "true",
        "0",
        "-1.5",
        "'a'",
        "''",
        "'2020-01-01'",
        "[]",
        "{}",
        "[1, 'b', [null]]",
        "{a: {b: 1}}",
        "x",
        "@v",
        "1..3",
        "users",
    ]
)


def _combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(
        ["NOT IN", "ANY ==", "ALL IN", *"+ - * / % == != < <= > >= IN AND OR LIKE =~ ..".split()]
    )
    calls = st.sampled_from(sorted(FUNCTIONS))
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("{}({})".format, calls, st.lists(inner, max_size=3).map(", ".join)),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({}).a[*].b".format, inner),
        st.builds("({})[** FILTER CURRENT > {} LIMIT 1, 2]".format, inner, inner),
        st.builds("(FOR y IN [{}] SORT y COLLECT z = y INTO g RETURN [z, g])".format, inner),
        st.builds("-{}".format, inner),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, _combine, max_leaves=8), VALUES)
def test_an_expression_has_a_value_or_is_refused(expression, bound):
    source = Collections(users=[{"_key": "1"}])
    query = f"FOR x IN [1, 'a', [2]] FILTER @v == @v RETURN {expression}"
    require_foreseen(query, {"v": bound}, source)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="FORINRETUN xab@[](){}.,:?*'\"`\\/=<>!&|~19\n", max_size=30))
def test_any_text_is_parsed_or_refused(text):
    with suppress(ArangoError):
        parse(text)
