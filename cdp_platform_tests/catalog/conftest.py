"""Shops of one test: registries and feeds as files, and the warehouse that they are taken into."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import psycopg
import pytest
import yaml

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.catalog import landing, registries, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.rounds import FeedRound
from cdp_platform.catalog.sources import open_source
from cdp_platform.ops import rejected, tenants
from cdp_platform.orchestration.in_process import RunResult, run_job
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

TENANT = "acme"
ORGANIZATION = "urn:cmp:org:11111111-0000-0000-0000-000000000001"
BRAND = "urn:cmp:brand:22222222-0000-0000-0000-000000000001"
CONTEXT = {"schema": "https://schema.org", "cmp": "https://schema.commercemesh.ai/ns#"}


def brand(urn: str = BRAND, name: str = "Northwind", **more: Any) -> dict[str, Any]:
    identifier = {"@type": "PropertyValue", "propertyID": "cmp:brandId  ", "value": urn}
    return {"@type": "Brand", "name": name, "identifier": identifier, **more}


def organization(urn: str = ORGANIZATION, **more: Any) -> dict[str, Any]:
    return {
        "@context": CONTEXT,
        "@type": "Organization",
        "name": "Acme",
        "url": "https://acme.example",
        "logo": "https://acme.example/logo.png",
        "brand": [brand()],
        "cmp:category": ["gift-cards"],
        "cmp:productFeed": {"@type": "DataFeed", "url": "feed/index.json"},
        "identifier": {"@type": "PropertyValue", "propertyID": "cmp:orgId", "value": urn},
        **more,
    }


def group(number: int, **more: Any) -> dict[str, Any]:
    return {
        "@type": "ProductGroup",
        "@id": f"urn:cmp:productgroup:{number}",
        "name": f"Group {number}",
        "description": f"All of group {number}",
        "brand": {"@type": "Brand", "name": "Northwind"},
        "category": "Gifts > Gift Cards",
        "productGroupID": f"G-{number}",
        "variesBy": ["color"],
        **more,
    }


def product(number: int, **more: Any) -> dict[str, Any]:
    return {
        "@type": "Product",
        "@id": f"urn:cmp:sku:{number}",
        "sku": f"SKU-{number}",
        "name": f"Product {number}",
        "brand": {"@type": "Brand", "name": "Northwind"},
        "offers": offer(),
        **more,
    }


def offer(price: Any = 19.9, **more: Any) -> dict[str, Any]:
    return {
        "@type": "Offer",
        "price": price,
        "priceCurrency": "USD",
        "availability": "https://schema.org/InStock",
        **more,
    }


def shard(*items: Any) -> bytes:
    elements = [{"@type": "ListItem", "position": at, "item": item} for at, item in enumerate(items, start=1)]
    return orjson.dumps({"@context": "https://schema.org", "@type": "ItemList", "itemListElement": elements})


@dataclass(frozen=True)
class Shop:
    """Files of a registry and its feeds, and what was made of them."""

    connection: psycopg.Connection
    warehouse: Warehouse
    folder: Path
    ingestor: Ingestor

    def write(self, path: str, content: Any) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))

    def write_feed(self, *shards: bytes, folder: str = "feed", **index: Any) -> None:
        for number, content in enumerate(shards):
            self.write(f"{folder}/feed-{number:03}.json", content)
        listed = [f"feed-{number:03}.json" for number in range(len(shards))]
        self.write(f"{folder}/index.json", {"@type": "ProductFeedIndex", "version": "0.1", "shards": listed, **index})

    def take_registry(self, connection: psycopg.Connection | None = None) -> FeedRound:
        with open_source(self.ingestor) as source:
            return registries.take_registry(
                connection or self.connection, source, self.ingestor, ingestors=[self.ingestor.name]
            )

    def take_feeds(self, connection: psycopg.Connection | None = None) -> list[FeedRound]:
        with open_source(self.ingestor) as source:
            return landing.take_feeds(connection or self.connection, source, self.ingestor)

    def take(self) -> FeedRound:
        """Registry and the one feed."""
        self.take_registry()
        (found,) = self.take_feeds()
        return found

    def last(self) -> FeedRound:
        return rounds.last(self.connection, TENANT, self.ingestor.name)[-1]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, TENANT):
            return self.connection.execute(query, values).fetchall()  # ty: ignore[invalid-argument-type]

    def products(self) -> list[str]:
        """Ids of the live products."""
        return [
            row[0] for row in self.rows("SELECT product_id FROM catalog.product WHERE removed_at IS NULL ORDER BY 1")
        ]

    def rejected(self) -> list[tuple[str, str]]:
        """Code and path of what waits rejected."""
        with tenant_transaction(self.connection, TENANT):
            return [(each.code, each.path) for each in rejected.waiting(self.connection, TENANT)]


def ingestor_of(folder: Path, **more: Any) -> Ingestor:
    return Ingestor.model_validate(
        {
            "name": "shop",
            "tenant": TENANT,
            "source_type": "local",
            "root": str(folder),
            "registry": "registry.json",
            **more,
        }
    )


@pytest.fixture
def shop(warehouse: Warehouse, app: psycopg.Connection, tmp_path: Path) -> Shop:
    tenants.add(app, TENANT, arango_database=TENANT)
    made = Shop(app, warehouse, tmp_path, ingestor_of(tmp_path))
    made.write("registry.json", organization())
    return made


@pytest.fixture
def second_connection(warehouse: Warehouse) -> Iterator[psycopg.Connection]:
    with connect(warehouse.settings) as connection:
        yield connection


@dataclass
class Mall:
    """Shops by name, each with a registry and one feed in a folder of its own."""

    connection: psycopg.Connection
    warehouse: Warehouse
    folder: Path
    instance: dg.DagsterInstance
    shops: dict[str, Shop] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def shop(self, name: str, *, tenant: str = "acme", **entry: Any) -> Shop:
        """Open another shop; its feed has one product."""
        tenants.add(self.connection, tenant, arango_database=tenant)
        number = len(self.shops) + 1
        made = Shop(
            self.connection,
            self.warehouse,
            self.folder / name,
            ingestor_of(self.folder / name, name=name, tenant=tenant, **entry),
        )
        owned = brand(f"urn:cmp:brand:22222222-0000-0000-0000-{number:012}")
        made.write("registry.json", organization(f"urn:cmp:org:11111111-0000-0000-0000-{number:012}", brand=[owned]))
        made.write_feed(shard(product(1)))
        self.shops[name] = made
        self.list(name=name, tenant=tenant, source_type="local", root=name, registry="registry.json", **entry)
        return made

    def list(self, **entry: Any) -> None:
        """Write an ingestor into ingestion.yaml."""
        self.entries.append(entry)
        (self.folder / "ingestion.yaml").write_text(yaml.safe_dump({"ingestion": self.entries}))

    def run(self, *names: str, job: str = "catalog_ingest", config: dict[str, Any] | None = None) -> RunResult:
        return run_job(build_definitions(), job, self.instance, names, config=config)

    def materialized(self, asset: str, name: str) -> int:
        """How many materializations Dagster knows of."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(["catalog", asset]), asset_partitions=[name])
        return len(self.instance.fetch_materializations(wanted, limit=100).records)


@pytest.fixture
def mall(
    warehouse: Warehouse,
    app: psycopg.Connection,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Mall:
    monkeypatch.setenv("INGESTION_CONFIG_PATH", str(tmp_path / "ingestion.yaml"))
    (tmp_path / "ingestion.yaml").write_text("ingestion: []")
    settings.forget()
    return Mall(app, warehouse, tmp_path, instance)
