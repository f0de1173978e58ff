"""Runs every job once for some tenants and shows the results, as a demo does."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import click

from cdp_platform import settings
from cdp_platform.cli.catalog import TAKEN, ingest
from cdp_platform.cli.customers import SYNCED
from cdp_platform.cli.embeddings import EMBEDDED
from cdp_platform.cli.printing import say, show, show_json
from cdp_platform.cli.referrals import EXPORTED, count_and_export, show_links
from cdp_platform.cli.runs import ASSET_JOB, materialize, show_result
from cdp_platform.customers import jobs
from cdp_platform.ops import tenants
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.statements import statement

_BEST = ["tenant", "currency", "customer", "orders", "spend", "expected in a year", "alive %"]

_INGEST, _EXPORT = "catalog_ingest", "referrals_worksheets"

# Jobs of the room embeddings, and the figures to show of each.
_EMBEDDINGS = {
    "embeddings_update": EMBEDDED,
    "embeddings_audiences": {"clusters": "clusters", "segments": "segments", "written": "written"},
}


def run_everything(
    tenant_ids: Collection[str], *, may_fail: Collection[str], remarks: Mapping[str, str], as_json: bool
) -> None:
    """Run every job in turn and show each outcome, then the customers of most value.

    Args:
        tenant_ids: registered tenants.
        may_fail: names of checks that are expected to fail.
        remarks: a sentence to say after a job, by the job's name.
        as_json: print one JSON value at the end instead.

    Raises:
        click.exceptions.Exit: a step failed, or a check that is not expected to fail. Later jobs do not run.
    """
    with connect(settings.postgres()) as connection:
        wanted = [each for each in tenants.registered(connection) if each.tenant_id in tenant_ids]
    runs = {}
    for job, subject, figures, outcome in _runs(wanted):
        runs[job] = outcome
        if not as_json:
            show_result(outcome, figures, subject=subject)
        if not _as_expected(outcome, may_fail):
            if as_json:
                show_json({"runs": runs})
            raise click.exceptions.Exit(1)
        if not as_json and job in remarks:
            say(remarks[job])
    best = _best_customers(wanted)
    if as_json:
        show_json({"runs": runs, "customers_of_most_value": [dict(zip(_BEST, row, strict=True)) for row in best]})
        return
    show_links(runs[_EXPORT])
    show("Customers of most value, by currency", _BEST, best, empty="No customer has bought anything.")


def _runs(wanted: list[tenants.Tenant]) -> Iterator[tuple[str, str, Mapping[str, str], Any]]:
    """Run all jobs one after the other. Yields job name, what a partition is, the figures to show, and the result."""
    from cdp_platform.catalog.config import configured

    yield jobs.SYNC, "tenant", SYNCED, materialize(wanted, jobs.SYNC)
    if ingestors := [ingestor.name for ingestor in configured()]:
        yield _INGEST, "ingestor", TAKEN, ingest(ingestors)
    for job, figures in _EMBEDDINGS.items():
        yield job, "tenant", figures, materialize(wanted, job)
    if others := _others():
        yield "others", "tenant", {}, materialize(wanted, ASSET_JOB, assets=others)
    exported = [each for each in wanted if ReferralSettings.of(each).google_sheet_id]
    yield _EXPORT, "tenant", EXPORTED, count_and_export(exported)


def _others() -> list[Any]:
    """Keys of the assets of a tenant that none of the jobs above makes, such as those of a room without a job."""
    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration.partitions import assets_beside

    return assets_beside(build_definitions(), {jobs.SYNC, _INGEST, *_EMBEDDINGS, _EXPORT})


def _as_expected(outcome: Any, may_fail: Collection[str]) -> bool:
    failed = {each.check for each in outcome.checks if each.severity == "ERROR" and not each.passed}
    return not outcome.errors and all(check.rpartition(" ")[2] in may_fail for check in failed)


def _best_customers(wanted: list[tenants.Tenant]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with connect(settings.postgres()) as connection:
        for each in wanted:
            with tenant_transaction(connection, each.tenant_id):
                rows += connection.execute(statement("customers", "best_customers")).fetchall()
    return rows
