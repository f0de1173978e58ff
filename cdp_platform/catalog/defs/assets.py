"""The assets of the room: registries and feeds, one partition per ingestor of ingestion.yaml.

`registries` and `landing` do the work. One step makes both assets, ingestor by ingestor: a registry that fails stops
its own feeds, and no other ingestor's, also in a run that covers many.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.catalog import landing, registries, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.counts import LiveRows, RoundTotals, live_rows
from cdp_platform.catalog.defs.resources import FeedsResource
from cdp_platform.catalog.defs.round_checks import BRAND_REGISTRY, PRODUCT_FEED, PUBLISHED, WHOLE, examine_whole
from cdp_platform.catalog.rounds import FAILED, REGISTRY, FeedRound
from cdp_platform.errors import BlockedError, PlatformError
from cdp_platform.ops import locks, rejected, tenants
from cdp_platform.orchestration.failures import IO_RETRIES, describe
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import Made, for_each_partition
from cdp_platform.warehouse.connection import tenant_transaction

GROUP = "catalog"
OWNERS = ["team:customer-data"]


def partitions_of(ingestors: Sequence[Ingestor]) -> dg.StaticPartitionsDefinition:
    """One partition per ingestor, in the order of the file."""
    return dg.StaticPartitionsDefinition([ingestor.name for ingestor in ingestors])


def published_of(ingestors: Sequence[Ingestor]) -> dg.AssetSpec:
    """The external asset that these ingestors read."""
    return dg.AssetSpec(
        PUBLISHED,
        description="Brand registries and product feeds as their publishers keep them: in a folder, on the web or on "
        "an FTP server. The platform only reads them.",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"json"},
        partitions_def=partitions_of(ingestors),
    )


def assets_of(ingestors: Sequence[Ingestor]) -> dg.AssetsDefinition:
    """Both assets, with a partition for each of these ingestors."""
    by_name = {ingestor.name: ingestor for ingestor in ingestors}

    @dg.multi_asset(
        name="catalog__ingest",
        specs=[
            _spec(
                BRAND_REGISTRY,
                "organization",
                "Organizations, their brands and their categories, as the ingestor's registry lists them. Only what is "
                "listed here may be in a feed. An unchanged registry writes nothing.",
                deps=[PUBLISHED],
            ),
            _spec(
                PRODUCT_FEED,
                "product",
                "Product groups, products and offers of the feeds of an ingestor's organizations. A feed is taken "
                "whole or not at all; rows of what vanished from it are removed, and many at once wait for a person. "
                "Items that break a rule wait in `ops.rejected_record`; the others land. An unchanged feed writes "
                "nothing.",
                deps=[BRAND_REGISTRY, PUBLISHED],
            ),
        ],
        partitions_def=partitions_of(ingestors),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=IO_RETRIES,
        can_subset=True,
    )
    def ingest(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, feeds: FeedsResource
    ) -> Iterator[dg.MaterializeResult]:
        selected = context.selected_asset_keys
        failed: dict[dg.AssetKey, dict[str, str]] = {key: {} for key in selected}

        def of_ingestor(name: str) -> Iterator[Made]:
            at_work_on = BRAND_REGISTRY if BRAND_REGISTRY in selected else PRODUCT_FEED
            try:
                with warehouse.connect() as connection:
                    for key, metadata in _ingest(connection, feeds, by_name[name], by_name, selected):
                        yield key, metadata
                        at_work_on = PRODUCT_FEED if PRODUCT_FEED in selected else key
            except Exception as error:
                failed[at_work_on][name] = describe(error)
                raise

        try:
            made = for_each_partition(context, of_ingestor)
        finally:
            _report_whole(context, warehouse, ingestors, failed)
        yield from made

    return ingest


def _report_whole(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    ingestors: Sequence[Ingestor],
    failed: Mapping[dg.AssetKey, Mapping[str, str]],
) -> None:
    """Report how the check `whole` stands now, because Dagster runs no check after a step that failed."""
    try:
        with warehouse.connect() as connection:
            for asset, reasons in failed.items():
                found = examine_whole(connection, ingestors, asset, reasons)
                context.instance.report_runless_asset_event(
                    dg.AssetCheckEvaluation(
                        asset_key=asset,
                        check_name=WHOLE,
                        passed=found.passed,
                        metadata=found.metadata,
                        description=found.description,
                    )
                )
    except (PlatformError, psycopg.Error) as error:
        # The run fails visibly by itself. The next run or the hourly job reports the check.
        context.log.warning("%s", describe(error))


def _spec(key: dg.AssetKey, name: str, description: str, deps: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"postgres", "json"},
        metadata=table(f"{GROUP}.{name}"),
    )


def _ingest(
    connection: psycopg.Connection,
    feeds: FeedsResource,
    ingestor: Ingestor,
    ingestors: Mapping[str, Ingestor],
    selected: Collection[dg.AssetKey],
) -> Iterator[Made]:
    with _free(connection, ingestor) as why_not:
        if why_not:
            yield from ((key, {"skipped": why_not}) for key in (BRAND_REGISTRY, PRODUCT_FEED) if key in selected)
            return
        with feeds.open(ingestor) as source:
            if BRAND_REGISTRY in selected:
                found = registries.take_registry(connection, source, ingestor, ingestors=ingestors)
                live = live_rows(connection, ingestor)
                yield BRAND_REGISTRY, _of_registry(found, live)
            else:
                _require_registry(connection, ingestor)
            if PRODUCT_FEED in selected:
                taken = landing.take_feeds(connection, source, ingestor)
                live = live_rows(connection, ingestor)
                with tenant_transaction(connection, ingestor.tenant):
                    waiting = rejected.count_waiting(connection, ingestor.tenant, ingestor.rejected_source)
                yield PRODUCT_FEED, {**_of_feeds(taken, live), "rejected_waiting": waiting}


@contextmanager
def _free(connection: psycopg.Connection, ingestor: Ingestor) -> Generator[str | None]:
    """Hold the ingestor's lock; yields None, or why nothing is done for the ingestor."""
    if not tenants.get(connection, ingestor.tenant).active:
        yield f"its tenant {ingestor.tenant} is retired"
        return
    with locks.tried(connection, locks.ingestor(ingestor.tenant, ingestor.name)) as free:
        yield None if free else "another run is at work on it"


def _require_registry(connection: psycopg.Connection, ingestor: Ingestor) -> None:
    last = rounds.last(connection, ingestor.tenant, ingestor.name)
    registry = next((found for found in last if found.organization_id == REGISTRY), None)
    if registry is None:
        raise BlockedError("The feed is not taken, because its registry never was. Materialize brand_registry as well.")
    if registry.outcome == FAILED:
        raise BlockedError(f"The feed is not taken, because its registry could not be: {registry.reason}")


def _of_registry(found: FeedRound, live: Sequence[LiveRows]) -> dict[str, Any]:
    return {
        "dagster/partition_row_count": len(live),
        "organizations": len(live),
        "brands": sum(each.brands for each in live),
        "categories": sum(each.categories for each in live),
        **_counted(RoundTotals.of([found], live)),
    }


def _of_feeds(taken: Sequence[FeedRound], live: Sequence[LiveRows]) -> dict[str, Any]:
    names = {each.organization_id: each.name for each in live}
    products = sum(each.products for each in live)
    lines = [f"| {names.get(each.organization_id, each.organization_id)} | {each.outcome} |" for each in taken]
    return {
        "dagster/partition_row_count": products,
        "groups": sum(each.groups for each in live),
        "products": products,
        "offers": sum(each.offers for each in live),
        **_counted(RoundTotals.of(taken, live)),
        "feeds": dg.MetadataValue.md("\n".join(["| organization | outcome |", "|---|---|", *lines]))
        if taken
        else "No organization of the registry has a feed.",
    }


def _counted(found: RoundTotals) -> dict[str, Any]:
    values = asdict(found)
    return {
        **{name: value for name, value in values.items() if isinstance(value, int)},
        "rejected_by_code": counts("reason", found.rejected_by_code),
        **found.remarks,
    }
