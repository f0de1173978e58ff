"""A round that is killed anywhere leaves the catalogue as it was or as it is to be, and run again the latter."""

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cdp_platform.catalog import landing, registries, staging
from cdp_platform.catalog.sources import open_source
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.catalog.conftest import Shop, brand, group, ingestor_of, offer, organization, product, shard

# When the platform did something, and how often, differs between two runs that did the same.
_CIRCUMSTANCES = {
    *("tenant_id", "synced_at", "first_seen_at", "last_seen_at", "attempts", "started_at", "finished_at", "taken_at"),
    *("etag", "last_modified"),
}
_CATALOGUE = ("product_group", "product", "offer", "category", "brand_category")
_TABLES = (
    *(f"catalog.{table}" for table in _CATALOGUE),
    *("catalog.organization", "catalog.brand", "catalog.organization_category"),
    *("catalog.feed_state", "catalog.feed_round", "ops.rejected_record", "embeddings.entity_text"),
)
_VARIANT = {"isVariantOf": {"@id": "urn:cmp:productgroup:1"}}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three, so that a handful of items crosses several."""
    monkeypatch.setattr(staging, "_BATCH", 3)
    monkeypatch.setattr(landing, "_PAGE", 2)


def test_a_round_that_is_killed_after_any_write_is_all_or_nothing(shop: Shop):
    """Each way in which items change: new, changed, gone, back, rejected, there twice, and with their group."""
    folders = [shop.folder / version for version in ("one", "two")]
    one, two = (Shop(shop.connection, shop.warehouse, folder, ingestor_of(folder)) for folder in folders)
    one.write("registry.json", organization())
    one.write_feed(
        shard(group(1), group(2), product(1, **_VARIANT), product(2)),
        shard(product(3), product(4, offers=offer("abc")), product(5)),
    )
    two.write("registry.json", organization(name="Acme Ltd", brand=[brand(), brand("urn:cmp:brand:2", "Second")]))
    two.write_feed(
        shard(group(1, description="New"), product(1, **_VARIANT), product(2, offers=[offer(1), offer(2)])),
        shard(product(4), product(5, offers=offer(-1)), product(6, brand="Second"), product(7, sku="SKU-6")),
        shard(product(8, sku=""), product(9, brand="Nobody's"), product(10, category="New > One")),
    )
    numbers = itertools.count()

    def fresh() -> str:
        tenant_id = f"t{next(numbers)}"
        tenants.add(shop.connection, tenant_id, arango_database=tenant_id)
        take(shop.connection, one, tenant_id)
        return tenant_id

    def work(tenant_id: str) -> None:
        with connect(shop.warehouse.settings) as connection:
            take(connection, two, tenant_id)

    unkilled = fresh()
    before = snapshot(shop.connection, unkilled)
    work(unkilled)
    after = snapshot(shop.connection, unkilled)
    assert all(before[table] != after[table] for table in ("catalog.product", "catalog.offer", "ops.rejected_record"))

    killed = 0
    halves = set()
    for point, tenant_id in crashes.after_every_write(work, fresh):
        killed += 1
        found = snapshot(shop.connection, tenant_id)
        for version in (before, after):
            if all(found[f"catalog.{table}"] == version[f"catalog.{table}"] for table in _CATALOGUE[:3]):
                halves.add(version is after)
                break
        else:
            pytest.fail(f"half of a round was left {point}")
        work(tenant_id)
        assert snapshot(shop.connection, tenant_id) == after, point
    assert killed > 30
    assert halves == {True, False}


def take(connection: psycopg.Connection, shop: Shop, tenant_id: str) -> None:
    ingestor = shop.ingestor.model_copy(update={"tenant": tenant_id})
    with open_source(ingestor) as source:
        registries.take_registry(connection, source, ingestor, ingestors=[ingestor.name])
        landing.take_feeds(connection, source, ingestor)


def snapshot(connection: psycopg.Connection, tenant_id: str) -> dict[str, list[Any]]:
    with tenant_transaction(connection, tenant_id):
        return {table: sorted(map(repr, _rows(connection, table))) for table in _TABLES}


def _rows(connection: psycopg.Connection, table: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column.name for column in cursor.description or ()]
    for row in cursor:
        values = dict(zip(names, row, strict=True))
        for moment in ("removed_at", "resolved_at"):
            values[moment] = values.get(moment) is not None
        yield {name: value for name, value in values.items() if name not in _CIRCUMSTANCES}
