"""The order of strings. Expected orders are those of ICU 78 (root collation, upper case first)."""

# ruff: noqa: RUF001, S311 - odd characters are the subject; the generator guards nothing.

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise

import pytest

from cdp_platform_tests.sandbox.aql.memory import rows, value
from cdp_sandbox.arango.aql.collation import collation_key
from cdp_sandbox.arango.errors import ArangoError

ASCENDING = [
    [
        "",
        "\t",
        "\n",
        " ",
        "_",
        "-",
        ",",
        ";",
        ":",
        "!",
        "?",
        ".",
        "'",
        '"',
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "@",
        "*",
        "/",
    ],
    [
        "\\",
        "&",
        "#",
        "%",
        "`",
        "^",
        "+",
        "<",
        "=",
        ">",
        "|",
        "~",
        "$",
        "0",
        "1",
        "9",
        "A",
        "a",
        "B",
        "b",
        "Z",
        "z",
        "北",
    ],
    ["_x", "0", "09", "1", "10", "2", "a", "A1", "a1", "aa", "Ab", "ab", "b"],
    [
        "A",
        "a",
        "Á",
        "á",
        "À",
        "à",
        "Ă",
        "ă",
        "Ắ",
        "ắ",
        "Ằ",
        "Ẵ",
        "Ẳ",
        "Â",
        "Ấ",
        "Ầ",
        "Ẫ",
        "Ẩ",
        "Ä",
        "Ã",
        "Ả",
        "Ạ",
        "Ặ",
        "Ậ",
    ],
    ["D", "d", "Đ", "đ", "đa", "đá", "e", "é", "ê", "ế", "ề", "ễ", "ể", "ẽ", "ẻ", "ẹ", "ệ", "f"],
    ["o", "ó", "ò", "ô", "ố", "ồ", "ỗ", "ổ", "õ", "ø", "ỏ", "ơ", "ớ", "ờ", "ỡ", "ở", "ợ", "ọ", "ộ", "p"],
    ["ea", "éa", "eb", "éb", "Nguyễn", "nguyễn Văn", "Nguyễn Văn A", "resume", "Resumé", "resumé", "résumé", "z"],
    ["2024-01-02T00:00:00.500Z", "2024-01-02T00:00:00+00:00", "2024-01-02T00:00:00Z", "2024-01-03", "2024-1-2"],
    ["aé", "aẹ", "ae\u0323\u0301", "af", "中", "人", "北京"],
]
# The documented one differs from code point order here, too.
PAIRS = [("_jt3Zdaa---", "_jt3ZdaW--_"), ("a", "B"), ("_x", "0"), ("é", "z"), ("A", "a"), ("…:00.500Z"[1:], ":00Z")]


@pytest.mark.parametrize("ordered", ASCENDING)
def test_strings_have_the_order_of_icu(ordered):
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=collation_key) == ordered


@pytest.mark.parametrize(("low", "high"), PAIRS)
def test_pairs_whose_order_is_not_that_of_code_points(low, high):
    assert value("@a < @b && @b > @a && @a != @b", a=low, b=high) is True


def test_sort_and_comparison_agree():
    words = [word for line in ASCENDING for word in line]
    ordered = rows("FOR w IN @w SORT w RETURN DISTINCT w", w=words)
    for low, high in pairwise(ordered):
        assert value("@a < @b", a=low, b=high) is True


def test_equality_needs_no_collation():
    assert value("['я', '😀'] == ['я', '😀'] && 'я' IN ['ю', 'я'] && 'я' != 'ю'") is True


@pytest.mark.parametrize("text", ["я", "ß", "😀", "ｅ", "\0", "e\u0301\u0328\u0301x\u0327\u0301\u0327", "漢\U00020000"])
def test_characters_whose_order_is_not_known_are_refused(text):
    with pytest.raises(ArangoError, match=r"not implemented: the order of U\+"):
        collation_key(text)


def test_composed_and_decomposed_text_sort_together():
    composed = ["é", "ế", "ạ", "Đ"]
    for text in composed:
        decomposed = unicodedata.normalize("NFD", text)
        assert collation_key(text) == collation_key(decomposed)
