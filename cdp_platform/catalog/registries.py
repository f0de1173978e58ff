"""How a registry becomes rows: organizations, the brands that are theirs, and their categories.

Who owns what is decided here and nowhere else: an organization belongs to the ingestor whose registry brought it first,
and a brand to the organization that it was listed with first, for as long as they are listed there. Another's claim is
rejected.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.catalog import jsonld, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.errors import IngestorError, SourceError, ValidationError
from cdp_platform.catalog.items import slug
from cdp_platform.catalog.landing import source_name
from cdp_platform.catalog.organizations import Brand, Organization, Refused, Registry, read_registry
from cdp_platform.catalog.rounds import FAILED, LANDED, REGISTRY, FeedRound
from cdp_platform.catalog.sources.contract import NotModified, Source, digest
from cdp_platform.ops import locks, rejected
from cdp_platform.ops.rejected import RejectedDocumentError, Rejection
from cdp_platform.warehouse.connection import tenant_transaction

# Raised whenever the same registry becomes other rows.
_RULES = 2


@dataclass(frozen=True)
class _Entry:
    """An organization that is to be as the registry has it.

    Attributes:
        feed: path of the index of its feed.
    """

    organization: Organization
    feed: str | None
    brands: list[Brand]


def take_registry(
    connection: psycopg.Connection, source: Source, ingestor: Ingestor, *, ingestors: Collection[str]
) -> FeedRound:
    """Bring organizations, brands and their categories in step with an ingestor's registry.

    What the registry lost is tombstoned; the products of it stay until the round of their feed.

    Args:
        connection: of the platform's role, outside any transaction.
        source: of the ingestor.
        ingestor: whose registry it is.
        ingestors: names of all that there are; what belongs to another one is free to be taken.

    Returns:
        The round, whose items are organizations and brands. An unchanged registry writes nothing.

    Raises:
        SourceError: it could not be read. This and the next are rounds too; nothing changed.
        ValidationError: it is no registry, or lacks an organization that the ingestor asks for.
    """
    found = FeedRound(REGISTRY, ingestor.name)
    try:
        _take(connection, source, ingestor, ingestors, found)
    except IngestorError as error:
        found.outcome, found.reason = FAILED, str(error)
        with tenant_transaction(connection, ingestor.tenant):
            rounds.record(connection, ingestor.tenant, found)
        raise
    return found


def _take(
    connection: psycopg.Connection, source: Source, ingestor: Ingestor, ingestors: Collection[str], found: FeedRound
) -> None:
    path = source.resolve("", ingestor.registry)
    asked = sorted(filter(None, map(jsonld.as_urn, ingestor.organizations)))
    rules = orjson.dumps([_RULES, asked, sorted(ingestors)]).decode()
    with tenant_transaction(connection, ingestor.tenant):
        known = rounds.known_files(
            connection, ingestor.tenant, ingestor.name, REGISTRY, rules=rules, now=found.started_at
        )
    fetched = source.read(path, known=known.get(path), max_bytes=ingestor.limits.max_shard_bytes)
    if isinstance(fetched, NotModified):
        return
    stamp = replace(fetched.validators, size=len(fetched.content), digest=digest(fetched.content))
    if path in known and known[path].digest == stamp.digest:
        return
    found.shards, found.bytes = 1, len(fetched.content)
    registry = _asked_for(read_registry(fetched.content, "The registry"), asked)
    refused = list(registry.refused)
    feeds = {each.urn: _feed(source, fetched.address, each, refused) for each in registry.organizations}
    with tenant_transaction(connection, ingestor.tenant):
        locks.take(connection, locks.registry(ingestor.tenant))
        entries = _owned(connection, ingestor, ingestors, registry.organizations, feeds=feeds, refused=refused)
        _land(connection, ingestor, entries, found)
        _reject(connection, ingestor, refused, found)
        found.outcome = LANDED
        rounds.note_files(connection, ingestor.tenant, ingestor.name, REGISTRY, {path: stamp}, rules=rules)
        rounds.record(connection, ingestor.tenant, found)


def _asked_for(registry: Registry, asked: list[str]) -> Registry:
    if not asked:
        return registry
    organizations = [each for each in registry.organizations if each.urn in asked]
    if len(organizations) < len(asked):
        missing = ", ".join(sorted(set(asked) - {each.urn for each in organizations}))
        raise ValidationError(
            f"The registry does not hold {missing}, which the ingestor asks for, or not in a state that can be taken."
            " Nothing was changed. Correct the ingestor's filter, or the registry."
        )
    return Registry(organizations, registry.refused)


def _feed(source: Source, address: str, organization: Organization, refused: list[Refused]) -> str | None:
    if organization.feed_url is None:
        return None
    try:
        return source.resolve(address, organization.feed_url)
    except SourceError as error:
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
    """What of the registry is its own to say."""
    values = {
        "tenant": ingestor.tenant,
        "ingestor": ingestor.name,
        "others": sorted(set(ingestors) - {ingestor.name}),
        "organizations": [each.urn for each in organizations],
        "brands": [brand.urn for each in organizations for brand in each.brands],
    }
    others = {
        row[0]
        for row in connection.execute(
            "SELECT organization_id FROM catalog.organization WHERE tenant_id = %(tenant)s"
            " AND organization_id = ANY (%(organizations)s) AND ingestor = ANY (%(others)s) AND tombstoned_at IS NULL",
            values,
        )
    }
    # A brand may move within a registry, never out of another's.
    taken = {
        row[0]
        for row in connection.execute(
            "SELECT b.brand_id FROM catalog.brand AS b"
            " JOIN catalog.organization AS o USING (tenant_id, organization_id)"
            " WHERE b.tenant_id = %(tenant)s AND b.brand_id = ANY (%(brands)s) AND b.tombstoned_at IS NULL"
            " AND o.ingestor = ANY (%(others)s)",
            values,
        )
    }
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
    values: dict[str, Any] = {"tenant": ingestor.tenant, "ingestor": ingestor.name}
    listed = [each.organization.urn for each in entries]
    pairs = [(each.organization.urn, brand) for each in entries for brand in each.brands]
    brand_values = {
        **values,
        "of": [urn for urn, _ in pairs],
        "brands": [brand.urn for _, brand in pairs],
        "listed": listed,
    }
    lost = connection.execute(
        "UPDATE catalog.organization SET tombstoned_at = now(), synced_at = now() WHERE tenant_id = %(tenant)s"
        " AND ingestor = %(ingestor)s AND tombstoned_at IS NULL AND organization_id <> ALL (%(listed)s)",
        brand_values,
    ).rowcount
    # First what goes, so that a brand that moves is nobody's in between. A listed organization may come from an
    # ingestor that is no more.
    lost += connection.execute(
        "UPDATE catalog.brand AS b SET tombstoned_at = now(), synced_at = now() FROM catalog.organization AS o"
        " WHERE b.tenant_id = %(tenant)s AND b.tombstoned_at IS NULL AND o.tenant_id = b.tenant_id"
        " AND o.organization_id = b.organization_id"
        " AND (o.ingestor = %(ingestor)s OR o.organization_id = ANY (%(listed)s) OR b.brand_id = ANY (%(brands)s))"
        " AND NOT EXISTS (SELECT FROM unnest(%(of)s::text[], %(brands)s::text[]) AS n (organization_id, brand_id)"
        " WHERE n.organization_id = b.organization_id AND n.brand_id = b.brand_id)",
        brand_values,
    ).rowcount
    if lost:
        # What went may be what another registry was refused: it is to be read again.
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
    found.gone = lost


def _organization(connection: psycopg.Connection, ingestor: Ingestor, entry: _Entry) -> str:
    organization = entry.organization
    content = jsonld.canonical(organization.document)
    row = connection.execute(
        """
        INSERT INTO catalog.organization AS t (
            tenant_id, organization_id, ingestor, name, description, url, logo, same_as, feed_url, document,
            document_hash
        ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (tenant_id, organization_id) DO UPDATE SET
            ingestor = excluded.ingestor, name = excluded.name, description = excluded.description, url = excluded.url,
            logo = excluded.logo, same_as = excluded.same_as, feed_url = excluded.feed_url,
            document = excluded.document, document_hash = excluded.document_hash, tombstoned_at = NULL,
            synced_at = now()
        WHERE t.document_hash <> excluded.document_hash OR t.tombstoned_at IS NOT NULL
           OR t.ingestor <> excluded.ingestor OR t.feed_url IS DISTINCT FROM excluded.feed_url
        RETURNING xmax = 0
        """,
        [
            *(ingestor.tenant, organization.urn, ingestor.name, organization.name, organization.description),
            *(organization.url, organization.logo, organization.same_as, entry.feed),
            *(Jsonb(orjson.Fragment(content)), jsonld.fingerprint(content, b"%d" % _RULES)),
        ],
    ).fetchone()
    return _outcome(row)


def _brand(connection: psycopg.Connection, ingestor: Ingestor, organization_id: str, brand: Brand) -> str:
    content = jsonld.canonical(brand.document)
    row = connection.execute(
        """
        INSERT INTO catalog.brand AS t (
            tenant_id, organization_id, brand_id, name, logo, document, document_hash
        ) VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (tenant_id, organization_id, brand_id) DO UPDATE SET
            name = excluded.name, logo = excluded.logo, document = excluded.document,
            document_hash = excluded.document_hash, tombstoned_at = NULL, synced_at = now()
        WHERE t.document_hash <> excluded.document_hash OR t.tombstoned_at IS NOT NULL
        RETURNING xmax = 0
        """,
        [
            *(ingestor.tenant, organization_id, brand.urn, brand.name, brand.logo),
            *(Jsonb(orjson.Fragment(content)), jsonld.fingerprint(content, b"%d" % _RULES)),
        ],
    ).fetchone()
    return _outcome(row)


def _outcome(row: tuple[Any, ...] | None) -> str:
    """What an upsert did that returns whether it inserted, and nothing where the row is the same."""
    if row is None:
        return "unchanged"
    return "new" if row[0] else "changed"


def _categories(connection: psycopg.Connection, tenant_id: str, organization: Organization) -> None:
    names = {slug(name): name for name in organization.categories if slug(name)}
    values = [tenant_id, organization.urn, list(names)]
    connection.execute(
        "DELETE FROM catalog.organization_category"
        " WHERE tenant_id = %s AND organization_id = %s AND category_id <> ALL (%s)",
        values,
    )
    connection.execute(
        "INSERT INTO catalog.category (tenant_id, organization_id, category_id, name)"
        " SELECT %s, %s, id, name FROM unnest(%s::text[], %s::text[]) AS c (id, name) ON CONFLICT DO NOTHING",
        [*values, list(names.values())],
    )
    connection.execute(
        "INSERT INTO catalog.organization_category (tenant_id, organization_id, category_id)"
        " SELECT %s, %s, unnest(%s::text[]) ON CONFLICT DO NOTHING",
        values,
    )


def _reject(connection: psycopg.Connection, ingestor: Ingestor, refused: list[Refused], found: FeedRound) -> None:
    source = source_name(ingestor.name)
    rejected.record(
        connection,
        ingestor.tenant,
        source,
        [Rejection.of(f"registry {each.key}", each.document, each.error, []) for each in refused],
    )
    connection.execute(
        "UPDATE ops.rejected_record SET resolved_at = now() WHERE tenant_id = %s AND source = %s"
        " AND resolved_at IS NULL AND last_seen_at < now() AND starts_with(document_key, 'registry ')",
        [ingestor.tenant, source],
    )
    found.rejected = len(refused)
    found.rejected_by_code = dict(Counter(each.error.code for each in refused))
    found.items = found.new + found.changed + found.unchanged + found.rejected
