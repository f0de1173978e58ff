"""Bringing what the tracker application wrote into its own PostgreSQL over to the warehouse's tables.

One run takes a tenant's officers, campaigns and links whole, since they are few, and of the events those that the
tracker ingested since the last run. Rows, rejections and watermarks are one transaction of the warehouse, read from one
moment of the tracker: a run that dies anywhere did nothing. A row is written only if it differs from the one that is
here.

What the tracker has to do for that: give each event a new ``ingested_at`` whenever it changes it, as when a fraud score
is added. ``ingested_at`` is set before the commit, so the last hour (`OVERLAP`) is read again each time; what is
committed later than that, or comes with an old stamp as from a backup, is noticed by counting, and then all is read.
``full`` reads all anyway. The warehouse's own ``ingested_at`` is when the warehouse learned of a row.

Deletes in the tracker are not followed: there, deleting an officer takes links, clicks and signups along, and figures
of days that have passed would change. As many events as it deleted may come with old stamps before counting notices;
``full`` takes those.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.ops import erasure, locks, rejected, watermark
from cdp_platform.ops.rejected import Rejection
from cdp_platform.ops.watermark import Watermark
from cdp_platform.referrals.tracker_database import TrackerDatabase, open_tracker
from cdp_platform.referrals.tracker_relations import RELATIONS, Relation
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Longer than a transaction of a web application is open, with room for the skew between two of its servers.
OVERLAP = timedelta(hours=1)

# Whoever comes second waits this long for the first to end.
_WAIT_SECONDS = 300
_PAGE = 1000

Progress = Callable[[int, int | None], None]
"""Called after each relation with the rows read so far; how many there will be is not known, hence None."""


@dataclass
class Taken:
    """What a run did with a relation, in rows. The remainder of ``read`` was the same already.

    Attributes:
        rejected: rows that cannot be taken; they wait in ``ops.rejected_record``.
        rejected_by_code: how many for which reason.
        full: whether all rows were read, not only those since the watermark.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    rejected: int = 0
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    full: bool = True


@dataclass
class Brought:
    """What a run did: by name of the relation (``officer``, ``click_event`` ...)."""

    relations: dict[str, Taken] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows of all relations."""
        return sum(taken.read for taken in self.relations.values())

    @property
    def new(self) -> int:
        """Rows that were not here."""
        return sum(taken.new for taken in self.relations.values())

    @property
    def changed(self) -> int:
        """Rows that were here and differed."""
        return sum(taken.changed for taken in self.relations.values())

    @property
    def rejected(self) -> int:
        """Rows that wait."""
        return sum(taken.rejected for taken in self.relations.values())


def bring(
    connection: psycopg.Connection,
    tracker_url: str,
    tenant_id: str,
    *,
    full: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> Brought:
    """Bring one tenant's tables up to the tracker's.

    Args:
        connection: of the platform's role, outside any transaction.
        tracker_url: of the tracker's database.
        tenant_id: whose rows they are. One of whom the tracker has none is no error.
        full: read all events again, not only those since the watermark.
        progress: is told after each relation.

    Raises:
        BusyError: another run for this tenant did not end in time. Whatever is raised, nothing was done.
        ConfigurationError: the URL is not usable.
        SourceError: no connection, or the tracker could not be read to its end; says which relation or column is
            missing, or which right.
    """
    with locks.held(connection, locks.tracker(tenant_id)), open_tracker(tracker_url) as tracker:
        tracker.check()
        with tenant_transaction(connection, tenant_id):
            return _Bringing(connection, tracker, tenant_id, progress).run(full=full)


def changed(tracker_url: str) -> dict[str, str]:
    """What tells, for each tenant with an officer, campaign or link, whether there is something to bring: it differs.

    Made of the greatest ``ingested_at`` of each relation. A row that is committed after one with a later stamp does not
    show; the next run takes it.

    Raises:
        ConfigurationError: the URL is not usable.
        SourceError: no connection, or the tracker could not be read.
    """
    with open_tracker(tracker_url) as tracker:
        tracker.check()
        return dict(tracker.query(sql.Composed([statement("referrals", "tracker_changed")])))


def counts(connection: psycopg.Connection, tenant_id: str) -> dict[str, int]:
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


class _Bringing:
    """One run, inside a transaction of the tenant."""

    def __init__(
        self, connection: psycopg.Connection, tracker: TrackerDatabase, tenant_id: str, progress: Progress
    ) -> None:
        self._connection = connection
        self._tracker = tracker
        self._tenant_id = tenant_id
        self._progress = progress
        self._brought = Brought()

    def run(self, *, full: bool) -> Brought:
        """Relation by relation, since one leads to the other."""
        for relation in RELATIONS:
            taken = self._brought.relations[relation.name] = Taken()
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
            self._progress(self._brought.read, None)
        return self._brought

    def _take_events(self, relation: Relation, count: int, *, full: bool) -> None:
        """Take the events since the watermark, and all if there are more of them than have come here."""
        known = watermark.read(self._connection, self._tenant_id, relation.source, database=self._tracker.where)
        if known is not None and not full:
            asked = [key for (key,) in self._execute(statement("referrals", "tracker_waiting"), relation).fetchall()]
            since = sql.SQL("ingested_at >= {} OR ingested_at IS NULL OR {} = ANY ({})").format(
                sql.Literal(datetime.fromisoformat(known.stamp) - OVERLAP),
                sql.Identifier(relation.key),
                # Without a type: it is the column's, whose index then finds them.
                sql.Literal(_array(asked)),
            )
            self._take(relation, since, asked=asked)
            self._move(relation, datetime.fromisoformat(known.stamp))
            if count <= _one(self._execute(statement("referrals", "tracker_held"), relation))[0]:
                return
            self._execute(sql.SQL("TRUNCATE {stage}"), relation)
        self._take(relation, sql.SQL("true"), whole=True)
        # From no position: after the tracker was restored, its greatest stamp may lie before ours.
        self._move(relation, None)

    def _take(
        self, relation: Relation, condition: sql.Composable, *, asked: Collection[str] = (), whole: bool = False
    ) -> None:
        """Read the rows for which the condition holds, and write those that are right and differ."""
        taken = self._brought.relations[relation.name]
        with self._connection.cursor() as cursor:
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
            with cursor.copy(copy.format(relation.stage, _names(relation.columns))) as stage:
                for piece in self._tracker.copy(relation, self._tenant_id, condition):
                    stage.write(piece)
            taken.read += cursor.rowcount
        taken.full = whole
        self._judge(relation)
        if relation.is_event:
            # Until the end, so that no event of a person is written after the person was erased.
            erasure.while_nobody_is_erased(self._connection, self._tenant_id)
            self._forget(relation)
        new, different = self._merge(relation)
        taken.new += new
        taken.changed += different
        taken.rejected_by_code = self._reject(relation)
        taken.rejected = taken.rejected_by_code.total()
        self._execute(statement("referrals", "tracker_resolve"), relation, asked=list(asked), whole=whole)

    def _judge(self, relation: Relation) -> None:
        """Say of each row that cannot be taken why."""
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
        self._judge_twins(relation, relation.key, "duplicate_id", "another row of this id is newer", "ingested_at DESC")
        if relation.unique:
            first = f"ingested_at, {relation.key}"
            self._judge_twins(relation, relation.unique, f"duplicate_{relation.unique}", "another link has it", first)

    def _judge_twins(self, relation: Relation, column: str, code: str, message: str, first: str) -> None:
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
        """What was erased here stays erased, whatever the tracker still knows of it."""
        emptied = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in relation.personal)
        self._execute(statement("referrals", "tracker_forget"), relation, emptied=emptied)
        if relation.name == "click_event":
            self._execute(statement("referrals", "tracker_forget_clicks"), relation, emptied=emptied)

    def _merge(self, relation: Relation) -> tuple[int, int]:
        """Write rows that are new or differ; returns how many of both."""
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
        """Keep why rows are not taken, and nothing of a person: a later run reads the rows again."""
        found: Counter[str] = Counter()
        rows = self._execute(statement("referrals", "tracker_rejected"), relation, personal=list(relation.personal))
        while page := rows.fetchmany(_PAGE):
            rejections = [Rejection(*row, profile_ids=[]) for row in page]
            rejected.record(self._connection, self._tenant_id, relation.source, rejections)
            found.update(rejection.code for rejection in rejections)
        return found

    def _move(self, relation: Relation, known: datetime | None) -> None:
        """Note how far was read. A stamp in the future is an error of whoever wrote it, and moves nothing."""
        row = self._execute(statement("referrals", "tracker_position"), relation, now=self._tracker.now).fetchone()
        if row is not None and (known is None or row[0] > known):
            position = Watermark(row[0].astimezone(UTC).isoformat(), row[1])
            watermark.write(self._connection, self._tenant_id, relation.source, position, database=self._tracker.where)

    def _execute(self, text: sql.SQL, relation: Relation, **values: Any) -> psycopg.Cursor:
        """Run a statement on a relation; values that are SQL become part of its text."""
        parts = {name: value for name, value in values.items() if isinstance(value, sql.Composable)}
        query = text.format(stage=relation.stage, target=relation.table, key=sql.Identifier(relation.key), **parts)
        rest = {name: value for name, value in values.items() if name not in parts}
        return self._connection.execute(query, {"tenant": self._tenant_id, "source": relation.source, **rest})


def _raw(text: str) -> sql.Composable:
    return sql.SQL(text)  # ty: ignore[invalid-argument-type]


def _names(columns: Iterable[str], table: str | None = None) -> sql.Composable:
    """Columns with commas between."""
    return sql.SQL(", ").join(sql.Identifier(*([table] if table else []), column) for column in columns)


def _array(texts: Iterable[str]) -> str:
    """An array as PostgreSQL reads it."""
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"


def _one(cursor: psycopg.Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row
