"""What is refused, and in which words."""

from __future__ import annotations

import pytest

from cdp_platform_tests.sandbox.aql.memory import Collections
from cdp_sandbox.arango.aql import execute, parse
from cdp_sandbox.arango.errors import ArangoError

SOURCE = Collections(c=[{"_key": "1"}])


def refusal(query: str, binds: dict | None = None, *, fail_on_warning: bool = False) -> ArangoError:
    with pytest.raises(ArangoError) as caught:
        execute(query, binds or {}, SOURCE, fail_on_warning=fail_on_warning)
    return caught.value


@pytest.mark.parametrize(
    ("query", "status", "number", "message"),
    [
        ("", 400, 1502, "query is empty"),
        (
            "FOR i IN 1..100 FILTER i = 1 LIMIT 2 RETURN i * 3",
            400,
            1501,
            "AQL: syntax error, unexpected assignment near '= 1 LIMIT 2 RETURN i * 3' at position 1:26 (while parsing)",
        ),
        (
            "RETURN",
            400,
            1501,
            "AQL: syntax error, unexpected end of query string near '' at position 1:7 (while parsing)",
        ),
        (
            "FOR i IN\n  [1] RETURN )",
            400,
            1501,
            "AQL: syntax error, unexpected ) near ')' at position 2:14 (while parsing)",
        ),
        ("RETURN FOO(1)", 400, 1540, "AQL: usage of unknown function 'FOO()' (while parsing)"),
        ("RETURN uuid()", 400, 1540, "AQL: usage of unknown function 'UUID()' (while parsing)"),
        (
            "RETURN LEFT('a')",
            400,
            1541,
            "AQL: invalid number of arguments for function 'LEFT()', expected number of arguments: "
            "minimum: 2, maximum: 2 (while parsing)",
        ),
        ("RETURN @x", 400, 1551, "AQL: no value specified for declared bind parameter 'x' (while parsing)"),
        (
            "FOR d IN @@x RETURN d",
            400,
            1551,
            "AQL: no value specified for declared bind parameter '@x' (while parsing)",
        ),
        ("FOR u IN nope RETURN u", 404, 1203, "AQL: collection or view not found: nope (while parsing)"),
        ("RETURN LENGTH(nope)", 404, 1203, "AQL: collection or view not found: nope (while parsing)"),
        ("RETURN nope", 404, 1203, "AQL: collection or view not found: nope (while parsing)"),
        ("RETURN c", 400, 1568, "AQL: collection 'c' used as expression operand (while parsing)"),
        ("LET a = 1 LET a = 2 RETURN a", 400, 1511, "AQL: variable 'a' is assigned multiple times (while parsing)"),
        ("FOR x IN 1..2 LIMIT -1 RETURN x", 400, 1504, "AQL: number out of range (while parsing)"),
        (
            "FOR x IN [{}] FOR y IN x.a RETURN y",
            400,
            1563,
            "AQL: collection or array expected as operand to FOR loop; "
            "you provided a value of type 'null' (while executing)",
        ),
        (
            "RETURN [1][* RETURN (FOR x IN [CURRENT] RETURN x)]",
            404,
            1203,
            "AQL: collection or view not found: CURRENT (while parsing)",
        ),
        ("RETURN a::b()", 404, 1582, "AQL: user function 'A::B()' not found (while parsing)"),
    ],
)
def test_errors_are_those_of_the_server(query, status, number, message):
    error = refusal(query)
    assert (error.http_status, error.number, error.message) == (status, number, message)


@pytest.mark.parametrize(
    "query",
    [
        "REMOVE 'x' IN c REMOVE 'y' IN c",
        "FOR d IN c REMOVE d",
        "FOR d IN c REMOVE d IN c FOR e IN c RETURN e",
        "RETURN (FOR d IN c REMOVE d IN c RETURN OLD)",
        "UPSERT {a: 1} INSERT {a: 1} UPDATE {} IN c",
        "FOR v IN 1..2 OUTBOUND 'c/1' GRAPH 'g' RETURN v",
        "FOR v, e IN ANY 'c/1' edges RETURN v",
        "FOR v IN OUTBOUND SHORTEST_PATH 'c/1' TO 'c/2' GRAPH 'g' RETURN v",
        "FOR d IN view SEARCH d.a == 1 RETURN d",
        "FOR d IN c WINDOW {preceding: 1} AGGREGATE n = COUNT(1) RETURN n",
        "WITH c FOR d IN c RETURN d",
        "RETURN [1] AT LEAST (1) == 1",
        "RETURN [1][? 1 FILTER CURRENT == 1]",
        "FOR x IN [1] COLLECT y = x OPTIONS {disableIndex: true} RETURN y",
        "FOR x IN [1] SORT x @dir RETURN x",
        "RETURN [1][* RETURN CURRENT].a",
        "RETURN DISTINCT 1",
        "RETURN 'half \\ud800'",
        "RETURN 'a\\%'",
        "RETURN 01",
        "RETURN 'open",
        "FOR x IN [1] COLLECT WITH LENGTH INTO n RETURN n",
        "FOR x IN [1] COLLECT y = x INTO g KEPT x RETURN y",
        "RETURN 1;",
    ],
)
def test_what_is_not_supported_is_a_syntax_error(query):
    assert refusal(query).number == 1501


@pytest.mark.parametrize(
    "query",
    [
        "RETURN MINUS([1, 2, 3], [1])",
        "RETURN ATTRIBUTES({a: 1, b: 2})",
        "RETURN INTERSECTION([1, 2], [1, 2])",
        "RETURN 'a' =~ 'a\\\\d'",
        "RETURN 'a' =~ '(?i)A'",
        "RETURN 'a' =~ '[a--b]'",
        "RETURN 'a\nb' =~ 'a.b'",
        "RETURN 'a' =~ '('",
        "RETURN TO_STRING(1e21)",
        "RETURN 'я' < 'ю'",
        "RETURN '😀' < 'a'",
        "RETURN FIND_FIRST('a\u200db', 'b')",
        "FOR x IN [[], [null]] COLLECT y = x RETURN y",
        "LET a = 1 FOR x IN [1] COLLECT y = x INTO g RETURN g",
        "RETURN 1..99999999999",
        "RETURN APPEND([1, 1], [], true)",
        "RETURN APPEND(null, [1, 1], true)",
        "RETURN OUTERSECTION([1, 2], [3])",
        "RETURN UNION_DISTINCT([1, 2], [3])",
        "RETURN KEYS({a: 1, b: 2})",
        "RETURN REGEX_TEST('a', '(?i)A')",
        "RETURN REGEX_REPLACE('a', 'a', '$1')",
        "RETURN TRIM('a\\\\b')",
        "RETURN LEFT('a', 1e300)",
        "RETURN REPLACE_NTH([], 1e15, 1, 2)",
        "RETURN DATE_ISO8601(2016, 15, 1)",
        "RETURN SPLIT('abc', '')",
        "RETURN 0 + 'inf'",
    ],
)
def test_what_is_not_known_for_sure_is_refused(query):
    error = refusal(query)
    assert (error.http_status, error.number) == (400, 1501)
    assert "not implemented: " in error.message


def test_undeclared_and_wrongly_typed_binds_are_refused():
    assert (
        refusal("RETURN 1", {"x": 1}).message == "AQL: bind parameter 'x' was not declared in the query (while parsing)"
    )
    assert refusal("RETURN @x", {"@x": "c"}).number == 1552
    error = refusal("FOR d IN @@x RETURN d", {"@x": 5})
    assert (error.number, error.message) == (
        1553,
        "AQL: bind parameter '@x' has an invalid value or type (while parsing)",
    )


def test_warnings_are_collected_up_to_ten_or_fail_the_query():
    result = execute("FOR i IN 1..20 RETURN i / (i - i)", {}, SOURCE)
    assert result.rows == [None] * 20
    assert len(result.warnings) == 10
    assert result.warnings[0]["code"] == 1562
    assert execute("FOR i IN 1..10 RETURN 1 / 0", {}, SOURCE).warnings == [
        {"code": 1562, "message": "division by zero"}
    ]
    error = refusal("FOR i IN [0] RETURN 1 / i", fail_on_warning=True)
    assert (error.http_status, error.number) == (400, 1562)


def test_deep_nesting_is_refused():
    assert refusal("RETURN " + "[" * 5000 + "]" * 5000).number == 1524
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    assert refusal("RETURN @x < [@x]", {"x": nested}).number == 1524


def test_parse_names_binds_and_collections():
    parsed = parse(
        "FOR d IN users FOR e IN @@edges FILTER e._from == d._id AND d.@a == @v LET n = d RETURN n.x[* FILTER CURRENT]"
    )
    assert set(parsed.bind_variables) == {"@edges", "a", "v"}
    assert parsed.collections == ("users",)
    with pytest.raises(
        ArangoError, match=r"^syntax error, unexpected RETURN declaration near 'RETURN 1' at position 1:7$"
    ):
        parse("FOR x RETURN 1")
