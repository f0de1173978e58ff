"""The registry of tenants: who they are, where their data is, and the settings of each.

A tenant is a row of ``ops.tenant``, a Dagster partition of the same name, and usually an ArangoDB database of its own.
Its id never changes: it is in every key. Retiring stops requests for it and keeps its rows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self
from zoneinfo import available_timezones

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cdp_platform.errors import ConfigurationError, UnknownTenantError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class RoomSettings(BaseModel):
    """The settings of one tenant in one room: the base of each room's model.

    The names of fields are unique over all models. `cdp_platform.tenant_settings` lists the models.
    """

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, tenant: "Tenant") -> Self:
        """The settings of a tenant with defaults; those of other rooms are not looked at.

        Checked here and not when tenants are listed, so that a bad row stops only this tenant in this room.

        Raises:
            ConfigurationError: a setting is not usable.
        """
        try:
            return cls.model_validate(tenant.stored_settings)
        except ValidationError as error:
            raise refused(tenant.tenant_id, problems_of(error)) from error


class SharedSettings(RoomSettings):
    """Settings that all rooms share.

    Attributes:
        time_zone: IANA name; days of the tenant begin at its midnight.
    """

    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _a_time_zone_that_is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no IANA time zone; use one like Asia/Ho_Chi_Minh or UTC")
        return value


def problems_of(error: ValidationError) -> list[str]:
    """The problems, one sentence for each setting."""
    return [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]


def refused(tenant_id: str, problems: Iterable[str]) -> ConfigurationError:
    """The error that names everything that is wrong with a tenant's settings."""
    return ConfigurationError(f"Settings of tenant {tenant_id}: {'; '.join(problems)}")


@dataclass(frozen=True)
class Tenant:
    """One row of ``ops.tenant``.

    Attributes:
        arango_database: the name of its LEO CDP's database; empty if it has none, so that no customers are synced.
        stored_settings: of all rooms, as they are stored. Each room's `RoomSettings` has them checked.
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

    @property
    def time_zone(self) -> str:
        """The time zone in which its days begin; raises ConfigurationError for a name that is not known."""
        return SharedSettings.of(self).time_zone


def add(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    name: str | None = None,
    arango_database: str | None = None,
    settings: Iterable[RoomSettings] = (),
) -> bool:
    """Register a tenant, or change what is given of a known one; a retired one becomes active again.

    Args:
        connection: of the platform's role.
        tenant_id: never changes; it is in every key.
        name: what people call it; the id for a new tenant.
        arango_database: where the data of its LEO CDP is, '' if it has none. A new tenant needs one of both.
        settings: the fields that are set replace what is stored; the others stay as they are.

    Returns:
        Whether the tenant is new.

    Raises:
        ConfigurationError: the id is not usable, or nothing is said of a new tenant's database.
    """
    if not _ID.fullmatch(tenant_id):
        raise ConfigurationError(
            f"Tenant id {tenant_id!r} is not usable: at most 63 of a-z, 0-9, _ and -, beginning with a letter or digit."
        )
    with tenant_transaction(connection, tenant_id):
        known = _find(connection, tenant_id)
        database = known.arango_database if known and arango_database is None else arango_database
        if database is None:
            raise ConfigurationError(
                f"In which ArangoDB database is the data of {tenant_id}? Name it with --database, set ARANGO_DB, or "
                "say --no-database for a tenant without one."
            )
        stored = dict(known.stored_settings) if known else {}
        for each in settings:
            stored |= each.model_dump(exclude_unset=True)
            defaults = {name: field.default for name, field in type(each).model_fields.items()}
            stored = {name: value for name, value in stored.items() if name not in defaults or value != defaults[name]}
        connection.execute(
            statement("ops", "add_tenant"),
            {
                "tenant": tenant_id,
                "name": name or (known.name if known else tenant_id),
                "database": database,
                "settings": Jsonb(stored),
            },
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
    tenant = None
    # An id out of an address may be a text that PostgreSQL does not take.
    if _ID.fullmatch(tenant_id):
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


def _unknown(tenant_id: str) -> str:
    return f"There is no tenant {tenant_id!r}. `cdp tenant list` shows those there are; `cdp tenant add` makes one."
