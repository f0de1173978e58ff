"""The sensor that keeps what is wrong as alerts, and tells people.

It reads the events of Dagster from where the last tick ended: each run that failed or succeeded, each check that was
evaluated. What tables and daemons say is looked at as a whole. A sensor and not a job, because a job would wait in the
queue that does not move.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg
import psycopg
from dagster import DagsterEventType as Event

from cdp_platform.ops import alerts
from cdp_platform.ops.alerts import Key, Kind, Noted, Trouble
from cdp_platform.orchestration import daemons, lost_runs, partitions
from cdp_platform.orchestration.resources import WarehouseResource

# A check that `lost_runs` reports, which is an alert of the kind `queue` here.
_QUEUE = dg.AssetCheckKey(lost_runs.runs.key, "moving")
_LOOKED_AT: tuple[Kind, ...] = ("queue", "daemon")
_EVENTS = (Event.RUN_FAILURE, Event.RUN_SUCCESS, Event.ASSET_CHECK_EVALUATION)
# Events of each type that one tick reads; the next one goes on.
_AT_MOST = 500
_LONGEST_MESSAGE = 500

Conditions = Callable[[psycopg.Connection], Sequence[Trouble]]
"""What the tables say is wrong."""
Tell = Callable[[psycopg.Connection], Sequence[str]]
"""Tells people of alerts that are due; returns why messages wait."""


@dataclass(frozen=True)
class _Owners:
    """Owners of assets, and of rooms: those of any of its assets."""

    of_asset: Mapping[dg.AssetKey, Sequence[str]]
    of_room: Mapping[str, Sequence[str]]
    room_of: Mapping[dg.AssetKey, str]

    @classmethod
    def read(cls, repository: dg.RepositoryDefinition) -> "_Owners":
        graph = repository.asset_graph
        of_asset, of_room, room_of = {}, {}, {}
        for key in graph.get_all_asset_keys():
            node = graph.get(key)
            of_asset[key], room_of[key] = list(node.owners), node.group_name
            if node.owners:
                of_room.setdefault(node.group_name, list(node.owners))
        return cls(of_asset, of_room, room_of)

    def named(self, trouble: Trouble, asset: dg.AssetKey | None = None) -> Trouble:
        """The same trouble with its owners, and its room if it is about an asset."""
        if asset is None:
            return replace(trouble, owners=self.of_room.get(trouble.room, ()))
        return replace(trouble, owners=self.of_asset.get(asset, ()), room=self.room_of.get(asset, ""))


def alerts_sensor(conditions: Conditions, kinds: Sequence[Kind], tell: Tell) -> dg.SensorDefinition:
    """Make the sensor.

    Args:
        conditions: what the tables say is wrong.
        kinds: of alerts that it looks at as a whole.
        tell: tells people.
    """

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps what is wrong in `ops.alert`, and tells people over the channels that CDP_ALERTS_TO names.",
    )
    def sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
        assert context.repository_def is not None  # noqa: S101 (the daemon gives it)
        owners = _Owners.read(context.repository_def)
        with warehouse.connect() as connection:
            noted, cursor = _events(context.instance, connection, owners, context.cursor)
            found = [*map(owners.named, conditions(connection)), *_looked_at(context.instance)]
            looked = alerts.note(connection, found, judged=[*kinds, *_LOOKED_AT])
            alerts.delete_old(connection)
            waiting = tell(connection)
        opened, ended = [*noted.opened, *looked.opened], noted.ended + looked.ended
        for trouble in opened:
            about = f"{trouble.kind} {trouble.subject}" + (f" of {trouble.tenant}" if trouble.tenant else "")
            context.log.warning("Alert: %s: %s", about, trouble.message)
        for reason in waiting:
            context.log.warning("A message about alerts waits: %s", reason)
        return dg.SensorResult(
            cursor=cursor,
            skip_reason=f"{len(opened)} alerts opened, {ended} ended; {len(waiting)} messages wait.",
        )

    return sensor


def _looked_at(instance: dg.DagsterInstance) -> list[Trouble]:
    """What is wrong with the queue of runs and with daemons."""
    flaws = lost_runs.look(instance).flaws
    stuck = [Trouble("queue", "runs", " ".join(flaws), owners=lost_runs.runs.owners)] if flaws else []
    return stuck + [
        Trouble("daemon", name, daemons.described(name, age), owners=lost_runs.runs.owners)
        for name, age in daemons.silent(instance).items()
    ]


def _events(
    instance: dg.DagsterInstance, connection: psycopg.Connection, owners: _Owners, cursor: str | None
) -> tuple[Noted, str]:
    """Keep what the events since the last tick say, in their order; returns what changed, and the new cursor."""
    after: dict[str, int] = json.loads(cursor or "{}")
    records = []
    for kind in _EVENTS:
        new = _read(instance, kind, after.get(kind.value))
        after[kind.value] = max([each.storage_id for each in new], default=after.get(kind.value, 0))
        records += new
    noted, troubles, over = Noted(), {}, []

    def keep() -> None:
        change = alerts.note(connection, troubles.values(), over=over)
        noted.opened += change.opened
        noted.ended += change.ended
        troubles.clear()
        over.clear()

    known = partitions.known(instance) if records else []
    for record in sorted(records, key=lambda each: each.storage_id):
        for key, trouble in _judged(instance, record.event_log_entry, owners, known):
            # What fails a second time, or is over, is kept in the order of its events.
            if key in troubles:
                keep()
            if trouble is None:
                over.append(key)
            else:
                troubles[key] = trouble
    keep()
    return noted, json.dumps(after)


def _read(instance: dg.DagsterInstance, kind: Event, after: int | None) -> Sequence[dg.EventLogRecord]:
    """The next events of a type; at the first tick the latest ones, which say what is wrong now."""
    # The instance has no method that stays for events of checks.
    return instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(kind, after_cursor=after), limit=_AT_MOST, ascending=after is not None
    )


def _judged(
    instance: dg.DagsterInstance, entry: dg.EventLogEntry, owners: _Owners, known: Sequence[str]
) -> list[tuple[Key, Trouble | None]]:
    """What an event says of each thing that it is about: what is wrong with it, or None if nothing is."""
    event = entry.dagster_event
    if event is None:
        return []
    if event.event_type is Event.ASSET_CHECK_EVALUATION:
        return _of_check(entry, event.asset_check_evaluation_data, owners)
    run = instance.get_run_by_id(entry.run_id)
    if run is None:
        return []
    about = sorted(partitions.covered([run], known)) or [run.tags.get("dagster/partition", "")]
    failed = event.event_type is Event.RUN_FAILURE
    # Of a range only some may have failed; a run that was tried again is told by its last attempt.
    names, message = _failure(instance, run.run_id) if failed else ([], "")
    asset = next(iter(run.asset_selection or ()), None)
    return [
        (
            ("run", run.job_name, tenant),
            owners.named(Trouble("run", run.job_name, message, tenant=tenant, run_id=run.run_id), asset)
            if failed and (not names or tenant in names)
            else None,
        )
        for tenant in about
    ]


def _failure(instance: dg.DagsterInstance, run_id: str) -> tuple[list[str], str]:
    """Which partitions failed, if the step says so, and why, in one line without data of a customer."""
    records = instance.get_records_for_run(run_id, of_type={Event.STEP_FAILURE, Event.RUN_FAILURE}, limit=20).records
    names: list[str] = []
    message = ""
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.event_type is Event.STEP_FAILURE:
            data = event.step_failure_data
            given = data.user_failure_data
            if given and "failed" in given.metadata:
                names += str(given.metadata["failed"].value).split(", ")
            # The message of an error that was not foreseen may quote data of a customer.
            cause = data.error.cause or data.error if data.error else None
            words = (given.description if given else None) or (cause.cls_name if cause else None) or "failed"
            message = message or f"{event.step_key}: {words}"
        message = message or event.message or ""
    return names, (message.strip().splitlines() or ["The run failed."])[0][:_LONGEST_MESSAGE]


def _of_check(
    entry: dg.EventLogEntry, evaluation: dg.AssetCheckEvaluation, owners: _Owners
) -> list[tuple[Key, Trouble | None]]:
    check = evaluation.asset_check_key
    ranged = evaluation.partition is None and "examined" in evaluation.metadata
    if check == _QUEUE or ranged:
        # The result of a whole range: each partition has its own.
        return []
    subject, tenant = f"{check.asset_key.to_user_string()}: {check.name}", evaluation.partition or ""
    words = (evaluation.description or "The check failed.")[:_LONGEST_MESSAGE]
    trouble = Trouble("check", subject, words, tenant=tenant, run_id=entry.run_id or None)
    return [(("check", subject, tenant), None if evaluation.passed else owners.named(trouble, check.asset_key))]
