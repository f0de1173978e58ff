"""The registry of tenants: who they are, where their data is, and what they may have differently.

A tenant is a row of ``ops.tenant``, a Dagster partition of the same name, and usually an ArangoDB database of its own.
Its id is for ever: it is in every key. Retiring stops requests for it and keeps its rows.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import available_timezones

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
        time_zone: IANA name; days of the tenant begin at its midnight.
        google_sheet_id: the spreadsheet that its worksheets are in; ``GOOGLE_SHEET_ID`` if empty.
        share_full_ip: worksheets show whole IP addresses, and not two octets of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phone_region: str = Field(default="VN")
    shared_database: bool = False
    time_zone: str = "UTC"
    google_sheet_id: str = ""
    share_full_ip: bool = False

    @field_validator("time_zone")
    @classmethod
    def _a_time_zone_that_is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no IANA time zone; use one like Asia/Ho_Chi_Minh or UTC")
        return value

    @field_validator("phone_region")
    @classmethod
    def _a_region_that_phonenumbers_knows(cls, value: str) -> str:
        from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415 (heavy; definitions load without it)

        if value not in SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is no ISO 3166 region with phone numbers; use one like VN or US")
        return value


@dataclass(frozen=True)
class Tenant:
    """One row of ``ops.tenant``.

    Attributes:
        stored_settings: as they are stored; ``settings`` has them checked.
    """

    tenant_id: str
    name: str
    status: str
    arango_database: str
    stored_settings: dict[str, Any]

    @property
    def active(self) -> bool:
        """Whether work is requested for it."""
        return self.status == "active"

    @cached_property
    def settings(self) -> TenantSettings:
        """Its settings with defaults.

        Checked here and not when tenants are listed, so that one bad row costs one tenant.

        Raises:
            ConfigurationError: a setting is not usable.
        """
        return _settings(self.tenant_id, self.stored_settings)


def add(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    name: str | None = None,
    arango_database: str | None = None,
    settings: dict[str, Any] | None = None,
) -> bool:
    """Register a tenant, or change what is given of a known one; a retired one becomes active again.

    Args:
        connection: of the platform's role.
        tenant_id: for ever; it is in every key.
        name: what people call it; the id for a new tenant.
        arango_database: where its data is; a new tenant needs one.
        settings: those that differ from the defaults of TenantSettings; the others stay as they are.

    Returns:
        Whether the tenant is new.

    Raises:
        ConfigurationError: the id or a setting is not usable, or a new tenant has no database.
    """
    if not _ID.fullmatch(tenant_id):
        raise ConfigurationError(
            f"Tenant id {tenant_id!r} is not usable: at most 63 of a-z, 0-9, _ and -, beginning with a letter or digit."
        )
    with tenant_transaction(connection, tenant_id):
        known = _find(connection, tenant_id)
        database = arango_database or (known.arango_database if known else None)
        if not database:
            raise ConfigurationError(
                f"In which ArangoDB database is the data of {tenant_id}? Say it with --database, or set ARANGO_DB."
            )
        stored = {**(known.stored_settings if known else {}), **(settings or {})}
        valid = _settings(tenant_id, stored)
        connection.execute(
            """
            INSERT INTO ops.tenant (tenant_id, name, arango_database, settings) VALUES (%s, %s, %s, %s)
            ON CONFLICT (tenant_id) DO UPDATE
            SET name = excluded.name, arango_database = excluded.arango_database, settings = excluded.settings,
                status = 'active', retired_at = NULL
            """,
            [
                tenant_id,
                name or (known.name if known else tenant_id),
                database,
                Jsonb(valid.model_dump(exclude_defaults=True)),
            ],
        )
    return known is None


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
    with connection.cursor(row_factory=class_row(Tenant)) as cursor:
        return cursor.execute(
            "SELECT tenant_id, name, status, arango_database, settings AS stored_settings"
            " FROM ops.registered_tenants() ORDER BY tenant_id"
        ).fetchall()


def get(connection: psycopg.Connection, tenant_id: str) -> Tenant:
    """The tenant of this id.

    Raises:
        UnknownTenantError: no such tenant.
    """
    with tenant_transaction(connection, tenant_id):
        tenant = _find(connection, tenant_id)
    if tenant is None:
        raise UnknownTenantError(_unknown(tenant_id))
    return tenant


def _find(connection: psycopg.Connection, tenant_id: str) -> Tenant | None:
    with connection.cursor(row_factory=class_row(Tenant)) as cursor:
        return cursor.execute(
            "SELECT tenant_id, name, status, arango_database, settings AS stored_settings"
            " FROM ops.tenant WHERE tenant_id = %s",
            [tenant_id],
        ).fetchone()


def _settings(tenant_id: str, raw: dict[str, Any]) -> TenantSettings:
    try:
        return TenantSettings.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        )
        raise ConfigurationError(f"Settings of tenant {tenant_id}: {problems}") from error


def _unknown(tenant_id: str) -> str:
    return f"There is no tenant {tenant_id!r}. `cdp tenant list` shows those there are; `cdp tenant add` makes one."
