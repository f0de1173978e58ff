"""Reading a source document field by field, strictly and without loss.

Absent and null are NULL, and the CDP's empty string is its way of saying absent. A value of another type than the field
has is never guessed at: the document is rejected with a code and the JSON path, and waits in ``ops.rejected_record``.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, TypeGuard

import orjson

from cdp_platform.warehouse.rejected import RejectedDocumentError

Document = dict[str, Any]

# What JSON calls numbers; isinstance would take booleans too.
_NUMBERS = frozenset({int, float})
_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,30})?")
# 2100-01-01 in ms; a greater number is a stamp in another unit.
_LATEST_EPOCH_MS = 4_102_444_800_000


def canonical(document: Document) -> bytes:
    """The document as JSON with sorted keys: equal documents give equal bytes.

    Raises:
        RejectedDocumentError: a string holds a NUL character or half a surrogate pair, which PostgreSQL cannot store.
    """
    try:
        encoded = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if path := _first_path(document, _is_not_utf8):
            raise RejectedDocumentError("lone_surrogate", path, "a string is not valid Unicode") from None
        raise RejectedDocumentError("number_out_of_range", "$", "a whole number has more than 64 bits") from None
    # Most documents hold no escape at all, and a single byte is looked for much faster.
    if b"\\" in encoded and b"\\u0000" in encoded:
        path = _first_path(document, lambda text: "\x00" in text)
        if path:
            raise RejectedDocumentError("nul_character", path, "a string holds a NUL character")
    return encoded


def fingerprint(document: Document, *, version: int, beside: Any = None) -> tuple[bytes, bytes]:
    """Canonical bytes of a document, and the 16-byte hash that tells whether it has to be loaded again.

    ``_rev`` is left out of the hash: it changes on every write, also on one that changes nothing else.

    Args:
        document: as the source has it.
        version: of the mapping; raising it makes the next full read load every document again.
        beside: what else the row is made of (JSON value), such as joined documents.
    """
    unrevised = document.copy()
    unrevised.pop("_rev", None)
    content = canonical(unrevised)
    digest = blake2b(content, digest_size=16, salt=version.to_bytes(16))
    if beside:
        digest.update(orjson.dumps(beside, option=orjson.OPT_SORT_KEYS))
    return content, digest.digest()


def text(document: Document, name: str) -> str | None:
    """A string; numbers are taken as they print, since source systems differ on ids."""
    value = document.get(name)
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RejectedDocumentError("not_a_text", f"$.{name}", f"{name} is {_kind(value)}, not a text")


def integer(document: Document, name: str, *, bits: int = 32) -> int | None:
    """A whole number of so many bits, sign included."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    limit = 1 << bits - 1
    # The very type, because a boolean is an int to isinstance.
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
    """An exact amount: the shortest decimal that reads back as the source's number, or a plain decimal string."""
    value = document.get(name)
    if value is None or value == "":
        return None
    if type(value) in _NUMBERS and math.isfinite(value):
        return Decimal(value if isinstance(value, int) else repr(value))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise RejectedDocumentError("not_an_amount", f"$.{name}", f"{name} is {_kind(value)}, not a finite amount")


def timestamp(document: Document, name: str) -> datetime | None:
    """A moment in UTC from ISO 8601 (without offset: UTC), or from milliseconds since 1970."""
    value = document.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LATEST_EPOCH_MS:
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError):
        pass
    raise RejectedDocumentError("not_a_timestamp", f"$.{name}", f"{name} is {_kind(value)}, not an ISO 8601 time")


def flag(document: Document, name: str) -> bool | None:
    """A consent: the CDP writes 1 for given, 0 and -1 for refused."""
    value = document.get(name)
    if value is None or isinstance(value, bool):
        return value
    code = integer(document, name)
    return code is not None and code > 0


def texts(document: Document, name: str) -> list[str]:
    """A list of strings; nulls and empty strings in it say nothing and are dropped."""
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
    """A list of the CDP's RefKeys, cut to ``id`` and the given attributes."""
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
    """An object; empty where the source has none."""
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


def _items(document: Document, name: str) -> list[Any]:
    """The elements of a list, null ones too; empty where the source has none."""
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
    """What a value is, in words, and never the value itself: it may be personal."""
    if isinstance(value, str):
        return "another text"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "another number"
    return {list: "a list", dict: "an object"}.get(type(value), "null")


def _is_not_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _first_path(value: Any, is_bad: Callable[[str], bool], path: str = "$") -> str:
    """JSON path of the first string, or of the first attribute by a bad name, or '' when all are good."""
    if isinstance(value, str):
        return path if is_bad(value) else ""
    if isinstance(value, dict):
        return next(
            (
                found
                for name, item in value.items()
                if (found := path if is_bad(name) else _first_path(item, is_bad, f"{path}.{name}"))
            ),
            "",
        )
    if isinstance(value, list):
        return next(
            (found for at, item in enumerate(value) if (found := _first_path(item, is_bad, f"{path}[{at}]"))), ""
        )
    return ""
