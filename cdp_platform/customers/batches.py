"""Batches of source documents as they came: JSON, and the few values that every step needs of each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from cdp_platform.customers.documents import Document
from cdp_platform.resources.arango import parsed


class Head(msgspec.Struct, gc=False, frozen=True):
    """What every step needs of a document, whether it is understood or not.

    Attributes:
        key: the document's ``_key``.
        tenant_id: the tenant that it names; None if it names none.
        updated_at: its ``updatedAt``, of any type.
        touchpoints: its ``topEngagedTouchpointIds``, of any type.
        root_profile_id: its ``rootProfileId``, of any type.
        begins_at: its ``_from``, of any type.
        revision: its ``_rev``, of any type; empty if it has none.
    """

    key: str = msgspec.field(name="_key")
    tenant_id: Any = None
    updated_at: Any = msgspec.field(name="updatedAt", default=None)
    touchpoints: Any = msgspec.field(name="topEngagedTouchpointIds", default=None)
    root_profile_id: Any = msgspec.field(name="rootProfileId", default=None)
    begins_at: Any = msgspec.field(name="_from", default=None)
    revision: Any = msgspec.field(name="_rev", default="")

    def of_persons(self) -> Document:
        """The attributes of the document that say whom it is about, as `Mapper.persons` reads them."""
        return {"_key": self.key, "rootProfileId": self.root_profile_id, "_from": self.begins_at}


_HEAD = msgspec.json.Decoder(Head)


@dataclass(frozen=True)
class Batch:
    """Documents of one collection, no key twice.

    Attributes:
        sources: each document's JSON.
    """

    sources: list[bytes]

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Batch":
        """A batch of documents that were parsed before."""
        return cls([json.dumps(document).encode() for document in documents])

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.sources)

    @cached_property
    def heads(self) -> list[Head]:
        """The head of each document."""
        return [_head(source) for source in self.sources]

    @cached_property
    def keys(self) -> list[str]:
        """The key of each document."""
        return [head.key for head in self.heads]


def _head(source: bytes) -> Head:
    try:
        return _HEAD.decode(source)
    except (msgspec.MsgspecError, RecursionError):
        document = parsed(source)
        return Head(
            str(document["_key"]),
            document.get("tenant_id"),
            document.get("updatedAt"),
            document.get("topEngagedTouchpointIds"),
            document.get("rootProfileId"),
            document.get("_from"),
            document.get("_rev", ""),
        )
