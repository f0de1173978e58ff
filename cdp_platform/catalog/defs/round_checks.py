"""Whether the last rounds of all ingestors were taken whole: checked every hour, and reported by each run."""

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
    """The last rounds of the asset: of the registry, or of the feeds."""
    last = rounds.last(connection, ingestor.tenant, ingestor.name)
    return [each for each in last if (each.organization_id == REGISTRY) == (asset == BRAND_REGISTRY)]


def examine_whole(
    connection: psycopg.Connection,
    ingestors: Iterable[Ingestor],
    asset: dg.AssetKey,
    failed: Mapping[str, str] | None = None,
) -> dg.AssetCheckResult:
    """The check result with the reason of each ingestor whose last round failed or is blocked.

    Args:
        connection: of the platform's role.
        ingestors: all ingestors.
        asset: registries or feeds.
        failed: errors of the present run by ingestor, since some errors are not recorded as rounds.
    """
    flaws: dict[str, str] = dict(failed or {})
    for ingestor in ingestors:
        for each in last_rounds(connection, ingestor, asset):
            if each.outcome in {BLOCKED, FAILED}:
                flaws.setdefault(ingestor.name, f"{each.outcome}: {each.reason}")
    return dg.AssetCheckResult(
        passed=not flaws,
        # Without the name Dagster reads it from its database.
        asset_key=asset,
        check_name=WHOLE,
        metadata={"failed_ingestors": ", ".join(flaws) or "none"},
        description="; ".join(f"{name}: {reason}" for name, reason in flaws.items()) or None,
    )
