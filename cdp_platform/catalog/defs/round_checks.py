"""Whether the last rounds of all ingestors were taken whole; asked by a check every hour, and told by each run."""

from collections.abc import Iterable, Mapping

import dagster as dg
import psycopg

from cdp_platform.catalog import rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.rounds import BLOCKED, FAILED, REGISTRY, FeedRound

WHOLE = "whole"

BRAND_REGISTRY = dg.AssetKey(["catalog", "brand_registry"])
PRODUCT_FEED = dg.AssetKey(["catalog", "product_feed"])
# Both are read from this external asset, the publishers' own documents.
PUBLISHED = dg.AssetKey(["publishers", "feeds"])


def last_rounds(connection: psycopg.Connection, ingestor: Ingestor, asset: dg.AssetKey) -> list[FeedRound]:
    """The last rounds that the asset is about: of the registry, or of the feeds."""
    last = rounds.last(connection, ingestor.tenant, ingestor.name)
    return [each for each in last if (each.organization_id == REGISTRY) == (asset == BRAND_REGISTRY)]


def examine_whole(
    connection: psycopg.Connection,
    ingestors: Iterable[Ingestor],
    asset: dg.AssetKey,
    failed: Mapping[str, str] | None = None,
) -> dg.AssetCheckResult:
    """What is wrong with the last rounds, by ingestor, and what to do.

    Args:
        connection: of the platform's role.
        ingestors: all there are.
        asset: registries or feeds.
        failed: what a run that just ended says of an ingestor; not every error is a round.
    """
    flaws: dict[str, str] = dict(failed or {})
    for ingestor in ingestors:
        for each in last_rounds(connection, ingestor, asset):
            if each.outcome in {BLOCKED, FAILED}:
                flaws.setdefault(ingestor.name, f"{each.outcome}: {each.reason}")
    return dg.AssetCheckResult(
        passed=not flaws,
        # Named, or Dagster finds the name by a second look at its database.
        asset_key=asset,
        check_name=WHOLE,
        metadata={"failed_ingestors": ", ".join(flaws) or "none"},
        description="; ".join(f"{name}: {reason}" for name, reason in flaws.items()) or None,
    )
