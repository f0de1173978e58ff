"""How long ago the sensor `arango_changes` looked at the databases of the tenants."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.statements import statement

# While looks are not older than this, a change reaches the tables within two minutes.
OLD_SECONDS = 120.0
_NAMED = 5


@dataclass(frozen=True)
class Age:
    """The last look at one tenant's database.

    Attributes:
        tenant_id: the tenant.
        age_seconds: since the last look that could read it; since the tenant was added if there was none.
        ever: whether there was one.
    """

    tenant_id: str
    age_seconds: float
    ever: bool


def ages(connection: psycopg.Connection) -> list[Age]:
    """The last look at each active tenant that has a database, the oldest first."""
    with connection.cursor(row_factory=class_row(Age)) as cursor:
        return cursor.execute(statement("customers", "oldest_looks")).fetchall()


def flaw(found: Sequence[Age]) -> str:
    """What is wrong with these looks, and what to do; '' if none is too old or the sensor has never run."""
    old = [each for each in found if each.age_seconds > OLD_SECONDS]
    if not old or not any(each.ever for each in found):
        return ""
    named = ", ".join(f"{each.tenant_id} ({each.age_seconds / 60:.0f} min)" for each in old[:_NAMED])
    more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
    return (
        f"No look at {len(old)} of {len(found)} tenants for {OLD_SECONDS / 60:.0f} minutes: {named}{more}. Is the "
        "Dagster daemon running? The ticks of the sensor arango_changes say which sources do not answer."
    )
