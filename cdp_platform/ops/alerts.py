"""Alerts: what is wrong, since when, how often it was found, and whether people were told.

Grain of ``ops.alert``: one row per thing that is wrong, from the moment it was found until it ended. What is found
again while the alert is open is counted in its row. Grain of ``ops.alert_message``: one row per message that tells
people of alerts; its states are those of `cdp_platform.ops.effects`, so that no message is sent twice and none is
forgotten.

    found, or ended, or found again an hour after the last message
      -> written into a message, in the transaction that notes the alert as told
      -> the message is sent once; while its channel is down it waits, and so do later alerts for the same owner

No alert holds data of a person. The tables belong to the platform, because a message is about many tenants.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.statements import statement

Kind: TypeAlias = Literal[
    "run", "check", "stale", "budget", "breaker", "rejected", "failed_texts", "unknown", "queue", "daemon"
]
AGAIN_AFTER = timedelta(hours=1)
"""How long after a message what was found again is summed up in another one."""
KEPT = timedelta(days=90)
"""How long alerts that ended, and messages that are settled, are kept."""


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong now.

    Attributes:
        kind: of the alert.
        subject: what is wrong: a job, a check, a source, an account, a daemon.
        message: what was found and what to do, without data of a person.
        tenant: whom it concerns; '' if nobody alone.
        room: whose it is; '' for the platform.
        owners: of the asset, as Dagster has them.
        run_id: the run of Dagster that shows it.
        figure: how many there are, of what is counted again only while it grows.
    """

    kind: Kind
    subject: str
    message: str
    tenant: str = ""
    room: str = ""
    owners: Sequence[str] = ()
    run_id: str | None = None
    figure: int | None = None

    @property
    def key(self) -> "Key":
        """What makes it the same as an earlier one."""
        return self.kind, self.subject, self.tenant


Key: TypeAlias = tuple[str, str, str]
"""Kind, subject and tenant."""


@dataclass(frozen=True)
class Alert:
    """One row of ``ops.alert``; attributes as the comments of its columns say."""

    alert_id: int
    kind: Kind
    subject: str
    tenant: str
    room: str
    owners: list[str]
    message: str
    run_id: str | None
    state: Literal["open", "ended"]
    first_at: datetime
    last_at: datetime
    ended_at: datetime | None
    count: int
    told_at: datetime | None
    told_count: int
    end_told: bool


@dataclass
class Noted:
    """What a look changed.

    Attributes:
        opened: what was not wrong before.
        ended: number of alerts that ended.
    """

    opened: list[Trouble] = field(default_factory=list)
    ended: int = 0


def note(
    connection: psycopg.Connection,
    troubles: Iterable[Trouble],
    *,
    over: Iterable[Key] = (),
    judged: Collection[Kind] = (),
) -> Noted:
    """Keep what a look has found, in one transaction.

    Args:
        connection: of the platform's role.
        troubles: what is wrong.
        over: what is not wrong any more. Where `troubles` has the same key, that came later and is opened again.
        judged: kinds that were looked at as a whole, so that any other open alert of theirs has ended.
    """
    noted = Noted()
    kinds, subjects, tenants = zip(*over, strict=True) if (over := list(over)) else ((), (), ())
    ends = {"kinds": list(kinds), "subjects": list(subjects), "tenants": list(tenants)}
    with connection.transaction():
        noted.ended += connection.execute(statement("ops", "end_alerts"), {**ends, "judged": []}).rowcount
        for trouble in troubles:
            values = {**vars(trouble), "owners": list(trouble.owners)}
            if connection.execute(statement("ops", "note_alert"), values).fetchone() == (True,):
                noted.opened.append(trouble)
        nothing: dict[str, list[str]] = {name: [] for name in ends}
        noted.ended += connection.execute(statement("ops", "end_alerts"), {**nothing, "judged": list(judged)}).rowcount
    return noted


def end(connection: psycopg.Connection, alert_id: int) -> bool:
    """End an alert by hand, as of a job that nobody runs any more; False where it is not open."""
    query = "UPDATE ops.alert SET state = 'ended', ended_at = now() WHERE alert_id = %s AND state = 'open'"
    return connection.execute(query, [alert_id]).rowcount == 1


def listed(connection: psycopg.Connection, *, ended_within: timedelta = timedelta()) -> list[Alert]:
    """The open alerts, oldest first, and before them those that ended within this time."""
    with connection.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(statement("ops", "alerts"), [ended_within]).fetchall()


def delete_old(connection: psycopg.Connection) -> int:
    """Delete alerts that ended, and messages that were settled, longer ago than `KEPT`; returns how many."""
    alerts = connection.execute("DELETE FROM ops.alert WHERE ended_at < now() - %s", [KEPT]).rowcount
    return alerts + connection.execute("DELETE FROM ops.alert_message WHERE settled_at < now() - %s", [KEPT]).rowcount
