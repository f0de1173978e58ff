"""JSON bytes to values and back, exactly: no digit of a number is lost, and a bad item rejects only itself.

The same bytes of an item give the same values, whatever else is in the file. What a document means is not known here.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.json_documents import first_path, is_not_utf8
from cdp_platform.ops.rejected import RejectedDocumentError

# Values nested deeper than this are cut if the parser cannot read the file. `canonical` accepts fewer levels, so every
# item that is cut is rejected in any case.
_CUT_DEPTH = 300
_CUT = b'"(nested too deep, left out)"'
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
# Largest number of digits, and largest exponent. PostgreSQL's limits for numbers in JSON are far higher.
_MAX_EXPONENT = 1000
# orjson writes whole numbers of up to 64 bits; numbers with this many digits fit.
_SAFE_INTEGER_DIGITS = 18
# A constant, because `int | Decimal` in an expression makes a new object each time.
_EXACT = (int, Decimal)


def parse(content: bytes, what: str, then: Callable[[Any], Any] = lambda value: value) -> Any:
    """The JSON value of a document. Numbers with a point or an exponent become exact decimals.

    Args:
        content: UTF-8, with or without a byte order mark.
        what: name of the document in errors.
        then: applied to the value. If the document is too deep for its recursion, it is cut and read again.

    Raises:
        InvalidDocumentError: it is not JSON.
    """
    try:
        try:
            return then(_load(content))
        except RecursionError:
            return then(_load(_cut(content)))
    except (ValueError, RecursionError) as error:
        at = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidDocumentError(
            f"{what} is not JSON{at}: it was cut off, or is another kind of file. Nothing was taken of it; ask its "
            "publisher to correct it."
        ) from None


def canonical(document: Any) -> bytes:
    """A document, or a part of one, as JSON with sorted keys: equal documents give equal bytes.

    Raises:
        RejectedDocumentError: it holds something that PostgreSQL cannot store.
    """
    try:
        content = orjson.dumps(document, default=_literal, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if path := first_path(document, is_not_utf8):
            raise RejectedDocumentError("lone_surrogate", path, "a string is not valid Unicode") from None
        if path := first_path(document, _is_beyond_numbers):
            raise RejectedDocumentError(
                "number_out_of_range", path, "a number is too large or has too many digits"
            ) from None
        raise RejectedDocumentError("nested_too_deep", "$", "it is nested deeper than 254 levels") from None
    if b"\\u0000" in content and (path := first_path(document, lambda value: isinstance(value, str) and "\0" in value)):
        raise RejectedDocumentError("nul_character", path, "a string holds a NUL character")
    return content


def exact(value: Any) -> Decimal | None:
    """A JSON number as a decimal; None for any other value."""
    if isinstance(value, _EXACT) and not isinstance(value, bool):
        return Decimal(value)
    # The shortest decimal that gives this double is the number as written.
    return Decimal(repr(value)) if isinstance(value, float) else None


def digits(number: Decimal) -> str:
    """A number in plain digits, without an exponent and without zeros at the end of the fraction."""
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _load(content: bytes) -> Any:
    return json.loads(
        content.decode("utf-8-sig"), parse_float=_fraction, parse_int=_integer, parse_constant=_no_constant
    )


def _integer(literal: str) -> int | Decimal:
    return int(literal) if len(literal) <= _SAFE_INTEGER_DIGITS else Decimal(literal)


def _fraction(literal: str) -> Decimal:
    try:
        return Decimal(literal)
    except ArithmeticError:
        # The exponent is too large for a decimal. This value is out of range too, and rejected later.
        return Decimal(f"1e{_MAX_EXPONENT + 1}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _literal(value: Any) -> Any:
    """A decimal as a JSON number; equal numbers have equal digits, however they were written."""
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    as_float = float(value)
    if Decimal(repr(as_float)) == value:
        return as_float
    if _is_beyond_numbers(value):
        raise TypeError("number out of range")
    return orjson.Fragment(str(value))


def _is_beyond_numbers(value: Any) -> bool:
    return isinstance(value, Decimal) and max(abs(value.adjusted()), len(value.as_tuple().digits)) > _MAX_EXPONENT


def _cut(content: bytes) -> bytes:
    """The JSON with every value nested deeper than `_CUT_DEPTH` replaced by a mark."""
    kept, depth, done = [], 0, 0
    for token in _TOKEN.finditer(content):
        what = token[0]
        if what in b"[{":
            depth += 1
            if depth == _CUT_DEPTH:
                kept.append(content[done : token.start()])
        elif what in b"]}":
            if depth == _CUT_DEPTH:
                kept.append(_CUT)
                done = token.end()
            depth -= 1
    return b"".join([*kept, content[done:]])
