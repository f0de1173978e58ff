"""A stand-in for the older worker that took product feeds: the same statements in the same order, and nothing else.

What it leaves out (objects of an ORM, models that validate, vectors) is said in `benchmarks.catalog`.
"""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks import feeds

_BATCH = 500

_TABLES = """
DROP SCHEMA IF EXISTS older CASCADE;
CREATE SCHEMA older;
CREATE TABLE older.brand (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, urn text UNIQUE, organization_id uuid
);
CREATE TABLE older.category (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text UNIQUE, name text);
CREATE TABLE older.product_group (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), urn text UNIQUE, name text, description text, url text,
    category text, product_group_id text UNIQUE, varies_by text[], brand_id uuid REFERENCES older.brand,
    category_id uuid REFERENCES older.category, organization_id uuid, raw_data jsonb
);
CREATE TABLE older.product (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), urn text UNIQUE, name text, url text, sku text, description text,
    product_group_id uuid REFERENCES older.product_group, brand_id uuid REFERENCES older.brand,
    category_id uuid REFERENCES older.category, organization_id uuid, variant_attributes jsonb, raw_data jsonb
);
CREATE TABLE older.offer (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), product_id uuid REFERENCES older.product, seller_id uuid,
    price float, price_currency char(3), availability text, inventory_level int, raw_data jsonb,
    UNIQUE (product_id, seller_id)
);
"""
_BRAND_BY_URN = "SELECT id, name, urn, organization_id FROM older.brand WHERE urn = %s"
_BRAND_BY_ID = "SELECT id, name, urn, organization_id FROM older.brand WHERE id = %s"
_GROUP_BY_URN = "SELECT * FROM older.product_group WHERE urn = %s"
_CATEGORY = "SELECT id, slug, name FROM older.category WHERE slug = %s"
_OFFER = "SELECT * FROM older.offer WHERE product_id = %s AND seller_id = %s"
_NEW_BRAND = "INSERT INTO older.brand (name, urn, organization_id) VALUES (%s, %s, gen_random_uuid()) RETURNING id"
_NEW_CATEGORY = "INSERT INTO older.category (slug, name) VALUES (%s, %s) RETURNING id, slug, name"
_NEW_OFFER = """
INSERT INTO older.offer (product_id, seller_id, price, price_currency, availability, inventory_level, raw_data)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_GROUP_COLUMNS = (
    *("urn", "name", "description", "url", "category", "product_group_id", "varies_by", "brand_id", "category_id"),
    *("organization_id", "raw_data"),
)
_PRODUCT_COLUMNS = (
    *("urn", "name", "url", "sku", "description", "product_group_id", "brand_id", "category_id", "organization_id"),
    *("variant_attributes", "raw_data"),
)


def make_tables(connection: psycopg.Connection) -> None:
    """Make the tables anew, as the older worker had them."""
    connection.execute(_TABLES)


def take(connection: psycopg.Connection, folder: Path) -> int:
    """Take a feed of `benchmarks.feeds`; returns how many groups and products it wrote."""
    index = folder / feeds.INDEX
    written = 0
    for name in json.loads(index.read_text())["shards"]:
        shard = json.loads((index.parent / name).read_text())
        items = [element["item"] for element in shard["itemListElement"]]
        groups = [item for item in items if item["@type"] == "ProductGroup"]
        products = [item for item in items if item["@type"] == "Product"]
        for brand_id, theirs in _by((_brand_of_group(connection, group), group) for group in groups):
            written += _take_groups(connection, brand_id, theirs)
        keyed = (((_brand_of_product(connection, item), item["category"]), item) for item in products)
        for (brand_id, category), theirs in _by(keyed):
            written += _take_products(connection, brand_id, category, theirs)
    return written


def _by(pairs: Iterable[tuple[Hashable, dict[str, Any]]]) -> Iterable[tuple[Any, list[dict[str, Any]]]]:
    found = defaultdict(list)
    for key, item in pairs:
        found[key].append(item)
    return found.items()


def _brand_of_group(connection: psycopg.Connection, group: dict[str, Any]) -> Any:
    urn = group["brand"]["identifier"]["value"]
    found = connection.execute(_BRAND_BY_URN, [urn]).fetchone()
    brand = found or _one(connection, _NEW_BRAND, group["brand"]["name"], urn)
    return _one(connection, _BRAND_BY_ID, brand[0])[0]


def _brand_of_product(connection: psycopg.Connection, product: dict[str, Any]) -> Any:
    group = _one(connection, _GROUP_BY_URN, product["isVariantOf"]["@id"])
    return _one(connection, _BRAND_BY_ID, group[8])[0]


def _take_groups(connection: psycopg.Connection, brand_id: Any, groups: list[dict[str, Any]]) -> int:
    organization_id = _one(connection, _BRAND_BY_ID, brand_id)[3]
    rows = [
        (
            *(group["@id"], group["name"], group["description"], group["url"], group["category"]),
            *(group["productGroupID"], group["variesBy"], brand_id, _category(connection, group["category"])),
            *(organization_id, Jsonb(group, json.dumps)),
        )
        for group in groups
    ]
    return len(_upsert(connection, "product_group", _GROUP_COLUMNS, rows))


def _take_products(connection: psycopg.Connection, brand_id: Any, category: str, products: list[dict[str, Any]]) -> int:
    organization_id = _one(connection, _BRAND_BY_ID, brand_id)[3]
    category_id = _category(connection, category)
    rows = []
    for product in products:
        group = _one(connection, _GROUP_BY_URN, product["isVariantOf"]["@id"])
        attributes = {each["name"]: each["value"] for each in product["additionalProperty"]}
        rows.append(
            (
                *(product["@id"], product["name"], product["url"], product["sku"], product["description"], group[0]),
                *(brand_id, category_id, organization_id, Jsonb(attributes, json.dumps), Jsonb(product, json.dumps)),
            )
        )
    ids = _upsert(connection, "product", _PRODUCT_COLUMNS, rows)
    for product in products:
        offer, product_id = product["offers"], ids[product["@id"]]
        if connection.execute(_OFFER, [product_id, organization_id]).fetchone() is None:
            availability, level = offer["availability"].rpartition("/")[2], offer["inventoryLevel"]["value"]
            connection.execute(
                _NEW_OFFER,
                [
                    *(product_id, organization_id, float(offer["price"]), offer["priceCurrency"], availability, level),
                    Jsonb(offer, json.dumps),
                ],
            )
    connection.commit()
    return len(ids)


def _category(connection: psycopg.Connection, name: str) -> Any:
    slug = name.lower().replace(" ", "-").replace("&", "").replace("_", "-")
    found = connection.execute(_CATEGORY, [slug]).fetchone()
    return (found or _one(connection, _NEW_CATEGORY, slug, name))[0]


def _upsert(
    connection: psycopg.Connection, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    """Upserts of so many rows a statement, committed; returns ids by URN."""
    found: dict[str, Any] = {}
    query = sql.SQL(
        "INSERT INTO {table} ({columns}) VALUES {rows} ON CONFLICT (urn) DO UPDATE SET {assignments} RETURNING urn, id"
    )
    row = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(columns)))
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        statement = query.format(
            table=sql.Identifier("older", table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            rows=sql.SQL(", ").join([row] * len(batch)),
            assignments=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name != "urn"
            ),
        )
        found |= dict(connection.execute(statement, [value for each in batch for value in each]).fetchall())
    connection.commit()
    return found


def _one(connection: psycopg.Connection, query: LiteralString, *values: Any) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise RuntimeError("what was just written is not there")
    return row
