"""Functions over regular expressions: those patterns only that ICU and Python read alike."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import aql
from cdp_sandbox.arango.aql.values import is_number, to_bool, to_int, to_string
from cdp_sandbox.arango.errors import not_implemented

# Literals, dots, simple classes, groups, alternatives, anchors and greedy or lazy quantifiers.
_AGREED = re.compile(
    r"(?:(?:[^\\\[\](){}?*+|.^$]|\.|\((?!\?)|\)|\[\^?(?:\w-\w|[\w .,;:@#%!/])+-?\])"
    r"(?:[?*+]\??|\{\d+(?:,\d*)?\}\??)?|[|^$])*"
)
_LINE_ENDS = re.compile("[\n\r\x0b\x0c\x85\u2028\u2029]")


@lru_cache(maxsize=512)
def _compile(pattern: str, *, any_case: bool) -> re.Pattern[str]:
    if _AGREED.fullmatch(pattern):
        try:
            return re.compile(pattern, re.IGNORECASE if any_case else 0)
        except re.error:
            pass
    msg = f"the regular expression {pattern[:80]!r}"
    raise not_implemented(msg)


def _prepare(value: Any, regex: Any, any_case: Any) -> tuple[str, re.Pattern[str]]:
    text, pattern = to_string(value), to_string(regex)
    if "\\" in text or _LINE_ENDS.search(text) or (to_bool(any_case) and not (text + pattern).isascii()):
        msg = "matching text with backslashes, line ends or, in any case, characters that are not ASCII"
        raise not_implemented(msg)
    return text, _compile(pattern, any_case=to_bool(any_case))


@aql(least=2, most=3)
def regex_test(_context: Context, value: Any, regex: Any, any_case: Any = False) -> bool:
    text, pattern = _prepare(value, regex, any_case)
    return pattern.search(text) is not None


@aql(least=2, most=3)
def regex_matches(_context: Context, value: Any, regex: Any, any_case: Any = False) -> Any:
    text, pattern = _prepare(value, regex, any_case)
    if not text:
        msg = "REGEX_MATCHES() of empty text"
        raise not_implemented(msg)
    match = pattern.search(text)
    return [match[0], *(group or "" for group in match.groups())] if match else None


@aql(least=3, most=4)
def regex_replace(_context: Context, value: Any, regex: Any, replacement: Any, any_case: Any = False) -> str:
    text, pattern = _prepare(value, regex, any_case)
    new = to_string(replacement)
    _no_empty_match(pattern, new)
    return pattern.sub(new, text)


@aql(least=2, most=4)
def regex_split(context: Context, value: Any, regex: Any, any_case: Any = False, *limit: Any) -> Any:
    count = None
    if limit:
        if not is_number(limit[0]):
            return context.invalid_argument("REGEX_SPLIT")
        count = to_int(limit[0])
        if count <= 0:
            return [] if count == 0 else None
    text, pattern = _prepare(value, regex, any_case)
    _no_empty_match(pattern, "")
    parts = pattern.split(text)
    if pattern.groups or (len(parts) > 15 and not parts[-1]):
        msg = "REGEX_SPLIT() with groups or into very many parts"
        raise not_implemented(msg)
    return parts[:count]


def _no_empty_match(pattern: re.Pattern[str], replacement: str) -> None:
    if pattern.match("") or "$" in replacement or "\\" in replacement or any(char in pattern.pattern for char in "^$"):
        msg = "replacing or splitting by what may be empty"
        raise not_implemented(msg)
