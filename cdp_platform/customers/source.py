"""Reads a tenant's ArangoDB database with the queries in `aql/`; what is done with the answers is not here."""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cdp_platform import settings
from cdp_platform.customers import profiles, segments, transactions, updated_at
from cdp_platform.customers.batches import Batch
from cdp_platform.customers.documents import Document
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.customers.updated_at import stamp
from cdp_platform.errors import ConfigurationError, MissingCollectionError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.resources.arango import ArangoDatabase, Bookmark

# The sync reads one range of this index; without the index the server sorts the whole collection each time.
WANTED_INDEX = ("updatedAt", "_key")


@dataclass(frozen=True)
class SourceState:
    """Number and greatest timestamp of a collection's documents.

    Attributes:
        count: its number of documents.
        greatest: its greatest ``updatedAt`` that is not in the future, in the form of `stamp`; None if there is none.
    """

    count: int
    greatest: str | None


@lru_cache
def aql(name: str) -> str:
    """The text of `aql/NAME.aql`."""
    return (Path(__file__).parent / "aql" / f"{name}.aql").read_text()


OpenDatabase = Callable[[str], AbstractContextManager[ArangoDatabase]]
"""Opens a database of the server by its name, as `cdp_platform.resources.arango.open_database` does."""


def database_of(tenant: Tenant) -> str:
    """The name of the tenant's database.

    Raises:
        ConfigurationError: it has none.
    """
    if not tenant.arango_database:
        raise ConfigurationError(
            f"Tenant {tenant.tenant_id} has no ArangoDB database, so it has no customers to read. "
            f"`cdp tenant add {tenant.tenant_id} --database NAME` names one."
        )
    return tenant.arango_database


def with_database(registered: Iterable[Tenant]) -> list[Tenant]:
    """The tenants that are read: active ones that have a database."""
    return [tenant for tenant in registered if tenant.active and tenant.arango_database]


@contextmanager
def open_source(open_database: OpenDatabase, tenant: Tenant) -> Generator["TenantSource"]:
    """The tenant's database, ready to be read.

    Raises:
        ConfigurationError: it has none.
    """
    with open_database(database_of(tenant)) as database:
        yield TenantSource(database, tenant)


class TenantSource:
    """One tenant's database, read with the queries of this room."""

    def __init__(self, database: ArangoDatabase, tenant: Tenant) -> None:
        self._database = database
        self._only = tenant.tenant_id if CustomerSettings.of(tenant).shared_database else None

    def changed_since(self, collection: str, since: datetime) -> Generator[Batch]:
        """Documents from ``since`` on whose timestamps sort by time, ordered by (updatedAt, _key), in batches."""
        for begin, end in updated_at.in_order(since):
            yield from self._stream("changed_documents", collection, begin=begin, end=end)

    def scattered(self, collection: str, since: datetime, now: datetime) -> Generator[Batch]:
        """All other documents that may be from ``since`` on, and those without a usable timestamp, in no order."""
        return self._stream("scattered_documents", collection, name=collection, ranges=updated_at.scattered(since, now))

    def begin(self, collection: str) -> tuple[Batch, Bookmark]:
        """Begin to read all documents, ordered by (updatedAt, _key): the first batch, and where to go on."""
        bind_vars = {"@collection": collection, "tenant": self._only}
        sources, bookmark = self._database.begin(aql("all_documents"), bind_vars)
        return Batch(sources), bookmark

    def resume(self, bookmark: Bookmark) -> tuple[Batch, Bookmark]:
        """The next batch, and where to go on then."""
        sources, following = self._database.resume(bookmark)
        return Batch(sources), following

    def end(self, bookmark: Bookmark) -> None:
        """Release what the server keeps for a reading that has ended."""
        self._database.end(bookmark)

    def keys(self, collection: str) -> Generator[list[tuple[str, str]]]:
        """Key and revision of every document, in pages."""
        return self._database.stream(aql("keys"), {"@collection": collection, "tenant": self._only})

    def documents(self, collection: str, keys: list[str]) -> Batch:
        """The documents of these keys that exist."""
        found = self._stream("documents_of_keys", collection, keys=keys)
        return Batch([source for batch in found for source in batch.sources])

    def members(self, segment_id: str) -> Generator[Batch]:
        """The profiles in a segment, in batches."""
        return self._stream("segment_members", profiles.COLLECTION, segment=segment_id)

    def conversions(self, profile_ids: list[str]) -> Generator[Batch]:
        """The conversion edges of these profiles, in batches."""
        name = settings.collections().profile_collection
        bind_vars = {"profiles": [f"{name}/{profile_id}" for profile_id in profile_ids]}
        return self._stream("conversions_of_profiles", transactions.COLLECTION, **bind_vars)

    def has_segment(self, segment_id: str) -> bool:
        """Whether the CDP has a segment of this key; False if it has no collection of segments."""
        try:
            return bool(self._database.query(aql("segment"), {"segment": segment_id}))
        except MissingCollectionError:
            return False

    def has_collection(self, collection: str) -> bool:
        """Whether the CDP has a collection of this name."""
        try:
            self._state(collection)
        except MissingCollectionError:
            return False
        return True

    def touchpoints(self, keys: list[str]) -> list[Document]:
        """The touchpoints of these keys that exist; none if the CDP has no such collection."""
        try:
            return self._database.query(aql("touchpoints"), {"keys": keys, "tenant": self._only})
        except MissingCollectionError:
            return []

    def product_names(self, since: datetime | None) -> Generator[list[Document]]:
        """Key, title, keywords and ``updatedAt`` of products that changed from ``since`` on, or of all, in batches.

        The oldest change comes first. None if the CDP has no such collection.
        """
        with suppress(MissingCollectionError):
            bind_vars = {"since": stamp(since) if since else None, "tenant": self._only}
            yield from self._database.stream(aql("product_names"), bind_vars)

    def states(self) -> dict[str, SourceState]:
        """Number of documents and greatest timestamp of each collection that is there.

        In a shared database these are about all its tenants together. An older CDP has no collection of segments.
        """
        states = {name: self._state(name) for name in (profiles.COLLECTION, transactions.COLLECTION)}
        with suppress(MissingCollectionError):
            states[segments.COLLECTION] = self._state(segments.COLLECTION)
        return states

    def count(self, collection: str) -> int:
        """The number of documents that the tenant has."""
        if self._only is None:
            (count,) = self._database.query("RETURN LENGTH(@@collection)", {"@collection": collection})
        else:
            (count,) = self._database.query(aql("count_of_tenant"), {"@collection": collection, "tenant": self._only})
        return count

    def now(self) -> datetime:
        """The time on the source's clock."""
        (epoch_ms,) = self._database.query("RETURN DATE_NOW()")
        return _moment_of(epoch_ms)

    def _state(self, collection: str) -> SourceState:
        (found,) = self._database.query(aql("source_state"), {"@collection": collection})
        return SourceState(found["count"], _greatest(found["greatest"], _moment_of(found["now"])))

    def _stream(self, query: str, collection: str, **bind_vars: Any) -> Generator[Batch]:
        bind_vars |= {"@collection": collection, "tenant": self._only}
        with closing(self._database.stream_json(aql(query), bind_vars)) as pages:
            for sources in pages:
                yield Batch(sources)


def _moment_of(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _greatest(values: list[Any], now: datetime) -> str | None:
    """The greatest moment that is not in the future, among the greatest timestamps of each layout."""
    found = [moment for value in values if (moment := updated_at.usable(value)) and moment <= now]
    return stamp(max(found)) if found else None
