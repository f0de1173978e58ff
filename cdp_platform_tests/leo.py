"""A tenant whose ArangoDB database (LEO CDP) a test fills over the wire, and the platform's code that reads it."""

import functools
import itertools
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.customers import persons, profiles, transactions
from cdp_platform.customers.full_read import SecondWorker
from cdp_platform.customers.landing import SyncResult
from cdp_platform.customers.mappers import Mapper, mapper_of
from cdp_platform.customers.reconcile import ReconciliationResult, reconcile
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import sync
from cdp_platform.ops import rejected, tenants, watermark
from cdp_platform.ops.rejected import RejectedRecord
from cdp_platform.ops.tenants import Tenant
from cdp_platform.resources.arango import open_database
from cdp_platform.tenant_settings import checked
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.sandbox_process import PASSWORD, SandboxProcess

_numbers = itertools.count(1)
STAMP = "2026-01-{day:02}T00:00:00.000Z"


@dataclass
class Leo:
    """One tenant: its LEO CDP database, its rows, and a way to sync the two."""

    sandbox: SandboxProcess
    connection: psycopg.Connection
    tenant: Tenant

    @functools.cached_property
    def database(self) -> Any:
        return self.sandbox.arango(self.tenant.arango_database)

    def put(self, collection: str, *documents: dict[str, Any]) -> None:
        answers = self.database.collection(collection).insert_many(list(documents), overwrite=True)
        assert not [answer for answer in answers if isinstance(answer, Exception)]

    def profile(self, key: str, day: int | None = 1, **fields: Any) -> None:
        stamp = {} if day is None else {"updatedAt": STAMP.format(day=day)}
        self.put(profiles.COLLECTION, {"_key": key, "status": 1, **stamp, **fields})

    def purchase(self, key: str, profile: str, day: int = 1, **fields: Any) -> None:
        edge = {"_key": key, "_from": f"cdp_profile/{profile}", "_to": "cdp_productitem/p1", "currencyCode": "USD"}
        stamps = {"createdAt": STAMP.format(day=day), "updatedAt": STAMP.format(day=day)}
        self.put(transactions.COLLECTION, {**edge, **stamps, "transactionValue": 10, **fields})

    @contextmanager
    def reading(self, kind: str = "profiles") -> Generator[tuple[TenantSource, Mapper]]:
        """The tenant's source, and the mapper of `profiles` or `transactions`."""
        collection = {"profiles": profiles.COLLECTION, "transactions": transactions.COLLECTION}[kind]
        with open_database(settings.arango(), self.tenant.arango_database) as database:
            source = TenantSource(database, self.tenant)
            yield source, mapper_of(collection, self.tenant, source)

    def sync(
        self, kind: str = "profiles", *, second_process: bool = False, second_thread: bool = False, **options: Any
    ) -> SyncResult:
        second = None
        if second_process or second_thread:
            second = SecondWorker(
                partial(connect, settings.postgres()),
                partial(open_database, settings.arango()),
                process_from=0 if second_process else math.inf,
            )
        with self.reading(kind) as (source, mapper):
            return sync(self.connection, source, self.tenant, mapper, second=second, **options)

    def reconcile(self, kind: str = "profiles", **options: Any) -> ReconciliationResult:
        with self.reading(kind) as (source, mapper):
            return reconcile(self.connection, source, self.tenant, mapper, **options)

    def erase(self, profile_id: str) -> persons.Receipt:
        with connect(settings.postgres()) as other:
            return persons.erase(other, self.tenant.tenant_id, [profile_id])

    def delete(self, collection: str, *keys: str) -> None:
        self.database.collection(collection).delete_many(list(keys))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            return self.connection.execute(query).fetchall()

    def keys(self, table: str = "cdp_profiles") -> set[str]:
        key = {"cdp_profiles": "profile_id", "transactions": "line_id"}[table]
        return {row[0] for row in self.rows(f"SELECT {key} FROM customers.{table}")}

    def versions(self) -> dict[str, str]:
        return dict(self.rows("SELECT profile_id, xmin::text || ctid::text || xmax::text FROM customers.cdp_profiles"))

    def waiting(self) -> list[RejectedRecord]:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            return rejected.waiting(self.connection, self.tenant.tenant_id)

    def stamp(self, collection: str = profiles.COLLECTION) -> str | None:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            known = watermark.read(
                self.connection, self.tenant.tenant_id, collection, database=self.tenant.arango_database
            )
        return known.stamp if known else None


@pytest.fixture
def new_leo(sandbox: SandboxProcess, app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Leo]:
    """Registers tenants, each with a database of its own unless told otherwise."""
    monkeypatch.setenv("ARANGO_HOST", sandbox.url)
    monkeypatch.setenv("ARANGO_PASSWORD", PASSWORD)
    settings.forget()

    def make(tenant_id: str = "acme", *, database: str | None = None, **tenant_settings: Any) -> Leo:
        name = database
        if name is None:
            name = f"leo_{next(_numbers)}"
            sandbox.arango().create_database(name)
            made = sandbox.arango(name)
            made.create_collection(profiles.COLLECTION)
            made.create_collection(transactions.COLLECTION, edge=True)
            made.create_collection("cdp_touchpoint")
        tenants.add(app, tenant_id, name=tenant_id, arango_database=name, settings=checked(tenant_id, tenant_settings))
        return Leo(sandbox, app, tenants.get(app, tenant_id))

    return make


@pytest.fixture
def leo(new_leo: Callable[..., Leo]) -> Leo:
    return new_leo()


def with_customers(leo: Leo, number: int = 2) -> Leo:
    """The tenant with customers who bought something each."""
    for each in range(number):
        leo.profile(f"c{each}")
        leo.purchase(f"e{each}", f"c{each}")
    return leo
