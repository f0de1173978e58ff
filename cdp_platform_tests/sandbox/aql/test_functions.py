"""Functions with the values that ArangoDB documents, and with arguments that nobody should pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from cdp_platform_tests.sandbox.aql.memory import Collections, refused, require_foreseen, run, value
from cdp_sandbox.arango.aql import execute
from cdp_sandbox.arango.aql.functions import FUNCTIONS
from cdp_sandbox.arango.aql.functions.registry import MANY


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("TO_STRING(null)", ""),
        ("TO_STRING(-1.23)", "-1.23"),
        ("TO_STRING(0.0000002)", "2e-7"),
        ('TO_STRING({foo: "bar", baz: null})', '{"foo":"bar","baz":null}'),
        ("TO_ARRAY({foo: 1, bar: [2]})", [1, [2]]),
        ("TO_ARRAY(null)", []),
        ('TO_NUMBER("0x")', 0),
        ("TO_NUMBER([[5]])", 5),
        ("TO_BOOL([])", True),
        ("TYPENAME(1..2)", "array"),
        ("NOT_NULL(null, false, 1)", False),
        ("FIRST_DOCUMENT(1, {a: 1})", {"a": 1}),
        ("TYPENAME(null)", "null"),
        ("CEIL(2.49)", 3),
        ("CEIL(-2.51)", -2),
        ("FLOOR(-2.5)", -3),
        ("ROUND(2.5)", 3),
        ("ROUND(-2.5)", -2),
        ("ABS('-5')", 5),
        ("SQRT(-1)", None),
        ("POW(5, -1)", 0.2),
        ("POW(0, -1)", None),
        ("AVERAGE([5, 2, 9, 2])", 4.5),
        ("AVERAGE([-3, -5, 2])", -2),
        ("AVERAGE([])", None),
        ("SUM([1, null, 2])", 3),
        ('SUM([1, "2"])', None),
        ("SUM([0.1, 0.2, 0.3])", 0.6000000000000001),
        ("MIN([5, 9, -2, null, 1])", -2),
        ("MAX([null, null])", None),
        ('MAX([1, "a", []])', []),
        ("MEDIAN([4, 2, 3, 1])", 2.5),
        ("PRODUCT([])", 1),
        ("RANGE(1, 4, 3)", [1, 4]),
        ("RANGE(1.5, 2.5)", [1, 2]),
        ("RANGE(-0.75, 1.1, 0.5)", [-0.75, -0.25, 0.25, 0.75]),
        ("COUNT_DISTINCT([1, 1.0, true, null, null])", 3),
        ('NTH(["foo", "bar"], -1)', None),
        ("SLICE([1, 2, 3, 4, 5], -3, 2)", [3, 4]),
        ("SLICE([1, 2, 3], 0, -2)", [1]),
        ("FLATTEN([1, [2, [3, [4]]]])", [1, 2, [3, [4]]]),
        ("FLATTEN([1, [2, [3, [4]]]], 2)", [1, 2, 3, [4]]),
        ("PUSH([1], 1, true)", [1]),
        ("PUSH(null, 1)", [1]),
        ("APPEND([1, 1], [3, 1, 3], true)", [1, 3]),
        ("APPEND(null, 1)", 1),
        ("SORTED([8, '4', 2, null, 10])", [None, 2, 8, 10, "4"]),
        ("SORTED_UNIQUE([8, 4, 2, 8, 2])", [2, 4, 8]),
        ("UNIQUE([1, '1', 1.0, [1], [1]])", [1, "1", [1]]),
        ("UNION([1], [1, 2])", [1, 1, 2]),
        ("MINUS([1, 2], [2])", [1]),
        ("POSITION([1, [2]], [2], true)", 1),
        ("REVERSE('abc')", "cba"),
        ("REMOVE_VALUE([1, 2, 1], 1, 1)", [2, 1]),
        ("IN_RANGE('b', 'a', 'b', true, false)", False),
        ("LENGTH('電脑')", 2),
        ("LENGTH(1.50)", 3),
        ("LENGTH(null)", 0),
        ("CONCAT([1, [2]], null, {a: 1})", '[1,[2]]{"a":1}'),
        ("CHAR_LENGTH({a: 1})", 7),
        ("SUBSTRING('holy guacamole', -9)", "guacamole"),
        ("SUBSTRING('abc', 1, -1)", ""),
        ("SUBSTRING('abc', -9, 2)", "ab"),
        ("LEFT('foobar', -1)", ""),
        ("RIGHT('foobar', 10)", "foobar"),
        ("TRIM('  a  ', 1)", "a  "),
        ("TRIM('xxaxx', 'x')", "a"),
        ("LTRIM('  a', null)", "  a"),
        ("UPPER('ß')", "SS"),
        ("SPLIT('a,b;c', [',', ';'])", ["a", "b", "c"]),
        ("SPLIT('', ',')", [""]),
        ("SPLIT('a,b', ',', 0)", []),
        ("SPLIT(5)", [5]),
        ("SUBSTITUTE('the quick the', 'the', 'a', 1)", "a quick the"),
        ("SUBSTITUTE('a.b', '.', '')", "ab"),
        ("STARTS_WITH('foobar', ['foo', 'fo', 'x'], 2)", True),
        ("STARTS_WITH('foobar', '')", True),
        ("CONTAINS('abc', '')", False),
        ("FIND_LAST('foobarbaz', '', 0, 4)", 5),
        ("FIND_FIRST('abc', '', 2)", 2),
        ("FIND_FIRST('abc', 'a', -1)", -1),
        ('LIKE("cart", "ca_t")', True),
        ('LIKE("carrot", "ca_t")', False),
        ('LIKE("FoO bAr BaZ", "fOo%bAz", true)', True),
        ('LIKE("a.c", "a.c")', True),
        ('LIKE("abc", "a.c")', False),
        ('LIKE("NGUYỄN", "nguyễn", true)', True),
        ('LIKE(null, "%")', True),
        ("SHA1('foobar')", "8843d7f92416211de9ebb963ff4ce28125932878"),
        ("REGEX_REPLACE('aab', 'a+', 'x')", "xb"),
        ('HAS({name: null}, "name")', True),
        ("HAS(null, 'a')", False),
        ("ATTRIBUTES({b: 1, a: 1, _k: 1}, true, true)", ["a", "b"]),
        ('KEEP({a: 1, b: 2}, "a", 1)', {"a": 1}),
        ("UNSET({a: 1, b: 2}, ['a'])", {"b": 2}),
        ("ZIP([1, 1], [2, 3])", {"1": 2}),
        ("MERGE({a: 1}, {a: null, b: 2})", {"a": None, "b": 2}),
        ("MERGE([])", {}),
        ("MERGE_RECURSIVE({a: {b: 1}}, {a: {c: 2}})", {"a": {"b": 1, "c": 2}}),
        ("TRANSLATE('x', {x: null})", None),
        ("TRANSLATE('y', {x: 1}, 'none')", "none"),
        ("MATCHES({a: 1}, [{a: 2}, {b: null}], true)", 1),
        ("PARSE_IDENTIFIER('c/k')", {"collection": "c", "key": "k"}),
        ("PARSE_IDENTIFIER({_id: 'c/k'}).key", "k"),
        ('DECODE_REV("_YU0HOEG---")', {"date": "2019-03-11T16:15:05.314Z", "count": 0}),
        ("JSON_PARSE('[1.0, 2')", None),
        ("JSON_STRINGIFY([1, {'2': .5}])", '[1,{"2":0.5}]'),
        ("lower('ABC')", "abc"),
    ],
)
def test_functions_have_their_documented_values(expression, expected):
    found = value(expression)
    assert found == expected
    assert isinstance(found, bool) is isinstance(expected, bool)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('DATE_ISO8601("2014-05-07 14:19:09.522Z")', "2014-05-07T14:19:09.522Z"),
        ("DATE_ISO8601(2014, 5, 7, 14, 19, 9, 522)", "2014-05-07T14:19:09.522Z"),
        ("DATE_ISO8601(1399472349522)", "2014-05-07T14:19:09.522Z"),
        ('DATE_ISO8601("2014")', "2014-01-01T00:00:00.000Z"),
        ('DATE_ISO8601("2014-5-7T01:02+07:30")', "2014-05-06T17:32:00.000Z"),
        ('DATE_ISO8601("0000-01-01")', "0000-01-01T00:00:00.000Z"),
        ('DATE_ISO8601("2016-02-31")', "2016-03-02T00:00:00.000Z"),
        ("DATE_TIMESTAMP(2016, 2, 32)", 1456963200000),
        ("DATE_TIMESTAMP(1970, 1, 1, 26)", 93600000),
        ("DATE_TIMESTAMP(2016, 12, -1)", None),
        ('DATE_UTCTOLOCAL("2020-03-15T00:00:00.000Z", "Europe/Berlin")', "2020-03-15T01:00:00.000"),
        ('DATE_UTCTOLOCAL("2020-07-15", "Asia/Ho_Chi_Minh")', "2020-07-15T07:00:00.000"),
        ('DATE_UTCTOLOCAL(1399472349522, "UTC")', "2014-05-07T14:19:09.522"),
        ('DATE_UTCTOLOCAL(null, "UTC")', None),
        ('DATE_YEAR("no date")', None),
        ("DATE_YEAR(null)", None),
        ("DATE_YEAR(253402300800000)", None),
        ('IS_DATESTRING("2015-02-31")', True),
        ('IS_DATESTRING("2015-13")', False),
        ("IS_DATESTRING(0)", False),
        ('DATE_DAYOFWEEK("2020-08-29")', 6),
        ('DATE_DAYOFYEAR("2020-08-29")', 242),
        ('DATE_ISOWEEK("2020-08-29")', 35),
        ('DATE_LEAPYEAR("2000")', True),
        ('DATE_LEAPYEAR("1900")', False),
        ("DATE_TRUNC('2017-02-03 04:05:06', 'hours')", "2017-02-03T04:00:00.000Z"),
        ("DATE_TRUNC('2017-02-03', 'Month')", "2017-02-01T00:00:00.000Z"),
        ("DATE_TRUNC('2017-02-03', 'week')", None),
        ("DATE_ROUND('2000-04-10T11:39:29Z', 15, 'minutes')", "2000-04-10T11:30:00.000Z"),
        ("DATE_ADD('2015-04-01', 61, 'months')", "2020-05-01T00:00:00.000Z"),
        ("DATE_ADD('2016-01-31', 1, 'm')", "2016-03-02T00:00:00.000Z"),
        ("DATE_ADD('2000-01-01', 'P1Y2M3W4DT5H6M7.89S')", "2001-03-26T05:06:07.890Z"),
        ("DATE_ADD('2016-02-01', 1.5, 'day')", "2016-02-02T12:00:00.000Z"),
        ("DATE_SUBTRACT('2016-03-01', 1, 'day')", "2016-02-29T00:00:00.000Z"),
        ("DATE_ADD('2016', 'P')", None),
        ("DATE_ADD('9999-12-31', 1, 'day')", None),
        ("DATE_DIFF('2000-01-01', '2000-01-02T12:00', 'd')", 2),
        ("DATE_DIFF('2000-01-02T12:00', '2000-01-01', 'd', true)", -1.5),
        ("DATE_DIFF('2000', '2001', 'y')", 1),
        ("DATE_COMPARE('1985-04-04', '2001-04-04', 'months', 'days')", True),
        ("DATE_FORMAT('1969', \"Summer of '%yy\")", "Summer of '69"),
        ("DATE_FORMAT('2016', '%%l = %l')", "%l = 1"),
        (
            "DATE_FORMAT('2016-03-01', '%www %dd.%mm.%yyyy %hh:%ii:%ss,%fff %mmm %m%&month%')",
            "Tue 01.03.2016 00:00:00,000 Mar 3month",
        ),
    ],
)
def test_date_functions_have_their_documented_values(expression, expected):
    assert value(expression) == expected


def test_date_now_is_the_clock_that_was_passed():
    clock = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    result = execute("RETURN DATE_ISO8601(DATE_NOW())", {}, Collections(), now=lambda: clock)
    assert result.rows == ["2024-05-06T07:08:09.123Z"]


def test_documents_are_found_by_identifier_or_not_at_all():
    source = Collections(users=[{"_key": "1", "_id": "users/1", "name": "x"}])
    assert value("DOCUMENT('users/1').name", source) == "x"
    assert value("DOCUMENT(users, ['1', '2', 'users/1'])[*].name", source) == ["x", "x"]
    assert value("[DOCUMENT('users/2'), DOCUMENT('others/1'), DOCUMENT(5)]", source) == [None, None, None]
    assert value("[LENGTH(users), COUNT(@@c), COLLECTION_COUNT('users')]", source, at_c="users") == [1, 1, 1]


def test_wrong_types_give_null_and_a_warning():
    result = run("RETURN [FIRST(1), KEEP(1, 'a'), DATE_YEAR('x')]")
    assert result.rows == [[None, None, None]]
    assert result.warnings == [
        {"code": 1563, "message": "in function 'FIRST()': array expected"},
        {"code": 1542, "message": "invalid argument type in call to function 'KEEP()'"},
        {"code": 1572, "message": "in function 'DATE_YEAR()': invalid date value"},
    ]


ODD = [
    None,
    True,
    -1,
    0,
    2**63,
    1.5,
    -0.0,
    1e300,
    "",
    "a\\b",
    "12",
    "\uff12",
    "\ud7ff😀",
    "users",
    "users/1",
    "2020-02-30T25:61Z",
    "%z(?i)[",
    [],
    [[1], None],
    ["b", "a", "b", 1e308, 1e308],
    {},
    {"a": {"b": []}},
    {"_id": "users/1", "b": None},
]


def argument_lists(least: int, most: int) -> Iterator[tuple[Any, ...]]:
    """All combinations of up to two odd arguments, and some of more."""
    for count in range(least, min(most, least + 2) + 1):
        if count <= 2:
            yield from product(ODD, repeat=count)
        else:
            for shift in range(5 * len(ODD)):
                yield tuple(ODD[(shift * 7 + at * (5 + shift // len(ODD))) % len(ODD)] for at in range(count))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_argument_makes_a_function_fail_other_than_by_refusing(name: str):
    function = FUNCTIONS[name]
    source = Collections(users=[{"_key": "1", "_id": "users/1", "at": [1, 2]}])
    for arguments in argument_lists(function.least, function.most):
        call = f"RETURN {name}({', '.join(f'@a{at}' for at in range(len(arguments)))})"
        require_foreseen(call, {f"a{at}": argument for at, argument in enumerate(arguments)}, source)
        # Not folded before the query runs.
        row = f"FOR row IN @rows RETURN {name}({', '.join(f'row[{at}]' for at in range(len(arguments)))})"
        require_foreseen(row, {"rows": [list(arguments)]}, source)


def test_numbers_of_arguments_that_a_function_does_not_have_are_refused():
    for name, function in FUNCTIONS.items():
        for count in {function.least - 1, function.most + 1} - {-1, MANY + 1}:
            error = refused(f"RETURN {name}({', '.join(['1'] * count)})", {})
            assert error is not None, (name, count)
            assert (error.http_status, error.number) == (400, 1541), (name, count)
