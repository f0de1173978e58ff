"""Reads the fields of a source document, strictly and without loss.

Absent and null become NULL, and so does an empty string, which the CDP writes for absent values. A value of a wrong
type is never converted by guessing: the document is rejected with a code and the JSON path, and waits in
``ops.rejected_record``.
"""

import math
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

import orjson

from cdp_platform.json_documents import first_path, is_not_utf8, walk
from cdp_platform.moments import moment
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.resources.arango import parsed

Document = dict[str, Any]

# Types of JSON numbers; isinstance would accept booleans too.
_NUMBERS = frozenset({int, float})
_REVISION = b',"_rev":"'
_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,30})?")


def canonical(document: Document) -> bytes:
    """The document as JSON with sorted keys: equal documents give equal bytes.

    Raises:
        RejectedDocumentError: a string holds a NUL character or half a surrogate pair, which PostgreSQL cannot store; a
            number has too many bits, or values are nested too deep.
    """
    try:
        encoded = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if path := first_path(document, is_not_utf8):
            raise RejectedDocumentError("lone_surrogate", path, "a string is not valid Unicode") from None
        if _has_large_integer(document):
            raise RejectedDocumentError("number_out_of_range", "$", "a whole number has more than 64 bits") from None
        raise RejectedDocumentError("nested_too_deep", "$", "it is nested deeper than 254 levels") from None
    # Most documents contain no escape at all, and the search for a single byte is much faster.
    if b"\\" in encoded and b"\\u0000" in encoded:
        path = first_path(document, lambda value: isinstance(value, str) and "\0" in value)
        if path:
            raise RejectedDocumentError("nul_character", path, "a string holds a NUL character")
    return encoded


def unrevised(document: Document) -> bytes:
    """The canonical document without ``_rev``, which changes on every write, also on one that changes nothing else.

    Raises:
        RejectedDocumentError: as `canonical`.
    """
    content = document.copy()
    content.pop("_rev", None)
    return canonical(content)


def cut(source: bytes) -> bytes:
    """The JSON of a document without its ``_rev``: the same bytes for an unchanged document, whatever its revision.

    It is the source's own JSON, since ArangoDB keeps the order of attributes, or `unrevised` if the revision is not
    where ArangoDB writes it.

    Raises:
        RejectedDocumentError: as `canonical`, in the second case.
        SourceError: in the second case, the document is not JSON in UTF-8.
    """
    begin = source.find(_REVISION)
    end = source.find(b'"', begin + len(_REVISION))
    # Within a string the quotes would be escaped. Where no inner object has begun, it is an attribute of the document.
    if (
        begin < 0
        or source.find(b"{", 1, begin) >= 0
        or source.find(b"\\", begin, end) >= 0
        or source.find(b'"_rev"', end) >= 0
    ):
        return unrevised(parsed(source))
    return source[:begin] + source[end + 1 :]


def text(document: Document, name: str) -> str | None:
    """A string. Whole numbers become their decimal digits, since source systems write ids in both forms."""
    value = document.get(name)
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RejectedDocumentError("not_a_text", f"$.{name}", f"{name} is {_kind(value)}, not a text")


def integer(document: Document, name: str, *, bits: int = 32) -> int | None:
    """A whole number that fits into ``bits`` bits, sign included."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    limit = 1 << bits - 1
    # `type` and not isinstance, for which a boolean is an int.
    if type(value) is int and -limit <= value < limit:
        return value
    raise RejectedDocumentError("not_an_integer", f"$.{name}", f"{name} is {_kind(value)}, not a whole number")


def number(document: Document, name: str) -> float | None:
    """A finite number."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) in _NUMBERS and math.isfinite(value):
        return float(value)
    raise RejectedDocumentError("not_a_number", f"$.{name}", f"{name} is {_kind(value)}, not a finite number")


def decimal(document: Document, name: str) -> Decimal | None:
    """An exact amount, from a number (the shortest decimal that gives it) or from a string of plain decimal digits."""
    value = document.get(name)
    if value is None or value == "":
        return None
    if type(value) in _NUMBERS and math.isfinite(value):
        return Decimal(value if isinstance(value, int) else repr(value))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise RejectedDocumentError("not_an_amount", f"$.{name}", f"{name} is {_kind(value)}, not a finite amount")


def timestamp(document: Document, name: str) -> datetime | None:
    """A moment in UTC, from any layout that `moments.moment` reads."""
    value = document.get(name)
    if value is None or value == "":
        return None
    if (found := moment(value)) is not None:
        return found
    raise RejectedDocumentError(
        "not_a_timestamp",
        f"$.{name}",
        f"{name} is {_kind(value)}, neither an ISO 8601 time nor seconds, milliseconds, microseconds or nanoseconds",
    )


def consent(document: Document, name: str) -> bool | None:
    """Whether a person agreed: True for the CDP's 1, False for -1 (refused or blocked), None for 0 (no data) and null.

    A code above 1, of a newer CDP, counts as no data. Code 1 is no proof of consent: the CDP sets ``receiveEmail`` and
    ``receiveSMS`` to 1 when an e-mail address or a phone number is entered, and ``receiveAds`` for every new profile.
    """
    value = document.get(name)
    if value is None or isinstance(value, bool):
        return value
    code = integer(document, name)
    return {1: True, 0: None}.get(code, False if code is not None and code < 0 else None)


def texts(document: Document, name: str) -> list[str]:
    """A list of strings, without nulls and empty strings."""
    if not (items := _items(document, name)):
        return []
    return [
        item if isinstance(item, str) else _element(item, name, at)
        for at, item in enumerate(items)
        if item is not None and item != ""
    ]


def objects(document: Document, name: str) -> list[Document]:
    """A list of objects."""
    found = []
    for at, item in enumerate(_items(document, name)):
        if isinstance(item, dict):
            found.append(item)
        elif item is not None and item != "":
            raise RejectedDocumentError(
                "not_an_object", f"$.{name}[{at}]", f"an element of {name} is {_kind(item)}, not an object"
            )
    return found


def references(document: Document, name: str, attributes: tuple[str, ...]) -> list[Document]:
    """A list of the CDP's RefKeys, reduced to ``id`` and the given attributes."""
    found = []
    for at, item in enumerate(objects(document, name)):
        reference = {"id": item.get("id")}
        if not reference["id"]:
            raise RejectedDocumentError("reference_without_id", f"$.{name}[{at}].id", f"an element of {name} has no id")
        for attribute in attributes:
            reference[attribute] = item.get(attribute)
        found.append(reference)
    return found


def mapping(document: Document, name: str) -> Document:
    """An object; empty if the source has none."""
    value = document.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise RejectedDocumentError("not_an_object", f"$.{name}", f"{name} is {_kind(value)}, not an object")
    return value


def key(document: Document) -> str:
    """The document's ``_key``."""
    return str(document["_key"])


def is_key(value: Any) -> TypeGuard[str]:
    """Whether a value can be the ``_key`` of a document: ArangoDB's are printable ASCII."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def is_storable(value: str) -> bool:
    """Whether PostgreSQL can store a text: without NUL characters and halves of surrogate pairs."""
    return "\x00" not in value and not is_not_utf8(value)


def _items(document: Document, name: str) -> list[Any]:
    """The elements of a list, nulls included; empty if the source has none."""
    value = document.get(name)
    if isinstance(value, list):
        return value
    if value is None or value == "":
        return []
    raise RejectedDocumentError("not_a_list", f"$.{name}", f"{name} is {_kind(value)}, not a list")


def _element(item: Any, name: str, at: int) -> str:
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    raise RejectedDocumentError("not_a_text", f"$.{name}[{at}]", f"an element of {name} is {_kind(item)}, not a text")


def _kind(value: Any) -> str:
    """The type of a value in words. The value itself may be personal data and is left out."""
    if isinstance(value, str):
        return "another text"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "another number"
    return {list: "a list", dict: "an object"}.get(type(value), "null")


def _has_large_integer(document: Any) -> bool:
    return any(isinstance(value, int) and not -(2**63) <= value < 2**64 for _, value in walk(document))
