"""CDNOW, 1997-98: real purchases, written straight into the tables of a tenant. Nothing of it is in the project."""

import importlib.metadata
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction


class Purchase(NamedTuple):
    """One line of the file."""

    customer: str
    day: date
    dollars: Decimal


def purchases() -> list[Purchase]:
    """All purchases of all 23,570 customers."""
    shared = Path(os.environ.get("CDP_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    file = shared / "cdnow" / "CDNOW_master.txt"
    if not file.exists():
        pytest.skip(f"no CDNOW: {file} is absent")
    lines = (line.split() for line in file.read_text().splitlines()[1:] if line.strip())
    return [_purchase(customer, day, dollars) for customer, day, _, dollars in lines]


def tenth() -> list[Purchase]:
    """The 2,357 customers of the papers: each tenth of the file, as the authors published them."""
    (file,) = (each for each in importlib.metadata.files("lifetimes") or [] if each.name == "CDNOW_sample.txt")
    lines = (line.split() for line in Path(str(file.locate())).read_text().splitlines() if line.strip())
    return [_purchase(customer, day, dollars) for _, customer, day, _, dollars in lines]


def _purchase(customer: str, day: str, dollars: str) -> Purchase:
    return Purchase(customer, datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date(), Decimal(dollars))


def load(connection: psycopg.Connection, tenant_id: str, bought: Iterable[Purchase]) -> Tenant:
    """Write the customers and their purchases, at noon (UTC), each an order of its own."""
    tenants.add(connection, tenant_id, name=tenant_id, arango_database=tenant_id)
    with tenant_transaction(connection, tenant_id):
        connection.execute("CREATE TEMPORARY TABLE bought (number serial, customer text, day date, dollars numeric)")
        with connection.cursor().copy("COPY bought (customer, day, dollars) FROM STDIN") as copy:
            for each in bought:
                copy.write_row(each)
        connection.execute(
            """
            INSERT INTO customers.cdp_profiles
            SELECT made.*
            FROM (SELECT DISTINCT customer FROM bought) AS customers,
                (SELECT jsonb_object_agg(attname, '[]'::jsonb) AS list FROM pg_attribute
                 WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype) AS every,
                jsonb_populate_record(NULL::customers.cdp_profiles, every.list || jsonb_build_object(
                    'tenant_id', %s::text, 'profile_id', customer, 'status', 'active', 'document_hash', '',
                    'synced_at', now())) AS made
            """,
            [tenant_id],
        )
        connection.execute(
            "INSERT INTO customers.transactions (tenant_id, line_id, profile_id, amount, currency, occurred_at,"
            " segment_ids, asset_group_ids, document, document_hash)"
            " SELECT %s, 'l' || number, customer, dollars, 'USD', day + interval '12 hours', '[]', '[]', '{}', ''"
            " FROM bought",
            [tenant_id],
        )
        connection.execute("DROP TABLE bought")
    return tenants.get(connection, tenant_id)
