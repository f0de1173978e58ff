"""Runs every job once for some tenants and shows the results, as a demo does."""

from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from cdp_platform import settings
from cdp_platform.cli.campaign_events import SENT, run_events
from cdp_platform.cli.catalog import TAKEN, ingest
from cdp_platform.cli.customers import SYNCED
from cdp_platform.cli.embeddings import EMBEDDED
from cdp_platform.cli.enrichment_runs import ENRICHED
from cdp_platform.cli.printing import say, show, show_json
from cdp_platform.cli.referrals import EXPORTED, count_and_export, show_links
from cdp_platform.cli.runs import ASSET_JOB, materialize, show_result
from cdp_platform.customers import jobs
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.statements import statement

_BEST = ["tenant", "currency", "customer", "orders", "spend", "expected in a year", "alive %"]

# Fits a terminal of 80 columns.
_EVENTS = ["tenant", "event", "status", "people", "excluded", "confirmed", "failed", "unknown"]

_INGEST, _EXPORT = "catalog_ingest", "referrals_worksheets"
_SEGMENTS, _DUE = "campaigns_segments", "campaigns_due"
_ENRICH = "enrichment_update"
# US dollars, of a search.
_PRICE = Decimal("2.99")

# Jobs of the room embeddings, and the figures to show of each.
_EMBEDDINGS = {
    "embeddings_update": EMBEDDED,
    "embeddings_audiences": {"clusters": "clusters", "segments": "segments", "written": "written"},
}

Pay = Callable[[str, str], tuple[Mapping[str, str], bytes]]
"""Makes the event of a payment of `_PRICE`, for a tenant and the id of a search: headers and body."""


def run_everything(
    tenant_ids: Collection[str],
    *,
    plans: Mapping[str, Path],
    leads: Mapping[str, Path],
    pay: Pay,
    may_fail: Collection[str],
    remarks: Mapping[str, str],
    as_json: bool,
) -> None:
    """Run every job in turn and show each outcome, then the events of campaigns and the customers of most value.

    Args:
        tenant_ids: registered tenants.
        plans: files of `cdp campaign apply`, by tenant. What is due of them is sent.
        leads: files of `cdp enrichment import`, by tenant. Each becomes a search that is paid, unless there is one.
        pay: makes the signed event of the payment of a search.
        may_fail: names of checks that are expected to fail.
        remarks: a sentence to say after a job, by the job's name.
        as_json: print one JSON value at the end instead.

    Raises:
        click.exceptions.Exit: a step failed, or a check that is not expected to fail. Later jobs do not run.
    """
    with connect(settings.postgres()) as connection:
        wanted = [each for each in tenants.registered(connection) if each.tenant_id in tenant_ids]
    for tenant_id, path in leads.items():
        _have_paid(tenant_id, path, pay)
    runs = {}
    for job, subject, figures, outcome in _runs(wanted, plans):
        runs[job] = outcome
        if not as_json:
            show_result(outcome, figures, subject=subject)
        if not _as_expected(outcome, may_fail):
            if as_json:
                show_json({"runs": runs})
            raise click.exceptions.Exit(1)
        if not as_json and job in remarks:
            say(remarks[job])
    events, best = _events([each for each in wanted if each.tenant_id in plans]), _best_customers(wanted)
    if as_json:
        named = {"events": (_EVENTS, events), "customers_of_most_value": (_BEST, best)}
        tables = {
            name: [dict(zip(columns, row, strict=True)) for row in rows] for name, (columns, rows) in named.items()
        }
        show_json({"runs": runs, **tables})
        return
    show_links(runs[_EXPORT])
    if events:
        show("Events of campaigns", _EVENTS, events, empty="")
    show("Customers of most value, by currency", _BEST, best, empty="No customer has bought anything.")


def _runs(wanted: list[tenants.Tenant], plans: Mapping[str, Path]) -> Iterator[tuple[str, str, Mapping[str, str], Any]]:
    """Run all jobs one after the other. Yields job name, what a partition is, the figures to show, and the result."""
    from cdp_platform.catalog.config import configured

    yield jobs.SYNC, "tenant", SYNCED, materialize(wanted, jobs.SYNC)
    if ingestors := [ingestor.name for ingestor in configured()]:
        yield _INGEST, "ingestor", TAKEN, ingest(ingestors)
    for job, figures in _EMBEDDINGS.items():
        yield job, "tenant", figures, materialize(wanted, job)
    yield _SEGMENTS, "tenant", {}, materialize(wanted, _SEGMENTS)
    if events := [
        event for each in wanted if each.tenant_id in plans for event in _planned(each, plans[each.tenant_id])
    ]:
        yield _DUE, "event", SENT, run_events(events)
    yield _ENRICH, "tenant", ENRICHED, materialize(wanted, _ENRICH)
    if others := _others():
        yield "others", "tenant", {}, materialize(wanted, ASSET_JOB, assets=others)
    exported = [each for each in wanted if ReferralSettings.of(each).google_sheet_id]
    yield _EXPORT, "tenant", EXPORTED, count_and_export(exported)


def _others() -> list[Any]:
    """Keys of the assets of a tenant that none of the jobs above makes, such as those of a room without a job."""
    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration.partitions import assets_beside

    return assets_beside(build_definitions(), {jobs.SYNC, _INGEST, *_EMBEDDINGS, _EXPORT, _SEGMENTS, _ENRICH})


def _planned(tenant: tenants.Tenant, plans: Path) -> list[tuple[str, str]]:
    """Take the plans of a tenant, and return its events."""
    from cdp_platform.campaigns import planning

    with connect(settings.postgres()) as connection:
        applied = planning.apply(connection, tenant, plans)
    return [(tenant.tenant_id, each.name) for each in applied if each.kind == "event"]


def _have_paid(tenant_id: str, path: Path, pay: Pay) -> None:
    """Make a search of a file, unless the tenant has one, and take its payment as the web app takes it."""
    from cdp_platform.enrichment import contact_file, payments, searches, stripe_events

    with connect(settings.postgres()) as connection:
        with tenant_transaction(connection, tenant_id):
            if searches.all_of(connection, tenant_id):
                return
        lines = contact_file.lines(path)
        made = searches.create(connection, tenant_id, name=path.stem, price=_PRICE, currency="USD", contacts=lines)
        headers, body = pay(tenant_id, str(made.search_id))
        event = stripe_events.read(body)
        if event is None or not stripe_events.is_signed(
            settings.enrichment().secrets, headers["stripe-signature"], body
        ):
            raise ConfigurationError("The payment is not signed with one of PAYMENT_SECRETS.")
        payments.take(connection, tenant_id, event)


def _events(wanted: list[tenants.Tenant]) -> list[tuple[Any, ...]]:
    from cdp_platform.campaigns import report

    rows: list[tuple[Any, ...]] = []
    with connect(settings.postgres()) as connection:
        for tenant in wanted:
            for event in report.of_all(connection, tenant.tenant_id):
                counted = [event.states[state] for state in ("excluded", "confirmed", "failed", "unknown")]
                rows.append((tenant.tenant_id, event.event_id, event.status, event.people, *counted))
    return rows


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
