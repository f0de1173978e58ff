"""Whether there can be anything to take for an ingestor, found out without reading a feed.

What was taken last is in ``catalog.feed_state``. A version that was looked at but not taken, because its round was
stopped or failed, is in none of our tables; whoever looks keeps it until the next look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg

from cdp_platform.catalog import landing, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.rounds import BLOCKED, FAILED, LANDED
from cdp_platform.catalog.sources.contract import Fetched, Source, Validators, digest
from cdp_platform.warehouse.connection import tenant_transaction

# What fails for a reason that no file shows, such as a shard that was missing, is tried again without a change.
AGAIN = timedelta(hours=1)

# One document that hangs must not cost everybody their look.
_LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Look:
    """What a look at an ingestor's source found.

    Attributes:
        changed: a file is neither as it was taken nor as it was seen before.
        seen: the files that are not as they were taken, by path.
    """

    changed: bool
    seen: dict[str, Validators]


def impatient(ingestor: Ingestor) -> Ingestor:
    """The ingestor with little patience for its source."""
    seconds = min(_LOOK_SECONDS, ingestor.limits.timeout_seconds)
    return ingestor.model_copy(update={"limits": ingestor.limits.model_copy(update={"timeout_seconds": seconds})})


def look(connection: psycopg.Connection, source: Source, ingestor: Ingestor, seen: Mapping[str, Validators]) -> Look:
    """Look at the registry and the index of each feed; where a look costs no request, at the shards as well.

    Args:
        connection: of the platform's role, outside any transaction.
        source: of the ingestor.
        ingestor: whose source it is.
        seen: of the last look.

    Raises:
        SourceError: a file could not be looked at.
    """
    taken = _taken(connection, ingestor)
    paths = dict.fromkeys(_documents(connection, source, ingestor))
    if ingestor.source == "local":
        paths |= dict.fromkeys(taken)
    changed, now_seen = False, {}
    for path in paths:
        if not source.probe(path, taken.get(path), max_bytes=ingestor.limits.max_shard_bytes):
            continue
        got = source.read(path, known=seen.get(path), max_bytes=ingestor.limits.max_shard_bytes)
        if isinstance(got, Fetched):
            changed = True
            now_seen[path] = replace(got.validators, size=len(got.content), digest=digest(got.content))
        else:
            now_seen[path] = got.validators
    return Look(changed, now_seen)


def due_again(connection: psycopg.Connection, ingestor: Ingestor) -> bool:
    """Whether a round is worthwhile although no file changed.

    A person approved what a round would remove, the last one failed a while ago, or a price began or ended since.
    """
    now = datetime.now(UTC)
    return any(
        (each.outcome == BLOCKED and each.approved_at is not None)
        or (each.outcome == FAILED and each.finished_at is not None and now - each.finished_at >= AGAIN)
        or (each.outcome == LANDED and each.next_change_at is not None and each.next_change_at <= now)
        for each in rounds.last(connection, ingestor.tenant, ingestor.name)
    )


def _documents(connection: psycopg.Connection, source: Source, ingestor: Ingestor) -> Iterable[str]:
    yield source.resolve("", ingestor.registry)
    if ingestor.feed is not None:
        yield source.resolve("", ingestor.feed)
        return
    yield from (path for _, path in landing.feeds(connection, source, ingestor) if path is not None)


def _taken(connection: psycopg.Connection, ingestor: Ingestor) -> dict[str, Validators]:
    with tenant_transaction(connection, ingestor.tenant):
        rows = connection.execute(
            "SELECT path, etag, last_modified, size, digest FROM catalog.feed_state"
            " WHERE tenant_id = %s AND ingestor = %s",
            [ingestor.tenant, ingestor.name],
        ).fetchall()
    return {path: Validators(*validators) for path, *validators in rows}
