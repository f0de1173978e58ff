"""What is asked of a tenant's ArangoDB database: the queries in `aql/`, and nothing about where the answers go."""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cdp_platform import settings
from cdp_platform.customers import profiles, transactions, updated_at
from cdp_platform.customers.documents import Document
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.customers.updated_at import stamp
from cdp_platform.errors import ConfigurationError, MissingCollectionError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.resources.arango import ArangoDatabase, Bookmark

# What the sync asks for is one range of this index; without it the server sorts the whole collection each time.
WANTED_INDEX = ("updatedAt", "_key")


@dataclass(frozen=True)
class SourceState:
    """A collection at a glance.

    Attributes:
        count: its number of documents.
        greatest: its greatest ``updatedAt`` that is not in the future, in the form of `stamp`; None without any.
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
    """Those of the tenants that are read: active ones that have a database."""
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

    def everything(self, collection: str) -> Generator[list[Document]]:
        """All documents, ordered by (updatedAt, _key), in batches."""
        return self._stream("all_documents", collection)

    def changed_since(self, collection: str, since: datetime) -> Generator[list[Document]]:
        """Documents stamped at or after ``since`` whose stamps are in the order of time; likewise."""
        for begin, end in updated_at.in_order(since):
            yield from self._stream("changed_documents", collection, begin=begin, end=end)

    def scattered(self, collection: str, since: datetime, now: datetime) -> Generator[list[Document]]:
        """All others that can have been stamped since, in no order, and those whose stamp is no moment."""
        return self._stream("scattered_documents", collection, name=collection, ranges=updated_at.scattered(since, now))

    def begin(self, collection: str) -> tuple[list[Document], Bookmark]:
        """As `everything`, for several readers: the first batch, and where to go on."""
        return self._database.begin(aql("all_documents"), {"@collection": collection, "tenant": self._only})

    def resume(self, bookmark: Bookmark) -> tuple[list[Document], Bookmark]:
        """The next batch, and where to go on then."""
        return self._database.resume(bookmark)

    def end(self, bookmark: Bookmark) -> None:
        """Free what the source keeps for a reading that has ended."""
        self._database.end(bookmark)

    def keys(self, collection: str) -> Generator[list[tuple[str, str]]]:
        """Key and revision of every document, in pages."""
        return self._database.stream(aql("keys"), {"@collection": collection, "tenant": self._only})

    def documents(self, collection: str, keys: list[str]) -> list[Document]:
        """The documents of these keys that exist."""
        bind_vars = {"@collection": collection, "tenant": self._only, "keys": keys}
        return self._database.query(aql("documents_of_keys"), bind_vars)

    def members(self, segment_id: str) -> Generator[list[Document]]:
        """The profiles in a segment, in batches."""
        return self._stream("segment_members", profiles.COLLECTION, segment=segment_id)

    def conversions(self, profile_ids: list[str]) -> Generator[list[Document]]:
        """The conversion edges of these profiles, in batches."""
        name = settings.collections().profile_collection
        bind_vars = {"profiles": [f"{name}/{profile_id}" for profile_id in profile_ids]}
        return self._stream("conversions_of_profiles", transactions.COLLECTION, **bind_vars)

    def has_segment(self, segment_id: str) -> bool:
        """Whether the CDP has a segment of this key; False where it keeps no segments."""
        try:
            return bool(self._database.query(aql("segment"), {"segment": segment_id}))
        except MissingCollectionError:
            return False

    def touchpoints(self, keys: list[str]) -> list[Document]:
        """The touchpoints of these keys that exist; none where the CDP has no such collection."""
        try:
            return self._database.query(aql("touchpoints"), {"keys": keys, "tenant": self._only})
        except MissingCollectionError:
            return []

    def states(self) -> dict[str, SourceState]:
        """Count and greatest stamp of each collection, in one question for all.

        In a shared database these are of all its tenants together.
        """
        names = {"profiles": profiles.COLLECTION, "conversions": transactions.COLLECTION}
        (found,) = self._database.query(aql("source_states"), {f"@{name}": names[name] for name in names})
        now = _moment_of(found["now"])
        return {
            collection: SourceState(found[name]["count"], _greatest(found[name]["greatest"], now))
            for name, collection in names.items()
        }

    def count(self, collection: str) -> int:
        """How many documents the tenant has."""
        if self._only is None:
            (count,) = self._database.query("RETURN LENGTH(@@collection)", {"@collection": collection})
        else:
            (count,) = self._database.query(aql("count_of_tenant"), {"@collection": collection, "tenant": self._only})
        return count

    def now(self) -> datetime:
        """The time by the source's clock."""
        (epoch_ms,) = self._database.query("RETURN DATE_NOW()")
        return _moment_of(epoch_ms)

    def _stream(self, query: str, collection: str, **bind_vars: Any) -> Generator[list[Document]]:
        return self._database.stream(aql(query), {"@collection": collection, "tenant": self._only, **bind_vars})


def _moment_of(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _greatest(values: list[Any], now: datetime) -> str | None:
    """Of the greatest stamps of several layouts, the greatest moment that is not in the future."""
    found = [moment for value in values if (moment := updated_at.usable(value)) and moment <= now]
    return stamp(max(found)) if found else None
