"""How a registry becomes rows: organizations, their brands, their categories, and which of them have a feed.

Ownership is decided here and nowhere else: an organization belongs to the ingestor whose registry listed it first, and
a brand to the organization that it was listed with first, as long as they are listed there. Other claims are rejected.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.catalog import jsonld, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.errors import IngestorError, InvalidDocumentError, UnreadableError
from cdp_platform.catalog.indexes import read_index
from cdp_platform.catalog.items import slug
from cdp_platform.catalog.jsonld import Document
from cdp_platform.catalog.organizations import Brand, Organization, Refused, Registry, read_registry
from cdp_platform.catalog.rounds import LANDED, REGISTRY, FeedRound
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source
from cdp_platform.ops import locks, rejected
from cdp_platform.ops.rejected import RejectedDocumentError, Rejection
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Increase it when the same registry is to become other rows.
_RULES = 2


@dataclass(frozen=True)
class _Entry:
    """An organization that is written as the registry lists it.

    Attributes:
        feed: path of the index of its feed.
        brands: those of its brands that it may own.
    """

    organization: Organization
    feed: str | None
    brands: list[Brand]


def take_registry(
    connection: psycopg.Connection, source: Source, ingestor: Ingestor, *, ingestors: Collection[str]
) -> FeedRound:
    """Bring organizations, brands and their categories in step with an ingestor's registry.

    Organizations and brands that left the registry are removed; their products stay until the round of their feed.

    Args:
        connection: of the platform's role, outside any transaction.
        source: of the ingestor.
        ingestor: whose registry it is.
        ingestors: names of all ingestors; what belongs to any other name can be taken over.

    Returns:
        The round, whose items are organizations and brands. An unchanged registry writes nothing.

    Raises:
        UnreadableError: it could not be read. This and the next error are recorded as failed rounds; nothing changed.
        InvalidDocumentError: it is no registry, or lacks an organization that the ingestor asks for.
    """
    found = FeedRound(REGISTRY, ingestor.name)
    try:
        _take(connection, source, ingestor, ingestors, found)
    except IngestorError as error:
        rounds.record_failure(connection, ingestor.tenant, found, error)
        raise
    return found


def feeds(connection: psycopg.Connection, source: Source, ingestor: Ingestor) -> list[tuple[str, str | None]]:
    """The organizations of an ingestor's registry that have a feed, with the path of its index.

    The path is None for an organization that left the registry and has live products. Its next round has no items, and
    is blocked until a person approves it.

    Raises:
        IngestorError: the ingestor names a feed, and the organization that it belongs to is not clear.
    """
    values = {"tenant": ingestor.tenant, "ingestor": ingestor.name}
    with tenant_transaction(connection, ingestor.tenant):
        rows = connection.execute(statement("catalog", "feeds"), values).fetchall()
    removed = [(organization_id, None) for organization_id, _, is_removed in rows if is_removed]
    listed = {organization_id: feed for organization_id, feed, is_removed in rows if not is_removed}
    if ingestor.feed is not None:
        return [*removed, _feed_of_the_ingestor(source, ingestor, ingestor.feed, list(listed))]
    return removed + [(organization_id, feed) for organization_id, feed in listed.items() if feed is not None]


def _feed_of_the_ingestor(source: Source, ingestor: Ingestor, feed: str, listed: list[str]) -> tuple[str, str]:
    path = source.resolve("", feed)
    if len(listed) == 1:
        return listed[0], path
    got = source.read(path, max_bytes=ingestor.limits.max_shard_bytes)
    urn = read_index(got.content, "The index of the feed").organization_urn if isinstance(got, Fetched) else None
    if urn not in listed:
        raise InvalidDocumentError(
            f"Ingestor {ingestor.name} names a feed, and its registry {len(listed)} organizations; the index does not"
            " say which of them it is for. Leave feed_path out if the registry names the feeds."
        )
    return urn, path


def _take(
    connection: psycopg.Connection, source: Source, ingestor: Ingestor, ingestors: Collection[str], found: FeedRound
) -> None:
    path = source.resolve("", ingestor.registry)
    asked = sorted(filter(None, map(jsonld.as_urn, ingestor.organizations)))
    rules = orjson.dumps([_RULES, asked, sorted(ingestors)]).decode()
    known = rounds.known_files(connection, ingestor.tenant, found, rules=rules)
    fetched = source.read(path, known=known.get(path), max_bytes=ingestor.limits.max_shard_bytes)
    if isinstance(fetched, NotModified):
        return
    found.shards, found.bytes = 1, len(fetched.content)
    registry = _asked_for(read_registry(fetched.content, "The registry"), asked)
    refused = list(registry.refused)
    feed_paths = {each.urn: _feed(source, fetched.address, each, refused) for each in registry.organizations}
    with tenant_transaction(connection, ingestor.tenant):
        locks.take(connection, locks.registry(ingestor.tenant))
        entries = _owned(connection, ingestor, ingestors, registry.organizations, feeds=feed_paths, refused=refused)
        _land(connection, ingestor, entries, found)
        _reject(connection, ingestor, refused, found)
        found.outcome = LANDED
        rounds.note_files(connection, ingestor.tenant, found, {path: fetched.validators}, rules=rules)
        rounds.record(connection, ingestor.tenant, found)


def _asked_for(registry: Registry, asked: list[str]) -> Registry:
    if not asked:
        return registry
    organizations = [each for each in registry.organizations if each.urn in asked]
    if len(organizations) < len(asked):
        missing = ", ".join(sorted(set(asked) - {each.urn for each in organizations}))
        raise InvalidDocumentError(
            f"The registry does not hold {missing}, which the ingestor asks for, or not in a state that can be taken."
            " Nothing was changed. Correct the ingestor's filter, or the registry."
        )
    return Registry(organizations, registry.refused)


def _feed(source: Source, address: str, organization: Organization, refused: list[Refused]) -> str | None:
    if organization.feed_url is None:
        return None
    try:
        return source.resolve(address, organization.feed_url)
    except UnreadableError as error:
        reason = RejectedDocumentError("feed_address_refused", "$.cmp:productFeed.url", str(error))
        refused.append(Refused(f"{organization.urn} feed", jsonld.printable(organization.document), reason))
        return None


def _owned(
    connection: psycopg.Connection,
    ingestor: Ingestor,
    ingestors: Collection[str],
    organizations: list[Organization],
    *,
    feeds: dict[str, str | None],
    refused: list[Refused],
) -> list[_Entry]:
    """The organizations and brands of the registry that no other ingestor owns."""
    values = {
        "tenant": ingestor.tenant,
        "others": sorted(set(ingestors) - {ingestor.name}),
        "organizations": [each.urn for each in organizations],
        "brands": [brand.urn for each in organizations for brand in each.brands],
    }
    others = {row[0] for row in connection.execute(statement("catalog", "others_organizations"), values)}
    # A brand may move within a registry, and never out of another ingestor's.
    taken = {row[0] for row in connection.execute(statement("catalog", "others_brands"), values)}
    entries = []
    for each in organizations:
        if each.urn in others:
            error = RejectedDocumentError(
                "organization_not_owned", "$.identifier", "another ingestor's registry lists this organization"
            )
            refused.append(Refused(each.urn, jsonld.printable(each.document), error))
            continue
        brands = []
        for brand in each.brands:
            if brand.urn in taken:
                error = RejectedDocumentError(
                    "brand_not_owned", "$.brand", "another organization was given this brand before"
                )
                refused.append(Refused(f"{each.urn} {brand.urn}", jsonld.printable(brand.document), error))
            else:
                taken.add(brand.urn)
                brands.append(brand)
        entries.append(_Entry(each, feeds[each.urn], brands))
    return entries


def _land(connection: psycopg.Connection, ingestor: Ingestor, entries: list[_Entry], found: FeedRound) -> None:
    pairs = [(each.organization.urn, brand) for each in entries for brand in each.brands]
    values = {
        "tenant": ingestor.tenant,
        "ingestor": ingestor.name,
        "listed": [each.organization.urn for each in entries],
        "of": [urn for urn, _ in pairs],
        "brands": [brand.urn for _, brand in pairs],
    }
    # Rows are removed first, so that a brand that moves has no owner in between.
    found.gone = sum(
        connection.execute(statement("catalog", name), values).rowcount
        for name in ("remove_organizations", "remove_brands")
    )
    if found.gone:
        # Another registry may have been refused what is now free, so it has to be read again.
        connection.execute(
            "DELETE FROM catalog.feed_state WHERE tenant_id = %(tenant)s AND organization_id = ''"
            " AND ingestor <> %(ingestor)s",
            values,
        )
    outcomes = Counter(
        [_organization(connection, ingestor, each) for each in entries]
        + [_brand(connection, ingestor, urn, brand) for urn, brand in pairs]
    )
    for each in entries:
        _categories(connection, ingestor.tenant, each.organization)
    found.new, found.changed, found.unchanged = outcomes["new"], outcomes["changed"], outcomes["unchanged"]


def _organization(connection: psycopg.Connection, ingestor: Ingestor, entry: _Entry) -> str:
    organization = entry.organization
    values = {
        **{name: getattr(organization, name) for name in ("name", "description", "url", "logo", "same_as")},
        "tenant": ingestor.tenant,
        "ingestor": ingestor.name,
        "organization": organization.urn,
        "feed_url": entry.feed,
    }
    return _upsert(connection, "merge_organization", organization.document, values)


def _brand(connection: psycopg.Connection, ingestor: Ingestor, organization_id: str, brand: Brand) -> str:
    values = {
        "tenant": ingestor.tenant,
        "organization": organization_id,
        "brand": brand.urn,
        "name": brand.name,
        "logo": brand.logo,
    }
    return _upsert(connection, "merge_brand", brand.document, values)


def _upsert(connection: psycopg.Connection, name: str, document: Document, values: dict[str, Any]) -> str:
    """Run a statement that returns whether it inserted, and no row for a row that stays as it is."""
    content = jsonld.canonical(document)
    values |= {
        "document": Jsonb(orjson.Fragment(content)),
        "document_hash": jsonld.fingerprint(content, b"%d" % _RULES),
    }
    row = connection.execute(statement("catalog", name), values).fetchone()
    if row is None:
        return "unchanged"
    return "new" if row[0] else "changed"


def _categories(connection: psycopg.Connection, tenant_id: str, organization: Organization) -> None:
    names = {slug(name): name for name in organization.categories if slug(name)}
    values = {
        "tenant": tenant_id,
        "organization": organization.urn,
        "categories": list(names),
        "names": list(names.values()),
    }
    for name in ("delete_organization_categories", "insert_categories", "insert_organization_categories"):
        connection.execute(statement("catalog", name), values)


def _reject(connection: psycopg.Connection, ingestor: Ingestor, refused: list[Refused], found: FeedRound) -> None:
    rejections = [Rejection.of(f"registry {each.key}", each.document, each.error, []) for each in refused]
    rejected.record(connection, ingestor.tenant, ingestor.rejected_source, rejections)
    rounds.resolve_unseen(connection, ingestor, "registry ")
    found.rejected = len(refused)
    found.rejected_by_code = dict(Counter(each.error.code for each in refused))
    found.items = found.new + found.changed + found.unchanged + found.rejected
