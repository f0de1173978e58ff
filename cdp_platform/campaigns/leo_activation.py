"""History of the LEO data workers (`leo-activation`), from their PostgreSQL: what they planned, sent and were allowed.

Their tables are read as they are, in both shapes (``event_name`` or ``marketing_event_name``), row by row as JSON, and
turned into ours by one statement per table. Rows have the origin ``leo-activation``. They are history: an event is
``done``, ``partly_failed``, ``cancelled`` or ``missed``, and the database lets no event of that origin run, so nothing
of it is ever sent. An event in the future there is ``cancelled`` here: its segment and template were never written
down. Again takes what is new there and changes nothing else.

A row that cannot be taken is a rejected record with its reason (source ``leo-activation``), and `ImportResult` counts
all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import psycopg
from psycopg import sql

from cdp_platform.campaigns import consent
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops import rejected
from cdp_platform.ops.rejected import Rejection
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse import other_database
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

VARIABLE = "LEO_ACTIVATION_DATABASE_URL"
ORIGIN = "leo-activation"

# Their tables in the order in which ours need them, with the columns of which one is the key.
_TABLES: Mapping[str, Sequence[str]] = {
    "campaign": ("campaign_id",),
    "marketing_event": ("marketing_event_id", "event_id"),
    "message_templates": ("template_id",),
    "segment_snapshot": ("snapshot_id",),
    "segment_snapshot_member": ("snapshot_id", "profile_id"),
    "delivery_log": ("delivery_id",),
    "consent_management": ("consent_id",),
    "activation_outcomes": ("outcome_id",),
}
# Why a row is left out, in words, for each code of `leo_judge.sql`.
_REASONS = {
    "taken": "an event that was planned here has this id. Rename that one",
    "no_event": "its event is not in marketing_event",
    "no_profile": "its profile is not here. Run `cdp sync`, and import again",
    "engine": "only templates of jinja2 are taken. Write it anew for `cdp campaign apply`",
    "no_place": "opens, clicks and attributed purchases are not kept: effect is measured by orders",
}
# Remarks on rows that are taken, for a person.
_REMARKS = {
    "channel": "its channel is not in channels.yaml; the name is kept as it was",
    "delivery_status": "its status is none of theirs: failed, with the reason no_outcome",
    "profile": "its profile is not here: the delivery counts, and names nobody",
}
# Statements in their order, with the table whose new rows they write.
_STEPS = (
    ("campaign", "leo_campaigns"),
    ("marketing_event", "leo_events"),
    ("message_templates", "leo_templates"),
    ("segment_snapshot", "leo_snapshots"),
    ("segment_snapshot_member", "leo_members"),
    ("delivery_log", "leo_deliveries"),
)


@dataclass(frozen=True)
class ImportResult:
    """Counts of the rows of each of their tables.

    Attributes:
        read: number of rows there.
        written: rows that are new here, by their table.
        left_out: rows that were not taken, by table and reason.
        remarks: rows that were taken with a change, by table and what a person should know.
    """

    read: dict[str, int]
    written: dict[str, int]
    left_out: dict[tuple[str, str], int]
    remarks: dict[tuple[str, str], int]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def take(
    connection: psycopg.Connection,
    tenant: Tenant,
    database_url: str,
    channels: Mapping[str, _Named],
    *,
    source_tenant: str | None = None,
    now: datetime | None = None,
) -> ImportResult:
    """Read a tenant's history there and write it here, in one transaction.

    Args:
        connection: of the platform's role.
        tenant: whose history it becomes.
        database_url: their database.
        channels: of channels.yaml, by name and alias.
        source_tenant: their tenant_id; None if there is only one.
        now: what starts later lies in the future; the present by default.

    Raises:
        ConfigurationError: the URL is not usable, or it has to be said which tenant.
        SourceError: their database cannot be read, or is not theirs.
    """
    where = other_database.address(database_url, name="database of the LEO workers", variable=VARIABLE)
    with other_database.reading(where) as source, tenant_transaction(connection, tenant.tenant_id):
        rights = "its tables: GRANT USAGE on the schema and SELECT on them to that role."
        with other_database.explained(where, rights=rights):
            columns = _columns(source, where.where)
            their_tenant = source_tenant or _only_tenant(source)
            connection.execute(statement("campaigns", "leo_stage"))
            for table in columns:
                _copy(source, connection, table, columns, their_tenant)
            connection.execute("ANALYZE leo_row")
        return _write(connection, tenant, channels, now or datetime.now(UTC))


def _columns(source: psycopg.Connection, where: str) -> dict[str, set[str]]:
    """The columns of those tables that are there, in the order of `_TABLES`."""
    rows = source.execute(statement("campaigns", "leo_columns"), {"tables": [*_TABLES, "cdp_profiles"]}).fetchall()
    found = {name: set(columns) for name, columns in rows}
    if "marketing_event" not in found:
        raise SourceError(f"The database {where} has no table marketing_event: is {VARIABLE} right?", transient=False)
    return {table: found[table] for table in [*_TABLES, "cdp_profiles"] if table in found}


def _only_tenant(source: psycopg.Connection) -> str:
    there = [tenant_id for (tenant_id,) in source.execute("SELECT tenant_id::text FROM tenant ORDER BY 1").fetchall()]
    if len(there) != 1:
        raise ConfigurationError(
            f"There are {len(there)} tenants in that database: say which one with --source-tenant."
        )
    return there[0]


def _copy(
    source: psycopg.Connection,
    connection: psycopg.Connection,
    table: str,
    columns: Mapping[str, set[str]],
    their_tenant: str,
) -> None:
    """Bring a table's rows over. The older shape has the CDP's key of a profile in ``ext_id`` of its own profiles."""
    if table == "cdp_profiles":
        return
    key = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in _TABLES[table] if name in columns[table]]
    profile, join = sql.SQL("NULL::text"), sql.SQL("")
    if "profile_id" in columns[table]:
        profile = sql.SQL("t.profile_id::text")
        if "ext_id" in columns.get("cdp_profiles", ()):
            profile = sql.SQL("coalesce(p.ext_id, t.profile_id::text)")
            join = sql.SQL("LEFT JOIN cdp_profiles AS p ON p.tenant_id = t.tenant_id AND p.profile_id = t.profile_id")
    query = sql.SQL(
        "COPY (SELECT {table}, concat_ws(' ', {key}), to_jsonb(t) - 'embedding', {profile} FROM {name} AS t {join}"
        " WHERE t.tenant_id::text = {tenant}) TO STDOUT"
    ).format(
        table=sql.Literal(table),
        key=sql.SQL(", ").join(key),
        profile=profile,
        name=sql.Identifier(table),
        join=join,
        tenant=sql.Literal(their_tenant),
    )
    with (
        source.cursor().copy(query) as rows,
        connection.cursor().copy("COPY leo_row (relation, key, document, profile_id) FROM STDIN") as stage,
    ):
        for piece in rows:
            stage.write(piece)


def _write(
    connection: psycopg.Connection, tenant: Tenant, channels: Mapping[str, _Named], now: datetime
) -> ImportResult:
    names: dict[str, Any] = {"tenant": tenant.tenant_id, "now": now}
    _resolve_channels(connection, channels)
    for step in ("leo_prepare", "leo_judge_events", "leo_judge"):
        connection.execute(statement("campaigns", step), names)
    written = {table: connection.execute(statement("campaigns", step), names).rowcount for table, step in _STEPS}
    for step in ("leo_deliveries_handed_over", "leo_deliveries_settled", "leo_audiences"):
        connection.execute(statement("campaigns", step), names)
    written["consent_management"] = _write_consents(connection, tenant.tenant_id)
    _keep_rejected(connection, tenant.tenant_id)
    read, left_out, remarks = Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for relation, code, remark, rows in connection.execute(statement("campaigns", "leo_counts")).fetchall():
        read[relation] += rows
        if code is not None:
            left_out[relation, _REASONS[code]] += rows
        elif remark is not None:
            remarks[relation, _REMARKS[remark]] += rows
    return ImportResult(dict(read), written, dict(left_out), dict(remarks))


def _resolve_channels(connection: psycopg.Connection, channels: Mapping[str, _Named]) -> None:
    """Their channels by all their spellings: ``Zalo OA``, ``zalo_oa`` and ``EMAIL`` as channels.yaml has them."""
    rows = []
    for (spelling,) in connection.execute(statement("campaigns", "leo_spellings")).fetchall():
        plain = "_".join(spelling.lower().split())
        found = channels.get(plain)
        rows.append((spelling, found.name if found else plain, found is not None))
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO leo_channel VALUES (%s, %s, %s)", rows)


def _write_consents(connection: psycopg.Connection, tenant_id: str) -> int:
    rows = connection.execute(statement("campaigns", "leo_consents")).fetchall()
    changes = [
        consent.Change(
            profile_id=profile_id,
            channel=channel,
            state="given" if is_allowed else "refused",
            source=ORIGIN,
            happened_at=happened_at,
            legal_basis=legal_basis,
            evidence=evidence,
        )
        for profile_id, channel, is_allowed, legal_basis, evidence, happened_at in rows
    ]
    return consent.set_states(connection, tenant_id, changes).taken


def _keep_rejected(connection: psycopg.Connection, tenant_id: str) -> None:
    rows = connection.execute(statement("campaigns", "leo_rejected")).fetchall()
    rejections = [
        Rejection(key, code, "$", _REASONS[code], document, [person for person in profile_ids if person])
        for key, code, document, profile_ids in rows
    ]
    rejected.record(connection, tenant_id, ORIGIN, rejections)
    # Those that an earlier import left out and this one took.
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 (one row always)
    rejected.resolve_unseen(connection, tenant_id, ORIGIN, row[0])
