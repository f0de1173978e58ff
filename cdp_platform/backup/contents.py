"""What a database and its dump contain: rows by table and tenant with checksums, sequences, and rights.

Checksums do not depend on the order of rows. They are sums of hashes of the text of whole rows, so they compare two
databases that have the same columns, of any servers.
"""

import gzip
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from cdp_platform.backup.manifest import Rows
from cdp_platform.backup.tools import Tell
from cdp_platform.warehouse.statements import statement

_END_OF_ROWS = b"\\.\n"
_NULL = b"\\N"
# The same text of a row on every server.
_TEXTS = {"datestyle": "ISO, YMD", "intervalstyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex"}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        schema: its schema.
        name: its name.
        tenant_place: place of the tenant among the columns that a dump has, from 0; None if it has no tenants.
    """

    schema: str
    name: str
    tenant_place: int | None

    @property
    def full_name(self) -> str:
        """With the schema."""
        return f"{self.schema}.{self.name}"


def tables(connection: psycopg.Connection) -> list[Table]:
    """All tables but those of PostgreSQL and its extensions."""
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        return cursor.execute(statement("backup", "tables")).fetchall()


def rows(connection: psycopg.Connection, tell: Tell) -> dict[str, dict[str, Rows]]:
    """Rows of every table by tenant, as the connection's role and transaction see them."""
    for name, value in _TEXTS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    found = {}
    for table in tables(connection):
        tenant = sql.SQL("''") if table.tenant_place is None else sql.SQL("coalesce(r.tenant_id, '')")
        query = statement("backup", "rows").format(table=sql.Identifier(table.schema, table.name), tenant=tenant)
        counted = connection.execute(query).fetchall()
        found[table.full_name] = {tenant_id: Rows(number, checksum) for tenant_id, number, checksum in counted}
    total = sum(each.rows for by_tenant in found.values() for each in by_tenant.values())
    tell(f"Counted {total:,} rows in {len(found)} tables.")
    return found


def analyze(connection: psycopg.Connection) -> None:
    """Gather the statistics of every table, which a dump does not have."""
    names = [sql.Identifier(table.schema, table.name) for table in tables(connection)]
    connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(names)))


def sequences(connection: psycopg.Connection) -> dict[str, int]:
    """The last value of each sequence that was used."""
    return dict(connection.execute(statement("backup", "sequences")).fetchall())


def security(connection: psycopg.Connection) -> list[str]:
    """A line for each policy, row-level security of a table, right, definer function and trigger."""
    return [line for (line,) in connection.execute(statement("backup", "security"))]


def dumped(files: Mapping[str, Path], known: list[Table]) -> dict[str, dict[str, int]]:
    """Number of rows of every table by tenant in the files of a dump."""
    return {each.full_name: _lines(files.get(each.full_name), each.tenant_place) for each in known}


def _lines(file: Path | None, tenant_place: int | None) -> dict[str, int]:
    if file is None:
        return {}
    counts: Counter[bytes] = Counter()
    with gzip.open(file, "rb") as opened:
        for line in opened:
            if line == _END_OF_ROWS:
                break
            if tenant_place is None:
                counts[b""] += 1
            else:
                # A value has no tab: COPY writes it as a backslash and a letter.
                tenant_id = line.split(b"\t", tenant_place + 1)[tenant_place].rstrip(b"\n")
                counts[b"" if tenant_id == _NULL else tenant_id] += 1
    return {tenant_id.decode(): number for tenant_id, number in counts.items()}
