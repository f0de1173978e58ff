"""Functions over text. What is no text is cast to it first, as the server does; null is empty."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import MANY, aql
from cdp_sandbox.arango.aql.values import (
    is_number,
    number_text,
    to_bool,
    to_int,
    to_json,
    to_string,
)
from cdp_sandbox.arango.errors import not_implemented

_MAX_INT32 = 2**31 - 1
_SPACES = "\r\n\t "
# What `%` and `_` of a LIKE pattern stand for: the server writes (.|[\r\n]), whose dot leaves out these line ends.
_ANY = "[^\x0b\x0c\x85\u2028\u2029]"


@aql(most=MANY)
def concat(_context: Context, *values: Any) -> str:
    parts = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return "".join(map(to_string, parts))


@aql(least=2, most=MANY)
def concat_separator(_context: Context, separator: Any, *values: Any) -> str:
    parts = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return to_string(separator).join(to_string(part) for part in parts if part is not None)


@aql()
def char_length(_context: Context, value: Any) -> int:
    if isinstance(value, list | dict):
        return len(to_json(value).encode())
    if is_number(value):
        return len(number_text(float(value)))
    return len(to_string(value))


@aql()
def lower(_context: Context, value: Any) -> str:
    return to_string(value).lower()


@aql()
def upper(_context: Context, value: Any) -> str:
    return to_string(value).upper()


def _int32(value: Any) -> int:
    number = to_int(value)
    if abs(number) > _MAX_INT32:
        msg = "positions beyond 32 bits in text"
        raise not_implemented(msg)
    return number


@aql(least=2, most=3)
def substring(_context: Context, value: Any, start: Any, *length: Any) -> str:
    text, offset = to_string(value), _int32(start)
    offset = offset if offset >= 0 else max(0, len(text) + offset)
    return text[offset : offset + max(0, _int32(length[0]))] if length else text[offset:]


@aql(least=2)
def left(_context: Context, value: Any, count: Any) -> str:
    return to_string(value)[: max(0, _int32(count))]


@aql(least=2)
def right(_context: Context, value: Any, count: Any) -> str:
    text, number = to_string(value), _int32(count)
    return text[max(0, len(text) - number) :] if number > 0 else ""


@aql(most=2)
def trim(_context: Context, value: Any, *how: Any) -> str:
    text = to_string(value)
    if not how or not isinstance(how[0], str):
        side = to_int(how[0]) if how and is_number(how[0]) else 0
        if "\\" in text:
            # Recordings differ in whether a backslash had reached the server as such.
            msg = "TRIM() of text with backslashes"
            raise not_implemented(msg)
        return {1: text.lstrip(_SPACES), 2: text.rstrip(_SPACES)}.get(side, text.strip(_SPACES))
    return text.strip(_trimmed(how[0])) if how[0] else text


@aql(most=2)
def ltrim(_context: Context, value: Any, *chars: Any) -> str:
    text, trimmed = to_string(value), _trimmed(to_string(chars[0]) if chars else _SPACES)
    return text.lstrip(trimmed) if trimmed else text


@aql(most=2)
def rtrim(_context: Context, value: Any, *chars: Any) -> str:
    text, trimmed = to_string(value), _trimmed(to_string(chars[0]) if chars else _SPACES)
    return text.rstrip(trimmed) if trimmed else text


def _trimmed(chars: str) -> str:
    if max(chars, default="") > "\uffff":
        msg = "trimming characters beyond U+FFFF"
        raise not_implemented(msg)
    return chars


@aql(least=2, most=3)
def contains(_context: Context, value: Any, search: Any, with_index: Any = False) -> Any:
    text, searched = to_string(value), to_string(search)
    index = text.find(searched) if searched else -1
    if not to_bool(with_index):
        return index >= 0
    if index > 0 and not text[:index].isascii():
        msg = "CONTAINS() with a position after characters that are not ASCII"
        raise not_implemented(msg)
    return index


def _searchable(*texts: str) -> None:
    """Refuses where the server's search by collation might find more than equal characters."""
    for text in texts:
        plain = all(" " <= char <= "~" or char in "\t\n\r" or char.isalpha() or char.isdigit() for char in text)
        if not plain or max(text, default="") > "\uffff" or not unicodedata.is_normalized("NFC", text):
            msg = "searching text with unusual characters by collation"
            raise not_implemented(msg)


def _bounds(text: str, bounds: tuple[Any, ...]) -> tuple[int, int] | None:
    start = to_int(bounds[0]) if bounds else 0
    end = len(text) if len(bounds) < 2 or bounds[1] is None else to_int(bounds[1])
    return (start, end) if start >= 0 and (len(bounds) < 2 or bounds[1] is None or end >= start) else None


def _occurrences(text: str, search: str, start: int, end: int) -> Iterator[int]:
    found = text.find(search)
    while found >= 0:
        if found >= start and found + len(search) - 1 <= end:
            yield found
        found = text.find(search, found + len(search))


@aql(least=2, most=4)
def find_first(_context: Context, value: Any, search: Any, *bounds: Any) -> int:
    text, searched = to_string(value), to_string(search)
    _searchable(text, searched)
    limits = _bounds(text, bounds)
    if limits is None:
        return -1
    return next(_occurrences(text, searched, *limits), -1) if searched else limits[0]


@aql(least=2, most=4)
def find_last(_context: Context, value: Any, search: Any, *bounds: Any) -> int:
    text, searched = to_string(value), to_string(search)
    _searchable(text, searched)
    limits = _bounds(text, bounds)
    if limits is None:
        return -1
    if not searched:
        return limits[1] + (len(bounds) == 2 and bounds[1] is not None)
    return max(_occurrences(text, searched, *limits), default=-1)


@aql(most=3)
def split(context: Context, value: Any, *options: Any) -> Any:
    separator, limit = (*options, None, None)[:2]
    if len(options) == 2:
        if not is_number(limit):
            return context.invalid_argument("SPLIT")
        limit = to_int(limit)
        if limit <= 0:
            return [] if limit == 0 else None
    if isinstance(separator, dict):
        return context.invalid_argument("SPLIT")
    if not options:
        return [value]
    separators = separator if isinstance(separator, list) else [separator]
    if not separators or not all(isinstance(item, str) and item for item in separators):
        msg = "SPLIT() by nothing"
        raise not_implemented(msg)
    parts = re.split("|".join(re.escape(str(item)) for item in separators), to_string(value))
    if len(parts) > 15 and not parts[-1]:
        msg = "SPLIT() into many parts, the last of which is empty"
        raise not_implemented(msg)
    return parts[:limit]


@aql(least=2, most=4)
def substitute(context: Context, value: Any, search: Any, *rest: Any) -> Any:
    if isinstance(search, dict):
        if len(rest) > 1:
            msg = "SUBSTITUTE() by a mapping with four arguments"
            raise not_implemented(msg)
        pairs, limit = sorted(search.items()), rest[0] if rest else -1
    else:
        searched = search if isinstance(search, list) else [search]
        replacing = rest[0] if rest else []
        if not isinstance(replacing, list):
            replacing = [replacing if isinstance(replacing, str) else 0] * len(searched)
        pairs = [(item, replacing[at] if at < len(replacing) else None) for at, item in enumerate(searched)]
        limit = rest[1] if len(rest) > 1 else -1
        if not all(item is None or isinstance(item, str) for item in replacing):
            return context.invalid_argument("SUBSTITUTE")
    if not all(isinstance(old, str) and (new is None or isinstance(new, str)) for old, new in pairs):
        return context.invalid_argument("SUBSTITUTE")
    count = to_int(limit)
    if count == 0 or not pairs:
        return value
    olds = [old for old, _ in pairs]
    text = to_string(value)
    _searchable(text, *olds)
    if not all(olds) or any(a != b and b.startswith(a) for a in olds for b in olds) or len(set(olds)) < len(olds):
        msg = "SUBSTITUTE() of texts that begin alike"
        raise not_implemented(msg)
    table = {str(old): str(new or "") for old, new in pairs}
    pattern = re.compile("|".join(map(re.escape, table)))
    return pattern.sub(lambda match: table[match[0]], text, count=max(0, count))


@aql(least=2, most=3)
def starts_with(context: Context, text: Any, prefix: Any, least: Any = 1) -> Any:
    if not isinstance(text, str) or not is_number(least) or to_int(least) < 0:
        return context.invalid_argument("STARTS_WITH")
    prefixes = prefix if isinstance(prefix, list) else [prefix]
    if not all(isinstance(item, str) for item in prefixes):
        return context.invalid_argument("STARTS_WITH")
    wanted = to_int(least) if isinstance(prefix, list) else 1
    return sum(text.startswith(item) for item in prefixes) >= wanted


@aql(least=2, most=3)
def like(_context: Context, value: Any, pattern: Any, any_case: Any = False) -> bool:
    text, wanted = to_string(value), to_string(pattern)
    if to_bool(any_case):
        _simple_case(text, wanted)
        return _like(wanted, any_case=True).fullmatch(text) is not None
    return _like(wanted, any_case=False).fullmatch(text) is not None


def _simple_case(*texts: str) -> None:
    """Refuses characters whose upper and lower case are not one character each."""
    for text in texts:
        if not text.isascii() and not all(_has_two_cases(char) for char in text):
            msg = "matching in any case of unusual characters"
            raise not_implemented(msg)


def _has_two_cases(char: str) -> bool:
    return len(char.lower()) == len(char.upper()) == 1 and char.upper().lower() == char.lower()


@lru_cache(maxsize=512)
def _like(pattern: str, *, any_case: bool) -> re.Pattern[str]:
    parts: list[str] = []
    escaped = False
    for char in pattern:
        if char == "\\":
            if escaped:
                parts.append(re.escape(char))
            escaped = not escaped
            continue
        if char in "%_" and not escaped:
            parts.append(_ANY + "*" * (char == "%"))
        else:
            # A backslash before a character that needs none stands for itself.
            if escaped and char not in "%_?+[(){}^$|.*":
                parts.append(re.escape("\\"))
            parts.append(re.escape(char))
        escaped = False
    return re.compile("".join(parts), re.IGNORECASE if any_case else 0)


def _digest(name: str, algorithm: str) -> Any:
    @aql(name)
    def digest(_context: Context, value: Any) -> str:
        return hashlib.new(algorithm, to_string(value).encode(), usedforsecurity=False).hexdigest()

    return digest


md5 = _digest("MD5", "md5")
sha1 = _digest("SHA1", "sha1")
sha256 = _digest("SHA256", "sha256")
sha512 = _digest("SHA512", "sha512")


@aql()
def to_base64(_context: Context, value: Any) -> str:
    return base64.b64encode(to_string(value).encode()).decode()


@aql()
def to_hex(_context: Context, value: Any) -> str:
    return to_string(value).encode().hex()
