"""The index of a feed: the organization that it belongs to, when it was updated, and its shards."""

from dataclasses import dataclass
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.catalog.jsonld import Document
from cdp_platform.ops.rejected import RejectedDocumentError


@dataclass(frozen=True)
class Shard:
    """A shard as the index lists it.

    Attributes:
        reference: address of the shard, absolute or relative to the index.
        last_updated: as written in the index.
    """

    reference: str
    last_updated: str | None


@dataclass(frozen=True)
class FeedIndex:
    """The index of a feed.

    Attributes:
        organization_urn: the organization that it names; None if it names none.
        last_updated: as written there.
        total_shards: the number of shards that it states; None if it states none.
    """

    organization_urn: str | None
    last_updated: str | None
    total_shards: int | None
    shards: list[Shard]


def read_index(content: bytes, what: str) -> FeedIndex:
    """Read the index of a feed; ``what`` names it in errors.

    Raises:
        InvalidDocumentError: it is no index, lists no shard, or lists another number of shards than it states.
    """
    document = jsonld.parse(content, what)
    if not isinstance(document, dict) or not isinstance(document.get("shards"), list):
        raise InvalidDocumentError(f"{what} is no index of a feed: it has no list of shards. Check the address.")
    try:
        jsonld.check_context(document)
        jsonld.canonical(document)
        index = FeedIndex(
            _organization(document),
            jsonld.text(document, "lastUpdated"),
            _total(document),
            [_shard(each, at) for at, each in enumerate(document["shards"])],
        )
    except RejectedDocumentError as error:
        raise InvalidDocumentError.of(what, error) from error
    if not index.shards:
        raise InvalidDocumentError(
            f"{what} lists no shard. What was taken before stays. A feed without items has one empty shard."
        )
    if index.total_shards is not None and index.total_shards != len(index.shards):
        raise InvalidDocumentError(
            f"{what} says that there are {index.total_shards} shards and lists {len(index.shards)}: it is not complete."
        )
    return index


def _organization(document: Document) -> str | None:
    if isinstance(stated := document.get("orgid") or document.get("orgId"), str):
        urn = jsonld.as_urn(stated)
    elif isinstance(organization := document.get("organization"), dict):
        urn = jsonld.identifier(organization, "urn", "cmp:orgId", "cmp:orgid")
    elif isinstance(organization, str):
        urn = jsonld.as_urn(organization)
    else:
        return None
    if urn is None:
        raise RejectedDocumentError("organization_id_missing", "$.orgid", "the organization that it names is no URN")
    return urn


def _total(document: Document) -> int | None:
    total = document.get("totalShards")
    if total is None or (isinstance(total, int) and not isinstance(total, bool)):
        return total
    raise RejectedDocumentError("not_an_integer", "$.totalShards", "totalShards is not a whole number")


def _shard(shard: Any, at: int) -> Shard:
    path = f"$.shards[{at}]"
    reference = jsonld.link(shard, path)
    if not reference:
        raise RejectedDocumentError("shard_without_address", path, "a shard has no address")
    return Shard(reference, jsonld.text(shard, "lastUpdated", path) if isinstance(shard, dict) else None)
