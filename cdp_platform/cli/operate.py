"""Commands of people who run the platform: `init`, `migrate`, `status`, `health`, `retention`."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg

from cdp_platform import folder, settings
from cdp_platform.cli.printing import duration, json_option, say, show, show_json
from cdp_platform.cli.runs import dagster_instance
from cdp_platform.cli.workers import workers_module
from cdp_platform.errors import PlatformError
from cdp_platform.ops import alerts, tenants
from cdp_platform.warehouse.connection import connect

if TYPE_CHECKING:
    from cdp_platform.health.findings import Finding
    from cdp_platform.ops.retention import RetentionResult


@click.command()
@json_option
def init(*, as_json: bool) -> None:
    """Write the files that a folder needs to run the platform.

    These are the settings (.env, to be filled in), Dagster's configuration (dagster.yaml, workspace.yaml), and examples
    of ingestors (ingestion.yaml) and channels (channels.yaml). Files that exist are left as they are.
    """
    written = folder.prepare(Path.cwd())
    if as_json:
        show_json({"folder": str(Path.cwd()), "written": [name for name, new in written.items() if new]})
        return
    for name, new in written.items():
        say(f"{name:<16}{'written' if new else 'was there, left as it is'}")
    say(
        "Fill in .env, then `cdp migrate` and `cdp tenant add`; `cdp health` says what is missing. `cdp demo` runs "
        "everything on embedded services instead, as long as .env is not filled in."
    )


@click.command()
@json_option
def migrate(*, as_json: bool) -> None:
    """Bring the warehouse to the schema of this version. Does nothing if it is there already."""
    from cdp_platform.warehouse.migrate import migrate as run

    done = run(settings.postgres())
    if as_json:
        show_json(done)
    elif done.before == done.after:
        say(f"The warehouse is at {done.after}, the newest revision. Nothing to do.")
    else:
        say(f"Migrated the warehouse from {done.before or 'empty'} to {done.after}.")


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show how far each tenant's data has come.

    The table has the last success, the lag behind the source and rejected documents. Exit code 1 if a source does not
    answer.
    """
    from cdp_platform.customers.updated_at import undated_words
    from cdp_platform.health.status import read

    found = read()
    if as_json:
        show_json(found)
    else:
        show(
            "Tenants",
            ["tenant", "source", "last success", "read until", "lag", "in source", "rejected"],
            [
                (
                    s.tenant_id,
                    s.source,
                    f"{duration(datetime.now(UTC) - s.last_success_at)} ago" if s.last_success_at else "never",
                    s.read_until,
                    duration(s.lag),
                    s.source_count,
                    s.rejected,
                )
                for s in found
                if s.source
            ],
            empty="No active tenant has an ArangoDB database: `cdp tenant add` names one.",
        )
        for s in found:
            if s.source is None:
                say(f"{s.tenant_id} has no ArangoDB database, so no customers are read for it.")
            elif s.undated:
                words = undated_words(s.source, s.undated, s.source_count or s.undated)
                say(f"{s.tenant_id}: {words}", label="warn", style="yellow")
        for problem in dict.fromkeys(s.problem for s in found if s.problem):
            say(problem, label="error:", style="red")
        with connect(settings.postgres()) as connection:
            count = len(alerts.listed(connection))
        if count:
            are = "alert is" if count == 1 else "alerts are"
            say(f"{count} {are} open: `cdp alerts list` shows what is wrong.", label="warn", style="yellow")
    if any(s.problem for s in found):
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--deployed", is_flag=True, help="Look at the platform itself instead, for a watcher outside.")
@json_option
def health(*, deployed: bool, as_json: bool) -> None:
    """Look at every outside system: what is wrong, and what to do.

    Also looks at Dagster's runs: those that are too old, and a queue that does not move. With workers, also at their
    number. With --deployed it looks at both databases, Dagster's daemons, the code server, the queue and alerts. Exit
    code 1 if something does not answer or cannot be used.
    """
    from cdp_platform.cli.deployed import deployed as platform
    from cdp_platform.health.findings import examine

    findings = platform() if deployed else [*examine(), *_runs(), *_workers()]
    if as_json:
        show_json(findings)
    else:
        show(
            "The platform" if deployed else "Outside systems",
            ["system", "state", "version", "ms", "what to do"],
            [(f.system, f.state, f.version, f.latency_ms, f.advice) for f in findings],
            empty="",
        )
    if any(f.state == "error" for f in findings):
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--apply", is_flag=True, help="Delete what is past its time, and do not only count it.")
@json_option
def retention(*, apply: bool, as_json: bool) -> None:
    """Count records that are past their time, also Dagster's. With --apply delete them.

    A job does that daily. The variables that end in RETENTION_DAYS say how long records are kept. Records that are
    open, that wait, or that something refers to are never deleted.
    """
    from cdp_platform.health.retention import kept
    from cdp_platform.ops import retention as records

    found = {}
    with connect(settings.postgres()) as connection:
        everybody = [tenant.tenant_id for tenant in tenants.registered(connection)]
        for tenant_id in everybody:
            found[tenant_id] = records.clean(connection, tenant_id, kept(), dry_run=not apply)
        named = records.named_runs(connection, everybody)
    of_dagster = _clean_dagster(named, apply=apply)
    if as_json:
        show_json({"applied": apply, "tenants": found, "dagster": of_dagster})
        return
    show(
        "Deleted" if apply else "Past their time",
        ["tenant", "table", "days kept", "rows", *(["deleted"] if apply else [])],
        [
            (tenant_id, each.table, each.days, each.due, *([each.deleted] if apply else []))
            for tenant_id, tables in found.items()
            for each in tables
            if each.due
        ],
        empty="Nothing is past its time.",
    )
    show(
        "Deleted of Dagster" if apply else "Past their time in Dagster",
        ["table", "which", "days kept", "rows", *(["deleted"] if apply else [])],
        [
            (each.table, each.rows, each.days, each.due, *([each.deleted] if apply else []))
            for each in of_dagster or ()
            if each.due
        ],
        empty="" if of_dagster is None else "Nothing is past its time in Dagster.",
    )
    if of_dagster is None:
        say("Dagster keeps its runs outside PostgreSQL, or DAGSTER_HOME is not set: its tables were not looked at.")
    if not apply and any(each.due for tables in (*found.values(), of_dagster or ()) for each in tables):
        daily = "every day" if settings.retention().run_retention_deletes else "every day, except in Dagster"
        say(f"`cdp retention --apply` deletes them; the job `retention` does {daily}.")


def _clean_dagster(named: "set[str]", *, apply: bool) -> "list[RetentionResult] | None":
    """What is past its time in Dagster's tables; None if this shell knows of none in PostgreSQL."""
    from cdp_platform.health import dagster_home
    from cdp_platform.orchestration import dagster_retention

    conninfo = dagster_home.conninfo()
    if conninfo is None:
        return None
    with dagster_instance() as instance:
        days = settings.retention().run_retention_days
        return dagster_retention.clean(instance, conninfo, days, named, dry_run=not apply)


def _runs() -> "list[Finding]":
    """The state of Dagster's runs, if this shell knows Dagster's home and its runs are in PostgreSQL."""
    from cdp_platform.health import dagster_home
    from cdp_platform.health.findings import Finding
    from cdp_platform.orchestration.failures import describe
    from cdp_platform.orchestration.lost_runs import look

    finding = Finding("Runs (Dagster)")
    try:
        home = dagster_home.read()
        # Dagster would create the files of any other storage. Another finding says that such a storage is used.
        if home is None or home.conninfo is None:
            return []
        with dagster_instance() as instance:
            started = time.perf_counter()
            found = look(instance)
            finding.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    except (PlatformError, psycopg.Error) as error:
        finding.worsen("error", describe(error))
    else:
        for flaw in found.flaws:
            finding.worsen("warn", flaw)
    return [finding]


def _workers() -> "list[Finding]":
    """The broker, and whether the workers have a slot for each run that Dagster launches at once."""
    from cdp_platform.health import dagster_home
    from cdp_platform.health.findings import Finding

    finding = Finding("Redis (workers)")
    try:
        home = dagster_home.read()
        if home is None or not home.workers:
            return []
        module = workers_module()
        started = time.perf_counter()
        slots = module.slots()
        finding.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    except PlatformError as error:
        finding.worsen("error", str(error))
        return [finding]
    finding.version = f"{len(slots)} workers, {sum(slots.values())} slots"
    if not slots:
        finding.worsen("error", "No worker answers, so no run begins: start `cdp worker` on each machine.")
    elif home.runs_at_once is None or home.runs_at_once > sum(slots.values()):
        finding.worsen(
            "warn",
            f"Dagster launches {home.runs_at_once or 'any number of'} runs at once, and {sum(slots.values())} is what "
            "the workers can execute, so runs wait in Redis, where a run that is not begun in time counts as failed: "
            "start more workers, or lower the limit of `cdp/queued` in dagster.yaml.",
        )
    return [finding]
