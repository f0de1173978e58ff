"""Runs jobs in this process, and shows the results of a run."""

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cdp_platform import settings
from cdp_platform.cli.printing import bars, error_console, say, show
from cdp_platform.errors import ConfigurationError
from cdp_platform.health import dagster_home, looks
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect

# Dagster's own job that contains every asset.
ASSET_JOB = "__ASSET_JOB"


@contextmanager
def dagster_instance(*, end_lost: bool = True) -> Generator[Any]:
    """The instance of DAGSTER_HOME; without that variable, an instance that lives as long as the command.

    Args:
        end_lost: whether runs of commands that were killed are ended first.
    """
    home = dagster_home.read()
    if home is not None and home.conninfo is not None:
        # Asked before Dagster is: it takes seconds to import, and tries for minutes to connect.
        looks.dagster_storage(home.conninfo)
    import dagster as dg

    from cdp_platform.orchestration import partitions
    from cdp_platform.orchestration.storage import first_reason, hide_statement_values

    hide_statement_values()
    if home is None:
        say(
            "DAGSTER_HOME is not set, so Dagster keeps no record of this: `cdp init` writes what a folder needs.",
            label="note:",
            style="yellow",
            to=error_console,
        )
        with dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
            yield instance
        return
    try:
        with _without_warnings():
            instance = dg.DagsterInstance.get()
            # This is the first query, so an unusable database raises here.
            partitions.known(instance)
    except Exception as error:
        raise ConfigurationError(
            f"Dagster's own storage cannot be used: {first_reason(error)}. Is the server up (`cdp sandbox status` for "
            "the embedded one), and are DAGSTER_HOME, the dagster.yaml in it and the DAGSTER_PG_ variables right?"
        ) from error
    with instance:
        if end_lost:
            _end_lost_runs(instance)
        yield instance


def _end_lost_runs(instance: Any) -> None:
    """End runs of commands that were killed: this run would wait for them."""
    from cdp_platform.orchestration.lost_runs import end_lost

    with connect(settings.postgres()) as connection:
        for lease in end_lost(instance, connection):
            logging.getLogger(__name__).warning("Ended run %s of %s: that process is gone.", lease.run_id, lease)


@contextmanager
def _without_warnings() -> Generator[None]:
    """Hide Dagster's warning about each attempt to connect: the error of the last attempt says the same once."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def materialize(
    wanted: list[tenants.Tenant],
    job: str,
    ops: dict[str, Any] | None = None,
    assets: list[Any] | None = None,
) -> Any:
    """Run a job for these tenants, with progress bars, on the instance of `dagster_instance`.

    Args:
        wanted: the tenants.
        job: its name, of any room.
        ops: run configuration by op.
        assets: keys of the job's assets to make; all if not given.
    """
    with dagster_instance() as instance:
        from cdp_platform.build import build_definitions
        from cdp_platform.orchestration import partitions
        from cdp_platform.orchestration.in_process import run_job, together

        partitions.ensure(instance, wanted)
        # This is one run, unless partitions of other tenants lie between the wanted ones.
        stretches = partitions.ranges(partitions.known(instance), {each.tenant_id for each in wanted})
        with bars() as progress:
            definitions = build_definitions()
            return together(
                [
                    run_job(definitions, job, instance, keys, config=ops, assets=assets, watcher=progress)
                    for keys in stretches
                ]
            )


def show_result(outcome: Any, figures: Mapping[str, str], *, subject: str = "tenant") -> None:
    """Print the table at the end of a run, and the messages of its checks and errors.

    Args:
        outcome: a `RunResult`.
        figures: column name to name of the metadata to show in it.
        subject: what a partition is: a tenant, an ingestor, a month.
    """
    show(
        "Materialized",
        ["asset", subject, "rows", *figures, "seconds"],
        [
            (
                made.asset,
                made.partition,
                made.metadata.get("dagster/partition_row_count"),
                *(made.metadata.get(name) for name in figures.values()),
                float(made.metadata.get("seconds", 0)),
            )
            for made in sorted(outcome.outcomes, key=lambda made: made.partition)
        ],
        empty="Nothing was materialized.",
    )
    for note in dict.fromkeys(note for made in outcome.outcomes for note in _notes(made)):
        say(note)
    for check in outcome.checks:
        if not check.passed and check.partition:
            say(
                f"{check.partition} {check.check}: {check.description}",
                label=check.severity.lower(),
                style="red" if check.severity == "ERROR" else "yellow",
            )
    for error in outcome.errors:
        say(error, label="error:", style="red")


def _notes(made: Any) -> Iterator[str]:
    """Sentences beside the table: the segment, why a tenant was skipped, and what a comparison of keys found."""
    found = made.metadata
    if "note" in found:
        yield f"{made.partition}: {found['note']}"
    if "skipped" in found:
        yield f"{made.partition} was skipped: {found['skipped']}."
    if "segment" in found and made.asset == "cdp_profiles":
        yield (
            f"Segment {found['segment']} of {made.partition}: {found['segment_members']:,} profiles are in it, "
            f"{found['segment_left']:,} left it since they were last read."
        )
    if "source_checksum" in found:
        keys = "the same keys" if found["source_checksum"] == found["target_checksum"] else "not the same keys"
        differences = [
            words
            for figure, words in (
                ("missing", f"{found['missing']:,} were missing here"),
                ("changed_unseen", f"{found['changed_unseen']:,} had changed unseen"),
                ("gone", f"{found['gone']:,} gone from the source, {found['closed_as_deleted']:,} of them closed"),
            )
            if found[figure]
        ]
        yield (
            f"{made.asset} of {made.partition}: {found['source_count']:,} documents in the source and "
            f"{found['target_count']:,} here, {keys}; {', '.join(differences) or 'nothing to mend'}."
        )
