"""The items of a shard, each in its plain form if it has that.

msgspec finds the items in the bytes of a shard. A shard that is not written as the protocol has it, such as one with
other terms beside its items, is read by `items.read_shard`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, field

from cdp_platform.catalog import items, jsonld, plain_items
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.plain_items import PlainEntry
from cdp_platform.ops.rejected import RejectedDocumentError


class _Element(Struct, forbid_unknown_fields=True):
    item: Raw
    id: Any = field(default=UNSET, name="@id")
    type: Any = field(default=UNSET, name="@type")
    name: Any = UNSET
    position: Any = UNSET


class _Shard(Struct, forbid_unknown_fields=True):
    type: str = field(name="@type")
    elements: list[_Element] = field(name="itemListElement")
    id: Any = field(default=UNSET, name="@id")
    context: Any = field(default=UNSET, name="@context")
    updated: Any = field(default=UNSET, name="lastUpdated")
    name: Any = UNSET
    number: Any = field(default=UNSET, name="numberOfItems")
    version: Any = UNSET


_decode = msgspec.json.Decoder(_Shard).decode


def read_shard(content: bytes, what: str) -> Iterator[Entry | PlainEntry]:
    """The items of a shard in their order, variants after the group that they are nested in.

    Raises:
        InvalidDocumentError: it is no shard; raised before the first item.
    """
    elements = _elements(content)
    return items.read_shard(content, what) if elements is None else _entries(elements, what)


def _elements(content: bytes) -> list[_Element] | None:
    try:
        # msgspec does not look into the strings of the items yet.
        content.decode()
        shard = _decode(content)
        if shard.context is not UNSET:
            jsonld.check_context({"@context": shard.context})
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError, RejectedDocumentError):
        return None
    return shard.elements if shard.type == "ItemList" else None


def _entries(elements: list[_Element], what: str) -> Iterator[Entry | PlainEntry]:
    for at, element in enumerate(elements):
        path = f"$.itemListElement[{at}].item"
        plain = plain_items.read(element.item, path)
        if plain is not None:
            yield plain
        else:
            yield from items.with_variants(jsonld.parse(bytes(element.item), what), path)
