"""What the index of a feed says: whose it is, when it was updated, and which shards it has."""

from dataclasses import dataclass
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.errors import ValidationError
from cdp_platform.catalog.jsonld import Document
from cdp_platform.ops.rejected import RejectedDocumentError


@dataclass(frozen=True)
class Shard:
    """A shard as the index lists it.

    Attributes:
        reference: relative to the index or absolute.
        last_updated: as the index has it.
    """

    reference: str
    last_updated: str | None


@dataclass(frozen=True)
class FeedIndex:
    """The index of a feed.

    Attributes:
        organization_urn: whose feed it is; None where it does not say.
        last_updated: as it stands there.
        total_shards: how many it says there are; None where it does not say.
    """

    organization_urn: str | None
    last_updated: str | None
    total_shards: int | None
    shards: list[Shard]


def read_index(content: bytes, what: str) -> FeedIndex:
    """Understand the index of a feed.

    Raises:
        ValidationError: it is no index, lists nothing, or lists another number of shards than it says there are.
    """
    document = jsonld.parse(content, what)
    if not isinstance(document, dict) or not isinstance(document.get("shards"), list):
        raise ValidationError(f"{what} is no index of a feed: it has no list of shards. Does the address fit?")
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
        raise ValidationError(f"{what}: {error} ({error.code} at {error.path}). Nothing was taken of it.") from error
    if not index.shards:
        raise ValidationError(f"{what} lists no shard. What was taken before stays; a feed ends with an empty shard.")
    if index.total_shards is not None and index.total_shards != len(index.shards):
        raise ValidationError(
            f"{what} says that there are {index.total_shards} shards and lists {len(index.shards)}: it is not whole."
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
