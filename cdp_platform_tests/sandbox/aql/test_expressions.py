"""Operators, order of values, casts and access, as ArangoDB documents them."""

from __future__ import annotations

import pytest

from cdp_platform_tests.sandbox.aql.memory import rows, value

IN_ORDER = [
    "null",
    "false",
    "true",
    "-5",
    "0",
    "5",
    "5.5",
    '""',
    '"A"',
    '"a"',
    '"b"',
    "[]",
    "[false]",
    "[false, true]",
    "[0]",
    "[1, 2]",
    "[2]",
    "[99, 99]",
    "[100]",
    '[""]',
    "{}",
    "{b: 1}",
    "{a: false}",
    "{a: 0}",
    "{a: 0, b: 1}",
    "{A: 1}",
]


def test_values_of_all_types_have_one_order():
    for low, left in enumerate(IN_ORDER):
        for high, right in enumerate(IN_ORDER):
            assert value(f"{left} < {right}") is (low < high), (left, right)
            assert value(f"{left} >= {right}") is (low >= high), (left, right)
            assert value(f"{left} == {right}") is (low == high), (left, right)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 == null", False),
        ("1 > 0", True),
        ("true != null", True),
        ('45 <= "yikes!"', True),
        ('65 != "65"', True),
        ("1.5 IN [2, 3, 1.5]", True),
        ('"foo" IN null', False),
        ("42 NOT IN [17, 40, 50]", True),
        ("1 NOT IN null", False),
        ('"abc" == "ABC"', False),
        ('"foo" LIKE "f%"', True),
        ('"foo" NOT LIKE "f%"', False),
        ('"foo" =~ "^f[o].$"', True),
        ('"foo" !~ "[a-z]+bar$"', True),
        ('"a_b_foo" LIKE "a\\\\_b\\\\_foo"', True),
        ("{a: null, b: 1} == {b: 1}", True),
        ("[1, null] == [1]", True),
        ("true == 1", False),
        ("1 == 1.0", True),
        ("[1, 2, 3] ALL IN [2, 3, 4]", False),
        ("[1, 2, 3] ALL IN [1, 2, 3]", True),
        ("[1, 2, 3] NONE IN [3]", False),
        ("[1, 2, 3] NONE IN [23, 42]", True),
        ("[1, 2, 3] ANY IN [4, 5, 6]", False),
        ("[1, 2, 3] ANY == 2", True),
        ("[1, 2, 3] ANY <= 1", True),
        ("[1, 2, 3] NONE < 99", False),
        ("[1, 2, 3] ALL > 2", False),
        ('["foo", "bar"] ALL != "moo"', True),
        ("[] ALL == 1", False),
        ("[] ANY == 1", False),
        ("[] NONE == 1", True),
        ("25 > 1 && 42 != 7", True),
        ("22 IN [23, 42] || 23 NOT IN [22, 7]", True),
        ("1 || 7", 1),
        ('null || "foo"', "foo"),
        ("null && true", None),
        ("true && 23", 23),
        ("[] && 1", 1),
        ('"" || 0', 0),
        ("!!-0.0", False),
        ("not not 1", True),
        ('1 + "a"', 1),
        ('1 + "99"', 100),
        ("1 + null", 1),
        ("3 + []", 3),
        ("24 + [2]", 26),
        ("24 + [2, 4]", 24),
        ("17 - true", 16),
        ("23 * {}", 0),
        ("5 * [7]", 35),
        ('24 / "12"', 2),
        ("23 % 7", 2),
        ("-7 % 3", -1),
        ("7 / 2", 3.5),
        ("+'5'", 5),
        ("+[8, 9]", 0),
        ("-[8]", -8),
        ("-{}", 0),
        ('+" 1.5 "', 1.5),
        ('+"1.5x"', 0),
        ("1 ? 2 : 3", 2),
        ("'' ? 2 : 3", 3),
        ("0 ? : 'none'", "none"),
        ("5 ? : 'none'", 5),
        ("1 ? 2 : 3 ? 4 : 5", 2),
        ("2010..2013", [2010, 2011, 2012, 2013]),
        ("3..1", [3, 2, 1]),
        ("1.9..3.9", [1, 2, 3]),
        ("-1..1", [-1, 0, 1]),
        # `<` binds tighter than IN, IN tighter than ==, NOT tighter than all of them.
        ("1 < 2 IN [true]", True),
        ("1 IN [1] == true", True),
        ("true == 1 IN [1]", True),
        ("NOT 1 == false", True),
        ("NOT 'a' LIKE 'a'", False),
        ("1 + 2 * 3 - 4", 3),
        ("1 || 0 && 0", 1),
        ("1..2 == [1, 2]", True),
        ("0xff + 0b11", 258),
        ("1e3", 1000),
        (".5", 0.5),
        ("9223372036854775808", 9223372036854775808.0),
        ("9007199254740993 + 0", 9007199254740993),
        ("1e308 * 10", None),
        ("'it\\'s'", "it's"),
        ('"\\u00e9\\n"', "é\n"),
        ('"\\ud83d\\ude00"', "😀"),
        ("[1, 2,]", [1, 2]),
        ("{a: 1,}", {"a": 1}),
        ("{'a b': 1, [CONCAT('x', 1)]: 2}", {"a b": 1, "x1": 2}),
        ("{a: 1, a: 2}", {"a": 2}),
        ("[1, 2, 3][-1]", 3),
        ("[1, 2, 3][3]", None),
        ("[1, 2, 3]['1']", 2),
        ("[1, 2, 3]['x']", None),
        ("[1][1.9 - 1]", 1),
        ("{foo: 'bar'}[0]", None),
        ("{'1': 'one'}[1]", "one"),
        ("{a: {b: 1}}.a.b", 1),
        ("{a: 1}.a.b", None),
        ("(null).a", None),
        ("('text').length", None),
        ("[[1, 2], 3, [4, 5], 6][** FILTER CURRENT % 2 == 0]", [2, 4, 6]),
        ("[{f: [{n: 1}]}, {f: [{n: 2}, {n: 3}]}][*].f[*].n", [[1], [2, 3]]),
        ("[{f: [{n: 1}]}, {f: [{n: 2}, {n: 3}]}][*].f[**].n", [1, 2, 3]),
        ("(null)[*]", []),
        ("(5)[*].a", []),
        ("[1, 2, 3, 4][* FILTER CURRENT > 1 LIMIT 1, 2 RETURN CURRENT * 10]", [30, 40]),
        ("[1, 2][* LIMIT 0]", []),
        ("[][?]", False),
        ("[42][?]", True),
        ("[1, 2][? FILTER CURRENT > 1]", True),
        ("('a')[?]", False),
    ],
)
def test_expressions_have_their_documented_values(expression, expected):
    found = value(expression)
    assert found == expected
    assert isinstance(found, bool) is isinstance(expected, bool)


def test_attribute_access_on_what_is_no_object_is_null():
    values = [{"name": "sir"}, {"person": {"name": "gadgetto"}}, {"name": "everybody"}, "someone"]
    assert rows("FOR v IN @values RETURN v.name", values=values) == ["sir", None, "everybody", None]
    assert rows("FOR v IN @values RETURN v.person.name", values=values) == [None, "gadgetto", None, None]
    assert rows("RETURN (FOR v IN @values RETURN v).name", values=values) == [None]


def test_bind_parameters_stand_for_values_and_attribute_names():
    assert value("@o.@name", o={"a": {"b": 1}}, name=["a", "b"]) == 1
    assert value("{@name: 1}", name="x") == {"x": 1}


def test_in_finds_values_as_equality_does():
    haystack = [1, True, None, "a", [1], {"a": None}, 2.0]
    needles = [1.0, True, False, None, "a", [1, None], {}, 2, "1", 0]
    assert rows("FOR n IN @needles RETURN n IN @haystack", needles=needles, haystack=haystack) == [
        True,
        True,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        False,
    ]


def test_keywords_comments_and_quoted_names_are_read_as_the_server_does():
    assert rows("/* a */ for `x y` in [1] // b\n return {`x y`, \u00b4z\u00b4: 1}") == [{"x y": 1, "z": 1}]
