"""Writes the demo tenants into ArangoDB over its HTTP interface: databases, collections, indexes and documents.

`retail.py` and `cdnow.py` make the documents; `preparing.py` registers the tenants with the platform.

The collection `demo_manifest` of each database records what was written. Because of it a second fill changes nothing. A
database of the same name without it belongs to somebody else and is not changed.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from arango.client import ArangoClient
from arango.database import StandardDatabase
from arango.exceptions import ArangoError
from arango.http import DefaultHTTPClient

from cdp_sandbox.demo import cdnow, retail
from cdp_sandbox.demo.model import (
    CDNOW,
    CONVERSIONS,
    PRODUCTS,
    PROFILES,
    SEGMENTS,
    TENANTS,
    TOUCHPOINTS,
    Collections,
    DemoTenant,
    Document,
    Scale,
    conversion,
    stamp,
)
from cdp_sandbox.processes import SandboxError

MANIFEST = "demo_manifest"
_BATCH = 1_000
_REQUEST_SECONDS = 120
_ORDER = (PRODUCTS, TOUCHPOINTS, SEGMENTS, PROFILES, CONVERSIONS)

Progress = Callable[[str, int, int], None]
"""Called with `tenant/collection`, the documents done so far and all of them."""


class Filled(NamedTuple):
    """What happened to one collection.

    Attributes:
        tenant: Tenant id.
        collection: Name of the collection.
        written: Documents that were inserted or replaced.
        unchanged: Documents that were there already.
    """

    tenant: str
    collection: str
    written: int
    unchanged: int


def fill(
    hosts: str,
    username: str,
    password: str,
    *,
    scale: Scale = "default",
    tenants: Iterable[DemoTenant] | None = None,
    reference: datetime | None = None,
    progress: Progress | None = None,
) -> list[Filled]:
    """Write demo tenants, and make their databases, collections and indexes where they are missing.

    A second fill at the same scale changes nothing, and keeps what was written in between by others (`touch`). A fill
    at another scale replaces the documents that both have, and leaves those that only the former had.

    Args:
        hosts: Base URL of ArangoDB.
        username: A user who may create databases.
        password: That user's password.
        scale: How many documents.
        tenants: Which tenants; all of them by default.
        reference: What counts as now in the invented tenants; all of their documents lie before it. By default what the
            last fill used, and for the first one the beginning of this day, UTC.
        progress: Called after every thousand documents.

    Raises:
        SandboxError: ArangoDB refuses a document, cannot be reached, or holds a database of a tenant's name that is
            not the demo's.
    """
    with _connected(hosts) as client:
        filled = []
        for tenant in TENANTS if tenants is None else tenants:
            database = _ensure_database(client, tenant, username, password)
            made = _collections(tenant, scale, reference or _reference_of(database))
            filled += [_fill_collection(database, tenant, name, made[name], progress) for name in _ORDER]
        return filled


def reference_moment(hosts: str, username: str, password: str) -> datetime:
    """Return the moment that counts as now in the demo, once its databases were filled."""
    client = ArangoClient(hosts=hosts)
    try:
        return _reference_of(client.db(TENANTS[0].database, username, password))
    finally:
        client.close()


def touch(
    hosts: str, username: str, password: str, *, tenant: DemoTenant, moment: datetime, customers: int = 5
) -> list[str]:
    """Let a few customers of a filled tenant buy something, so that there is a change to pick up.

    Touching twice with the same moment changes the same documents in the same way.

    Args:
        hosts: Base URL of ArangoDB.
        username: A user who may write.
        password: That user's password.
        tenant: Whose customers.
        moment: When it happens: `updatedAt` of each customer, and `createdAt` and `updatedAt` of the purchase.
        customers: How many customers buy. Each buys one thing.

    Returns:
        The keys of the new conversions.
    """
    with _connected(hosts) as client:
        database = client.db(tenant.database, username=username, password=password)
        buyers = _query(
            database,
            "FOR p IN cdp_profile FILTER p.status == 1 AND p.type == 2 SORT p._key LIMIT @customers RETURN p._key",
            customers=customers,
        )
        product = _query(database, "FOR p IN cdp_productitem SORT p._key LIMIT 1 RETURN p")[0]
        edges = [
            conversion(
                profile=buyer,
                product=product["_key"],
                metric="purchase",
                transaction=f"TOUCH-{moment:%Y%m%d%H%M%S}-{number}",
                # CDs of CDNOW have no list price; most cost this.
                value=product.get("salePrice", 14.99),
                currency=product["priceCurrency"],
                quantity=1,
                created=moment,
            )
            for number, buyer in enumerate(buyers, start=1)
        ]
        _import(database, CONVERSIONS, edges, on_duplicate="replace")
        changes = [{"_key": buyer, "updatedAt": stamp(moment)} for buyer in buyers]
        _import(database, PROFILES, changes, on_duplicate="update")
        return [edge["_key"] for edge in edges]


def _collections(tenant: DemoTenant, scale: Scale, reference: datetime) -> Collections:
    return cdnow.collections(scale) if tenant == CDNOW else retail.collections(tenant, scale, reference)


@contextmanager
def _connected(hosts: str) -> Generator[ArangoClient]:
    # By default python-arango tries for 18 seconds before it reports that no server is there. A person is waiting.
    client = ArangoClient(
        hosts, resolver_max_tries=1, http_client=DefaultHTTPClient(_REQUEST_SECONDS, retry_attempts=1)
    )
    try:
        yield client
    except (ArangoError, OSError) as error:
        raise SandboxError(f"ArangoDB at {hosts} refuses a request, or cannot be reached: {error}") from error
    finally:
        client.close()


def _ensure_database(client: ArangoClient, tenant: DemoTenant, username: str, password: str) -> StandardDatabase:
    system = client.db("_system", username=username, password=password)
    if not system.has_database(tenant.database):
        system.create_database(tenant.database)
    database = client.db(tenant.database, username=username, password=password)
    if not database.has_collection(MANIFEST):
        if database.has_collection(PROFILES):
            raise SandboxError(
                f"the database {tenant.database} has profiles that the demo did not write: "
                "point ARANGO_HOST at the sandbox, or rename that database"
            )
        database.create_collection(MANIFEST)
    for name in _ORDER:
        if not database.has_collection(name):
            database.create_collection(name, edge=name == CONVERSIONS)
    for name in (PROFILES, CONVERSIONS):
        # LEO CDP's own databases have this index for reading changes.
        database.collection(name).add_index({"type": "persistent", "fields": ["updatedAt", "_key"]})
    return database


def _reference_of(database: StandardDatabase) -> datetime:
    """Return the moment that counts as now in this database, and set it if this is the first fill."""
    manifest = database.collection(MANIFEST)
    noted = manifest.get("reference")
    if isinstance(noted, dict):
        return datetime.fromisoformat(noted["moment"])
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    manifest.insert({"_key": "reference", "moment": stamp(today)})
    return today


def _fill_collection(
    database: StandardDatabase, tenant: DemoTenant, name: str, documents: list[Document], progress: Progress | None
) -> Filled:
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()
    manifest = database.collection(MANIFEST)
    noted = manifest.get(name)
    same = isinstance(noted, dict) and noted["sha256"] == digest
    if same and database.collection(name).count() >= len(documents):  # ty: ignore[unsupported-operator]
        if progress:
            progress(f"{tenant.id}/{name}", len(documents), len(documents))
        return Filled(tenant.id, name, 0, len(documents))
    written = 0
    for start in range(0, len(documents), _BATCH):
        batch = documents[start : start + _BATCH]
        # Insert documents that were deleted since, and keep those that others changed.
        written += _import(database, name, batch, on_duplicate="ignore" if same else "replace")
        if progress:
            progress(f"{tenant.id}/{name}", start + len(batch), len(documents))
    manifest.insert({"_key": name, "sha256": digest, "count": len(documents)}, overwrite=True)
    return Filled(tenant.id, name, written, len(documents) - written)


def _import(database: StandardDatabase, name: str, documents: list[Document], *, on_duplicate: str) -> int:
    """Write documents in one request, all or none, and return how many were created or changed."""
    result = database.collection(name).import_bulk(
        documents, halt_on_error=True, details=True, on_duplicate=on_duplicate
    )
    if not isinstance(result, dict) or result["errors"]:
        raise SandboxError(f"ArangoDB refuses documents of {database.name}/{name}: {result}")
    return result["created"] + result["updated"]


def _query(database: StandardDatabase, query: str, **bind: Any) -> list[Any]:
    cursor = database.aql.execute(query, bind_vars=bind)
    return list(cursor)  # ty: ignore[invalid-argument-type]
