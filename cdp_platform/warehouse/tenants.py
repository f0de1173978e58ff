"""The registry of tenants: who they are, where their data is, and what they may have differently.

A tenant is a row of ``ops.tenant``, a Dagster partition of the same name, and usually an ArangoDB database of its own.
Its id is for ever: it is in every key. Retiring stops requests for it and keeps its rows.
"""

import re
from dataclasses import dataclass
from typing import Any

import phonenumbers
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cdp_platform.errors import ConfigurationError, UnknownTenantError
from cdp_platform.warehouse.connection import tenant_transaction

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class TenantSettings(BaseModel):
    """What one tenant may have differently.

    Attributes:
        phone_region: ISO 3166 region that a phone number without country code belongs to, such as ``VN``.
        shared_database: the ArangoDB database holds documents of several tenants; only those whose ``tenant_id``
            is this tenant are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phone_region: str = Field(default="VN")
    shared_database: bool = False

    @field_validator("phone_region")
    @classmethod
    def _a_region_that_phonenumbers_knows(cls, value: str) -> str:
        if value not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is no ISO 3166 region with phone numbers; use one like VN or US")
        return value


@dataclass(frozen=True)
class Tenant:
    """One row of ``ops.tenant``."""

    tenant_id: str
    name: str
    status: str
    arango_database: str
    settings: TenantSettings

    @property
    def active(self) -> bool:
        """Whether work is requested for it."""
        return self.status == "active"


@dataclass(frozen=True)
class _Row:
    tenant_id: str
    name: str
    status: str
    arango_database: str
    settings: dict[str, Any]


def add(
    connection: psycopg.Connection, tenant_id: str, *, name: str, arango_database: str, settings: dict[str, Any]
) -> bool:
    """Register a tenant, or change the name, database and settings of a known one; a retired one becomes active again.

    Returns:
        Whether the tenant is new.

    Raises:
        ConfigurationError: the id or a setting is not usable.
    """
    if not _ID.fullmatch(tenant_id):
        raise ConfigurationError(
            f"Tenant id {tenant_id!r} is not usable: at most 63 of a-z, 0-9, _ and -, beginning with a letter or digit."
        )
    valid = _settings(tenant_id, settings)
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            """
            INSERT INTO ops.tenant AS t (tenant_id, name, arango_database, settings) VALUES (%s, %s, %s, %s)
            ON CONFLICT (tenant_id) DO UPDATE
            SET name = excluded.name, arango_database = excluded.arango_database, settings = excluded.settings,
                status = 'active', retired_at = NULL
            RETURNING (xmax = 0)
            """,
            [tenant_id, name, arango_database, Jsonb(valid.model_dump(exclude_defaults=True))],
        ).fetchone()
    return bool(row and row[0])


def retire(connection: psycopg.Connection, tenant_id: str) -> None:
    """Stop requesting work for a tenant. Its rows stay.

    Raises:
        UnknownTenantError: no such tenant.
    """
    with tenant_transaction(connection, tenant_id):
        done = connection.execute(
            "UPDATE ops.tenant SET status = 'retired', retired_at = coalesce(retired_at, now()) WHERE tenant_id = %s",
            [tenant_id],
        )
    if done.rowcount == 0:
        raise UnknownTenantError(_unknown(tenant_id))


def registered(connection: psycopg.Connection) -> list[Tenant]:
    """All tenants, active and retired, ordered by id."""
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(
            "SELECT tenant_id, name, status, arango_database, settings FROM ops.registered_tenants() ORDER BY tenant_id"
        ).fetchall()
    return [_tenant(row) for row in rows]


def get(connection: psycopg.Connection, tenant_id: str) -> Tenant:
    """The tenant of this id.

    Raises:
        UnknownTenantError: no such tenant.
    """
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(
            "SELECT tenant_id, name, status, arango_database, settings FROM ops.tenant WHERE tenant_id = %s",
            [tenant_id],
        ).fetchone()
    if row is None:
        raise UnknownTenantError(_unknown(tenant_id))
    return _tenant(row)


def _tenant(row: _Row) -> Tenant:
    return Tenant(row.tenant_id, row.name, row.status, row.arango_database, _settings(row.tenant_id, row.settings))


def _settings(tenant_id: str, raw: dict[str, Any]) -> TenantSettings:
    try:
        return TenantSettings.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"Settings of tenant {tenant_id}: {problems}") from error


def _unknown(tenant_id: str) -> str:
    return f"There is no tenant {tenant_id!r}. `cdp tenant list` shows those there are; `cdp tenant add` makes one."
