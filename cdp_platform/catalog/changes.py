"""Whether an ingestor may have anything new to take, found out without reading its feeds.

``catalog.feed_state`` has the version of each file that was taken last. A version that was seen and not taken, because
its round was blocked or failed, is in no table; the caller keeps it until the next look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from cdp_platform.catalog import registries, rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.rounds import BLOCKED, FAILED, LANDED
from cdp_platform.catalog.sources.contract import Fetched, Source, Validators
from cdp_platform.warehouse.connection import tenant_transaction

# A failed round is tried again after this time, because its reason, such as a missing shard, may show in no file that
# the sensor looks at.
AGAIN = timedelta(hours=1)

# Longest time per document, so that a server that does not answer leaves time for the other ingestors.
_LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Look:
    """The result of a look at an ingestor's source.

    Attributes:
        changed: a file has a version that was neither taken nor seen before.
        seen: the files whose version is not the one taken last, by path.
    """

    changed: bool
    seen: dict[str, Validators]


def with_short_timeout(ingestor: Ingestor) -> Ingestor:
    """The ingestor with at most 10 seconds per document."""
    seconds = min(_LOOK_SECONDS, ingestor.limits.timeout_seconds)
    return ingestor.model_copy(update={"limits": ingestor.limits.model_copy(update={"timeout_seconds": seconds})})


def look(connection: psycopg.Connection, source: Source, ingestor: Ingestor, seen: Mapping[str, Validators]) -> Look:
    """Look at the registry and the index of each feed, and in a local folder at the shards as well.

    Args:
        connection: of the platform's role, outside any transaction.
        source: of the ingestor.
        ingestor: whose source it is.
        seen: what the last look saw (`Look.seen`).

    Raises:
        UnreadableError: a file could not be looked at.
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
        changed = changed or isinstance(got, Fetched)
        now_seen[path] = got.validators
    return Look(changed, now_seen)


def due_again(connection: psycopg.Connection, ingestor: Ingestor) -> bool:
    """Whether to start a round although no file changed.

    A person approved a blocked round, the last round failed an hour ago, or a price has begun or ended since.
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
    yield from (path for _, path in registries.feeds(connection, source, ingestor) if path is not None)


def _taken(connection: psycopg.Connection, ingestor: Ingestor) -> dict[str, Validators]:
    with tenant_transaction(connection, ingestor.tenant):
        rows = connection.execute(
            "SELECT path, etag, last_modified, size, digest FROM catalog.feed_state"
            " WHERE tenant_id = %s AND ingestor = %s",
            [ingestor.tenant, ingestor.name],
        ).fetchall()
    return {path: Validators(*validators) for path, *validators in rows}
