"""Copies what the tracker application wrote into its own PostgreSQL to the warehouse's tables.

A run reads all officers, campaigns and links of a tenant, since they are few, and those events that the tracker
ingested since the last run. Rows, rejections and watermarks are written in one transaction of the warehouse and read
from one moment of the tracker: a run that dies at any point has written nothing. A row is written only if it differs
from the stored one.

The tracker must give each event a new ``ingested_at`` whenever it changes the event, as when it adds a fraud score. It
sets ``ingested_at`` before the commit, so each run reads the last hour (`OVERLAP`) again. Rows that are committed later
than that, or that come with an old stamp as from a backup, are noticed by counting; then everything is read. ``full``
always reads everything. The warehouse's own ``ingested_at`` is when the warehouse received a row.

Deletes in the tracker are not followed: deleting an officer there also deletes links, clicks and signups, and the
figures of past days would change. Counting cannot notice late events while no more of them came than the tracker
deleted; ``full`` reads those.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.ops import erasure, locks, rejected, watermark
from cdp_platform.ops.rejected import Rejection
from cdp_platform.ops.watermark import Watermark
from cdp_platform.referrals.tracker_database import TrackerDatabase
from cdp_platform.referrals.tracker_relations import RELATIONS, Relation
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Longer than a transaction of a web application lasts, plus the difference between the clocks of two of its servers.
OVERLAP = timedelta(hours=1)

_PAGE = 1000

Progress = Callable[[int, int | None], None]
"""Called after each relation with the rows read so far, and None: the number in all is not known."""

OpenTracker = Callable[[], AbstractContextManager[TrackerDatabase]]
"""Connects to the tracker's database and begins one reading."""


@dataclass
class RelationResult:
    """The result of a run for a relation, in rows. The other rows that it read were stored already and did not differ.

    Attributes:
        rejected: rows that break a rule; they wait in ``ops.rejected_record``.
        rejected_by_code: rejected rows by reason.
        full: whether all rows were read, not only those since the watermark.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    rejected: int = 0
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    full: bool = True


@dataclass
class PullResult:
    """The result of a run, by name of the relation (``officer``, ``click_event`` ...)."""

    relations: dict[str, RelationResult] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows of all relations."""
        return sum(each.read for each in self.relations.values())

    @property
    def new(self) -> int:
        """Rows that the warehouse did not have."""
        return sum(each.new for each in self.relations.values())

    @property
    def changed(self) -> int:
        """Rows that the warehouse had and that differed."""
        return sum(each.changed for each in self.relations.values())

    @property
    def rejected_by_code(self) -> Counter[str]:
        """Rejected rows of all relations, by reason."""
        return sum((each.rejected_by_code for each in self.relations.values()), Counter())


def pull(
    connection: psycopg.Connection,
    open_tracker: OpenTracker,
    tenant_id: str,
    *,
    full: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> PullResult:
    """Bring one tenant's tables up to date with the tracker's.

    Args:
        connection: of the platform's role, outside any transaction.
        open_tracker: opens the tracker's database.
        tenant_id: the owner of the rows. It is no error if the tracker has none.
        full: read all events again, not only those since the watermark.
        progress: called after each relation.

    Raises:
        BusyError: another run for this tenant did not end in time. After any error, nothing was written.
        ConfigurationError: the address of the tracker is not usable.
        SourceError: no connection, or the tracker could not be read to its end; names the missing relation, column or
            right.
    """
    with locks.held(connection, locks.tracker(tenant_id)), open_tracker() as tracker:
        tracker.check()
        with tenant_transaction(connection, tenant_id):
            return _Pull(connection, tracker, tenant_id, progress).run(full=full)


def latest_stamps(tracker: TrackerDatabase) -> dict[str, str]:
    """A text for each tenant with an officer, campaign or link; it changes when there is something to pull.

    It is made of the greatest ``ingested_at`` of each relation. A row that is committed after one with a later stamp
    does not change it; the next run reads that row.

    Raises:
        SourceError: the tracker could not be read.
    """
    tracker.check()
    return dict(tracker.query(statement("referrals", "tracker_changed")))


def row_counts(connection: psycopg.Connection, tenant_id: str) -> dict[str, int]:
    """How many rows a tenant has in each of the warehouse's tables, by the table's name."""
    with tenant_transaction(connection, tenant_id):
        return {
            relation.name: _one(
                connection.execute(
                    sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(relation.table), [tenant_id]
                )
            )[0]
            for relation in RELATIONS
        }


class _Pull:
    """One run, inside a transaction of the tenant."""

    def __init__(
        self, connection: psycopg.Connection, tracker: TrackerDatabase, tenant_id: str, progress: Progress
    ) -> None:
        self._connection = connection
        self._tracker = tracker
        self._tenant_id = tenant_id
        self._progress = progress
        self._result = PullResult()

    def run(self, *, full: bool) -> PullResult:
        """In the order of the relations, since rows of one refer to rows of those before it."""
        for relation in RELATIONS:
            taken = self._result.relations[relation.name] = RelationResult()
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in relation.columns.items()
            )
            self._execute(statement("referrals", "tracker_stage"), relation, columns=columns)
            if relation.is_event:
                count = self._tracker.count(relation, self._tenant_id)
                self._take_events(relation, count, full=full)
            else:
                self._take(relation, sql.SQL("true"), whole=True)
                count = taken.read
            watermark.succeeded(self._connection, self._tenant_id, relation.source, count)
            self._progress(self._result.read, None)
        return self._result

    def _take_events(self, relation: Relation, count: int, *, full: bool) -> None:
        """Read the events since the watermark, or all if the tracker has more events than the warehouse received."""
        known = watermark.read(self._connection, self._tenant_id, relation.source, database=self._tracker.where)
        if known is not None and not full:
            asked = [key for (key,) in self._execute(statement("referrals", "tracker_waiting"), relation).fetchall()]
            since = sql.SQL("ingested_at >= {} OR ingested_at IS NULL OR {} = ANY ({})").format(
                sql.Literal(datetime.fromisoformat(known.stamp) - OVERLAP),
                sql.Identifier(relation.key),
                # Untyped, so that it gets the column's type and the column's index is used.
                sql.Literal(_array(asked)),
            )
            self._take(relation, since, asked=asked)
            self._move(relation, datetime.fromisoformat(known.stamp))
            if count <= _one(self._execute(statement("referrals", "tracker_held"), relation))[0]:
                return
            self._execute(sql.SQL("TRUNCATE {stage}"), relation)
        self._take(relation, sql.SQL("true"), whole=True)
        # None, not the known position: after the tracker was restored, its greatest stamp may be before ours.
        self._move(relation, None)

    def _take(
        self, relation: Relation, condition: sql.Composable, *, asked: Collection[str] = (), whole: bool = False
    ) -> None:
        """Read the rows for which the condition holds, and write those that keep the rules and differ."""
        taken = self._result.relations[relation.name]
        with self._connection.cursor() as cursor:
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
            with cursor.copy(copy.format(relation.stage, _names(relation.columns))) as stage:
                for piece in self._tracker.copy(relation, self._tenant_id, condition):
                    stage.write(piece)
            taken.read += cursor.rowcount
        taken.full = whole
        self._judge(relation)
        if relation.is_event:
            # Held until the end of the transaction: no event of a person is written after the person was erased.
            erasure.while_nobody_is_erased(self._connection, self._tenant_id)
            self._forget(relation)
        new, different = self._merge(relation)
        taken.new += new
        taken.changed += different
        taken.rejected_by_code = self._reject(relation)
        taken.rejected = taken.rejected_by_code.total()
        self._execute(statement("referrals", "tracker_resolve"), relation, asked=list(asked), whole=whole)

    def _judge(self, relation: Relation) -> None:
        """Mark each row that breaks a rule with the reason."""
        for rule in relation.rules:
            column = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in rule.broken.items())
            self._execute(
                statement("referrals", "tracker_judge"),
                relation,
                column=_raw(column),
                broken=_raw(" OR ".join(rule.broken.values())),
                code=rule.code,
                message=rule.message,
            )
        self._judge_duplicates(
            relation, relation.key, "duplicate_id", "another row of this id is newer", "ingested_at DESC"
        )
        if relation.unique:
            first = f"ingested_at, {relation.key}"
            self._judge_duplicates(
                relation, relation.unique, f"duplicate_{relation.unique}", "another link has it", first
            )

    def _judge_duplicates(self, relation: Relation, column: str, code: str, message: str, first: str) -> None:
        self._execute(
            statement("referrals", "tracker_duplicates"),
            relation,
            column=sql.Identifier(column),
            first=_raw(first),
            code=code,
            message=message,
            path=f"$.{column}",
        )

    def _forget(self, relation: Relation) -> None:
        """Keep erased events erased, although the tracker may still have what they said of a person."""
        emptied = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in relation.personal)
        self._execute(statement("referrals", "tracker_forget"), relation, emptied=emptied)
        if relation.name == "click_event":
            self._execute(statement("referrals", "tracker_forget_clicks"), relation, emptied=emptied)

    def _merge(self, relation: Relation) -> tuple[int, int]:
        """Write rows that are new or differ; returns the number of both."""
        columns = [name for name in relation.columns if name != "ingested_at"]
        if relation.is_event:
            columns.append("erased_at")
        assignments = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name != relation.key
        )
        new, different = _one(
            self._execute(
                statement("referrals", "tracker_merge"),
                relation,
                columns=_names(columns),
                staged=_names(columns, "s"),
                held=_names(columns, "t"),
                assignments=assignments,
            )
        )
        return new, different

    def _reject(self, relation: Relation) -> Counter[str]:
        """Record why rows are rejected, without personal data: a later run reads the rows again."""
        found: Counter[str] = Counter()
        rows = self._execute(statement("referrals", "tracker_rejected"), relation, personal=list(relation.personal))
        while page := rows.fetchmany(_PAGE):
            rejections = [Rejection(*row, profile_ids=[]) for row in page]
            rejected.record(self._connection, self._tenant_id, relation.source, rejections)
            found.update(rejection.code for rejection in rejections)
        return found

    def _move(self, relation: Relation, known: datetime | None) -> None:
        """Write the watermark. A stamp in the future is an error of its writer and does not move it."""
        row = self._execute(statement("referrals", "tracker_position"), relation, now=self._tracker.now).fetchone()
        if row is not None and (known is None or row[0] > known):
            position = Watermark(row[0].astimezone(UTC).isoformat(), row[1])
            watermark.write(self._connection, self._tenant_id, relation.source, position, database=self._tracker.where)

    def _execute(self, text: sql.SQL, relation: Relation, **values: Any) -> psycopg.Cursor:
        """Run a statement on a relation. Values that are SQL become part of its text, the others are parameters."""
        parts = {name: value for name, value in values.items() if isinstance(value, sql.Composable)}
        query = text.format(stage=relation.stage, target=relation.table, key=sql.Identifier(relation.key), **parts)
        rest = {name: value for name, value in values.items() if name not in parts}
        return self._connection.execute(query, {"tenant": self._tenant_id, "source": relation.source, **rest})


def _raw(text: str) -> sql.Composable:
    return sql.SQL(text)  # ty: ignore[invalid-argument-type]


def _names(columns: Iterable[str], table: str | None = None) -> sql.Composable:
    """Columns, separated by commas."""
    return sql.SQL(", ").join(sql.Identifier(*([table] if table else []), column) for column in columns)


def _array(texts: Iterable[str]) -> str:
    """An array in PostgreSQL's text form."""
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"


def _one(cursor: psycopg.Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row
