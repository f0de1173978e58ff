"""The job of a text: its states, and every change from one state to another.

Grain of ``embeddings.embedding_job``: one row per tenant, kind and entity, which is the last job of the entity's text.
The rows with the status pending or failed are the queue; a worker takes them in the order of ``arrival``.

    enqueue (by triggers)                               lease ended or text refused
        |                                            +---------------> failed  (is claimed again when it is due)
        v                                            |                 dead    (after the fifth time)
    pending ------------- claim ------------> processing
        ^                                         |  |
        +--- put back (nothing came of it) -------+  +-- complete ---> completed
        +--- reopen (the text changed meanwhile) -+

    completed, failed, dead --- enqueue (the text changed) ---> pending
    failed, dead, put off   --- retry (by a person) ----------> pending

A claim that finds the vectors of a text in place completes the job at once, and forgets an entity without a text.

Every function runs inside a transaction of the tenant. Functions that end a claim take jobs that this transaction has
locked (`lock`). A worker waits for no job while it has another one locked, so it is in no deadlock with triggers.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.texts import PASSAGE_CHARACTERS, write_passages
from cdp_platform.warehouse.statements import statement

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 5
"""A text that failed this many times is dead: it is not sent again until it changes or a person retries it."""

_WAIT_AFTER_REFUSAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Text:
    """The text of one claimed job.

    Attributes:
        content: the text, cut to the longest part that a live model or a passage takes.
        stale: ids of the live models that have no vector of this text.
    """

    entity_id: str
    content: str
    stale: Sequence[int]


@dataclass
class Claim:
    """The jobs that a worker took at once.

    Attributes:
        claim_id: is written into the jobs while this worker has them.
        day: when they were taken (UTC); their cost counts for this day's budget.
        jobs: number of jobs that were looked at.
        texts: those that need a vector, in order of arrival.
        unchanged: number of those that had their vectors, and are completed.
        emptied: number of those that have no text any more, and are forgotten.
        dead: number of jobs that are dead now, since their workers vanished too often.
    """

    tenant_id: str
    kind: Kind
    claim_id: UUID
    day: date
    jobs: int = 0
    texts: list[Text] = field(default_factory=list)
    unchanged: int = 0
    emptied: int = 0
    dead: int = 0

    def extend(self, connection: psycopg.Connection) -> None:
        """Let the lease begin again."""
        locked = self._lock(connection)
        _execute(connection, "extend_claim", self.tenant_id, self.kind, ids=list(locked), lease=LEASE)

    def put_back(self, connection: psycopg.Connection) -> None:
        """Put back what the claim still has, except jobs that another transaction has locked: their leases end."""
        locked = self._lock(connection)
        changed = reopen(connection, self.tenant_id, self.kind, locked)
        put_back(connection, self, locked.keys() - changed)

    def _lock(self, connection: psycopg.Connection) -> dict[str, bool]:
        return lock(connection, self, [text.entity_id for text in self.texts])


def claim(
    connection: psycopg.Connection, tenant_id: str, kind: Kind, models: Sequence[Model], *, at_most: int
) -> Claim:
    """Claim the jobs that wait longest, and complete or forget those of them that need no vector.

    Args:
        connection: in a transaction that has locked no job.
        tenant_id: whose jobs.
        kind: of the texts.
        models: all live models, at least one.
        at_most: number of jobs.
    """
    claimed = Claim(tenant_id, kind, uuid4(), datetime.now(UTC).date())
    claimed.dead = _end_expired(connection, tenant_id, kind)
    due = _execute(connection, "due_jobs", tenant_id, kind, at_most=at_most)
    ids = [entity_id for (entity_id,) in due]
    claimed.jobs = len(ids)
    if not ids:
        return claimed
    # A statement of its own: it sees every text that was committed before the job was locked.
    rows = _execute(
        connection,
        "claim_jobs",
        tenant_id,
        kind,
        ids=ids,
        models=[model.model_id for model in models],
        sizes=[model.max_characters for model in models],
        claim=claimed.claim_id,
        lease=LEASE,
        longest=max(PASSAGE_CHARACTERS, *(model.max_characters for model in models)),
        passage=PASSAGE_CHARACTERS,
    ).fetchall()
    claimed.texts = [
        Text(entity_id, content, stale) for entity_id, stale, content in rows if content is not None and stale
    ]
    # Only the part beyond the models' limits changed: update the passage, keep the vector.
    passages = {entity_id: content for entity_id, stale, content in rows if content is not None and not stale}
    write_passages(connection, tenant_id, kind, passages)
    gone = [entity_id for entity_id, _, content in rows if content is None]
    if gone:
        connection.execute("SELECT embeddings.forget(%s, %s, %s)", [tenant_id, kind, gone])
    claimed.emptied, claimed.unchanged = len(gone), len(ids) - len(claimed.texts) - len(gone)
    return claimed


def lock(
    connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str], *, wait_for: str | None = None
) -> dict[str, bool]:
    """Lock those of the jobs that the claim still has.

    Args:
        connection: in a transaction that has locked no other job.
        claim: that the jobs should have.
        entity_ids: of the jobs.
        wait_for: the one entity whose job is waited for. Other jobs that are locked are left out.

    Returns:
        Their entities, and whether the text changed since it was claimed.
    """
    if wait_for is not None:
        _claimed(connection, claim, [wait_for], sql.SQL(" FOR UPDATE"))
    return _claimed(connection, claim, entity_ids, sql.SQL(" FOR UPDATE SKIP LOCKED"))


def still_claimed(connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str]) -> set[str]:
    """Entities whose jobs the claim still has, whether they are locked or not."""
    return set(_claimed(connection, claim, entity_ids, sql.SQL("")))


def reopen(connection: psycopg.Connection, tenant_id: str, kind: Kind, locked: Mapping[str, bool]) -> set[str]:
    """Put those locked jobs to the end of the queue whose texts changed since they were claimed; returns which.

    Called before a claim is ended in any other way: what came of the old text says nothing about the new one.
    """
    changed = {entity_id for entity_id, has_changed in locked.items() if has_changed}
    if changed:
        _execute(connection, "reopen_jobs", tenant_id, kind, ids=list(changed))
    return changed


def complete(connection: psycopg.Connection, claim: Claim, entity_ids: Collection[str]) -> None:
    """Complete locked jobs, whose vectors this transaction writes."""
    _execute(connection, "complete_jobs", claim.tenant_id, claim.kind, ids=list(entity_ids))


def refuse(
    connection: psycopg.Connection, claim: Claim, entity_id: str, reason: str, content_hash: bytes
) -> str | None:
    """Fail the locked job of a text that a provider refused.

    The next attempt is due after one minute, and after twice as long each further time.

    Args:
        connection: in a transaction that has the job locked.
        claim: that has the job.
        entity_id: of the job.
        reason: the provider's words, without the text.
        content_hash: of the text as its model gets it. While it stays the same, a dead job is not enqueued by
            reconciliation.

    Returns:
        The new status, failed or dead; None if the job was reopened.
    """
    row = _fail(
        connection,
        claim.tenant_id,
        claim.kind,
        [entity_id],
        error=reason,
        wait=_WAIT_AFTER_REFUSAL,
        content_hash=content_hash,
    )
    return row[0] if row else None


def put_back(
    connection: psycopg.Connection, claim: Claim, entity_ids: Collection[str], *, until: datetime | None = None
) -> None:
    """Put locked jobs back to their places in the queue as if they had never been claimed, not due before ``until``."""
    if entity_ids:
        _execute(connection, "put_back_jobs", claim.tenant_id, claim.kind, ids=list(entity_ids), until=until)


def put_off(connection: psycopg.Connection, tenant_id: str, kind: Kind, until: datetime) -> None:
    """Let no waiting job be due before then; they keep their places."""
    _execute(connection, "put_off_jobs", tenant_id, kind, until=until)


def retry(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Put failed, dead and put-off jobs to the end of the queue, due now; returns how many."""
    return _execute(connection, "retry_jobs", tenant_id, kind).rowcount


def waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Number of jobs in the queue, among them failed ones, which will be tried again."""
    row = connection.execute(
        "SELECT count(*) FROM embeddings.embedding_job"
        " WHERE tenant_id = %s AND kind = %s AND status IN ('pending', 'failed')",
        [tenant_id, kind],
    ).fetchone()
    return row[0] if row else 0


def counts(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> Counter[str]:
    """Number of jobs by status."""
    rows = connection.execute(
        "SELECT status, count(*) FROM embeddings.embedding_job WHERE tenant_id = %s AND kind = %s GROUP BY status",
        [tenant_id, kind],
    ).fetchall()
    return Counter(dict(rows))


def oldest_waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> datetime | None:
    """When the text that waits longest was enqueued; None if no text waits or is being processed."""
    row = connection.execute(
        "SELECT min(enqueued_at) FROM embeddings.embedding_job"
        " WHERE tenant_id = %s AND kind = %s AND status IN ('pending', 'processing', 'failed')",
        [tenant_id, kind],
    ).fetchone()
    return row[0] if row else None


def _claimed(
    connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str], locking: sql.SQL
) -> dict[str, bool]:
    rows = connection.execute(
        statement("embeddings", "claimed_jobs") + locking,
        {"tenant_id": claim.tenant_id, "kind": claim.kind, "ids": entity_ids, "claim": claim.claim_id},
    )
    return dict(rows.fetchall())


def _end_expired(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """End the claims whose leases have ended; returns how many jobs are dead by that."""
    expired = dict(_execute(connection, "expired_jobs", tenant_id, kind).fetchall())
    if not expired:
        return 0
    failed = expired.keys() - reopen(connection, tenant_id, kind, expired)
    return _fail(connection, tenant_id, kind, failed, error="its worker vanished").count("dead")


def _fail(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    entity_ids: Collection[str],
    *,
    error: str,
    wait: timedelta = timedelta(),
    content_hash: bytes | None = None,
) -> list[str]:
    """Count a failed attempt of locked jobs; returns their new status. ``wait`` doubles with each attempt."""
    reasons = {"error": error, "wait": wait, "content_hash": content_hash, "most": MAX_ATTEMPTS}
    return [status for (status,) in _execute(connection, "fail_jobs", tenant_id, kind, ids=list(entity_ids), **reasons)]


def _execute(
    connection: psycopg.Connection, name: str, tenant_id: str, kind: Kind, **arguments: Any
) -> psycopg.Cursor[Any]:
    # Binary: a claim of long texts is decoded in half the time.
    return connection.execute(
        statement("embeddings", name), {"tenant_id": tenant_id, "kind": kind, **arguments}, binary=True
    )
