"""The queue of texts: its states, and every change from one state to another.

Grain of ``embeddings.text_batch``: one row per batch of texts that changed together. The rows without a claim are the
queue, in the order of ``arrival``. Grain of ``embeddings.embedding_job``: one row per text that failed.

                    enqueue (by triggers)
                             |
                             v
        +-------------> batch waits ---- claim ----> batch is claimed ---- end ----> (no row)
        |                    ^                        |          ^
        |                    +------- put back -------+          |
        |                                             +-- claim --+  (by another worker, after the lease)
        |
        |       What a claim ends with, for each of its texts:
        |           embedded, unchanged, gone       (no row)
        |           to be sent again                part of the batch, which waits
        |           refused                         job: failed; the fifth time dead
        |           its fifth worker vanished       job: dead
        |
        +--- job: pending <--- due, or retry (by a person) ---- job: failed
                          <--- retry (by a person) ------------ job: dead

A text that changes while a worker has it is in another batch as well. No state says so: whoever writes a vector locks
the row that the text is made of, and writes only if the text is still the one that was embedded (`settlement`).
A claim forgets entities without a text. It sends neither a text that has its vectors nor a text that was refused
before and is the same.

A batch counts the workers that vanished while they had it. With each, fewer of its texts are claimed at once
(`embeddings.take_batches`), so one text that kills its worker is found, and the others get their vectors.

Every function runs inside a transaction of the tenant. No worker waits for a batch that another transaction has locked,
and triggers only add batches, so nobody is in a deadlock.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from cdp_platform.embeddings.kinds import SOURCES, Kind, texts_of
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.texts import PASSAGE_CHARACTERS
from cdp_platform.warehouse.statements import statement

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 5
"""A text that failed this many times is dead: it is not sent again until it changes or a person retries it."""

_WAIT_AFTER_REFUSAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a claim that is to be written.

    Attributes:
        content: the text, cut to the longest part that a live model or a passage takes.
        stale: ids of the live models that have no vector of this text. None if only its passage or its job is old.
        version: of the row that the text is made of, as PostgreSQL numbers them (xmin).
    """

    entity_id: str
    content: str
    stale: Sequence[int]
    version: int


@dataclass
class Claim:
    """The batches that a worker took at once.

    Attributes:
        claim_id: is written into the batches while this worker has them.
        day: when they were taken (UTC); their cost counts for this day's budget.
        longest: characters of a text that are read.
        batches: ids of the rows.
        size: number of texts in them. A text that changed twice may be in two.
        vanished: how many workers vanished with these batches. If any, one of the texts may have been the cause, so a
            worker has no other texts at the same time.
        is_last: whether no other texts were due, not even some that another worker was claiming.
        texts: those that are to be written, in order of arrival.
        unchanged: number of those of ``size`` that nothing is sent for.
        emptied: number of entities that have no text any more, and are forgotten.
        dead: number of texts that are dead now, since their workers vanished too often: 0 or 1.
        again: entities that go back into the queue at the end of the claim, and when they are due; None for at once.
    """

    tenant_id: str
    kind: Kind
    claim_id: UUID
    day: date
    longest: int
    batches: list[int] = field(default_factory=list)
    size: int = 0
    vanished: int = 0
    is_last: bool = True
    texts: list[Text] = field(default_factory=list)
    unchanged: int = 0
    emptied: int = 0
    dead: int = 0
    again: dict[str, datetime | None] = field(default_factory=dict)

    def extend(self, connection: psycopg.Connection) -> None:
        """Let the lease begin again."""
        _execute(connection, "extend_claim", self, lease=LEASE)

    def put_back(self, connection: psycopg.Connection) -> None:
        """Put back all batches as if they had never been claimed. Texts that have their vectors are not sent again."""
        _execute(connection, "put_back_claim", self)

    def is_held(self, connection: psycopg.Connection) -> bool:
        """Whether the worker still has any of the batches."""
        return _execute(connection, "held_claim", self).fetchone() is not None

    def end(self, connection: psycopg.Connection) -> None:
        """End the claim. What is to be sent again keeps its place in the queue."""
        if self.again:
            ids, until = list(self.again), list(self.again.values())
            _execute(connection, "queue_again", self, ids=ids, until=until)
        _execute(connection, "end_claim", self)


def prepare(connection: psycopg.Connection) -> None:
    """Let PostgreSQL compile no statement of a connection that claims or ends.

    They are fast index lookups, but the planner's estimate makes PostgreSQL compile them.
    """
    connection.execute("SET jit = off")


def claim(
    connection: psycopg.Connection, tenant_id: str, kind: Kind, models: Sequence[Model], *, at_most: int
) -> Claim:
    """Claim the texts that wait longest, and forget entities that have none.

    A claim of which nothing is to be written has ended.

    Args:
        connection: in a transaction that has locked no batch.
        tenant_id: whose texts.
        kind: of the texts.
        models: all live models, at least one.
        at_most: number of texts.
    """
    longest = max(PASSAGE_CHARACTERS, *(model.max_characters for model in models))
    claimed = Claim(tenant_id, kind, uuid4(), datetime.now(UTC).date(), longest)
    _execute(connection, "queue_due_jobs", claimed)
    take(connection, claimed, at_most)
    claimed.is_last = claimed.size < at_most and _execute(connection, "due_batch", claimed).fetchone() is None
    if not claimed.size:
        return claimed
    claimed.texts, gone = _read(connection, claimed, models)
    if gone:
        connection.execute("SELECT embeddings.forget(%s, %s, %s)", [tenant_id, kind, gone])
    claimed.emptied = len(gone)
    if claimed.vanished >= MAX_ATTEMPTS:
        _give_up(connection, claimed)
    claimed.unchanged = claimed.size - claimed.emptied - claimed.dead - sum(bool(text.stale) for text in claimed.texts)
    if not claimed.texts:
        claimed.end(connection)
    return claimed


def take(connection: psycopg.Connection, claim: Claim, at_most: int) -> None:
    """Take the batches that wait longest, or whose workers vanished."""
    row = _execute(connection, "take_batches", claim, at_most=at_most, lease=LEASE, most=MAX_ATTEMPTS).fetchone()
    if row and row[1]:
        claim.batches, claim.size, claim.vanished = row


def complete(connection: psycopg.Connection, claim: Claim, texts: Collection[Text]) -> None:
    """Forget earlier failures of texts, whose vectors this transaction writes."""
    if texts and _execute(connection, "any_job", claim).fetchone() is not None:
        ids, contents = [text.entity_id for text in texts], [text.content for text in texts]
        _execute(connection, "complete_jobs", claim, ids=ids, contents=contents)


def refuse(connection: psycopg.Connection, claim: Claim, entity_id: str, reason: str, content_hash: bytes) -> str:
    """Note that a provider refused a text.

    The next attempt is due after one minute, and after twice as long each further time. Attempts of another text do not
    count.

    Args:
        connection: in a transaction that has locked the row of the text.
        claim: that has the text.
        entity_id: whose text it is.
        reason: the provider's words, without the text.
        content_hash: of the text as its model gets it. While it stays the same, the text is not sent before its time.

    Returns:
        The new status, failed or dead.
    """
    reasons = {"error": reason, "wait": _WAIT_AFTER_REFUSAL, "content_hash": content_hash, "most": MAX_ATTEMPTS}
    row = _execute(connection, "refuse_text", claim, entity_id=entity_id, **reasons).fetchone()
    return row[0] if row else "failed"


def put_off(connection: psycopg.Connection, tenant_id: str, kind: Kind, until: datetime) -> None:
    """Let no waiting text, and none whose lease has ended, be due before then; they keep their places."""
    for name in ("put_off_batches", "put_off_jobs"):
        connection.execute(statement("embeddings", name), {"tenant_id": tenant_id, "kind": kind, "until": until})


def retry(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Put failed and dead texts to the end of the queue, and let those that were put off be due; returns how many."""
    return _number(connection, "retry_batches", tenant_id, kind) + _number(connection, "retry_jobs", tenant_id, kind)


def waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Number of texts in the queue, among them failed ones, which will be tried again."""
    found = counts(connection, tenant_id, kind)
    return found["pending"] + found["failed"]


def counts(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> Counter[str]:
    """Number of texts that are pending, processing, failed or dead. One that changed twice may be counted twice."""
    rows = connection.execute(statement("embeddings", "count_texts"), {"tenant_id": tenant_id, "kind": kind})
    return Counter(dict(rows.fetchall()))


def oldest_waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> datetime | None:
    """When the text that waits longest was enqueued; None if no text waits or is being processed."""
    row = connection.execute(statement("embeddings", "oldest_text"), {"tenant_id": tenant_id, "kind": kind}).fetchone()
    return row[0] if row else None


def _read(connection: psycopg.Connection, claim: Claim, models: Sequence[Model]) -> tuple[list[Text], list[str]]:
    """The texts of the claim that are to be written, in order of arrival, and the entities that have no text."""
    source, key = SOURCES[claim.kind]
    found = connection.execute(
        statement("embeddings", "read_texts").format(texts=texts_of(claim.kind), source=source, key=key),
        {
            "tenant_id": claim.tenant_id,
            "kind": claim.kind,
            "claim": claim.claim_id,
            "batches": claim.batches,
            "models": [model.model_id for model in models],
            "sizes": [model.max_characters for model in models],
            "longest": claim.longest,
            "passage": PASSAGE_CHARACTERS,
        },
        binary=True,
    ).fetchall()
    texts = [
        Text(entity_id, content, stale, version) for entity_id, stale, content, version in found if content is not None
    ]
    return texts, [entity_id for entity_id, _, content, _ in found if content is None]


def _give_up(connection: psycopg.Connection, claim: Claim) -> None:
    """Let the texts of a claim be dead, but those that have their vectors."""
    dead = [text.entity_id for text in claim.texts if text.stale]
    if dead:
        _execute(connection, "give_up_texts", claim, ids=dead, error="its worker vanished", most=MAX_ATTEMPTS)
    claim.dead = len(dead)
    claim.texts = [text for text in claim.texts if not text.stale]


def _number(connection: psycopg.Connection, name: str, tenant_id: str, kind: Kind) -> int:
    row = connection.execute(statement("embeddings", name), {"tenant_id": tenant_id, "kind": kind}).fetchone()
    return row[0] if row else 0


def _execute(connection: psycopg.Connection, name: str, claim: Claim, **arguments: Any) -> psycopg.Cursor[Any]:
    names = {
        "tenant_id": claim.tenant_id,
        "kind": claim.kind,
        "claim": claim.claim_id,
        "batches": claim.batches,
    }
    # Binary: a claim of many texts is decoded in half the time.
    return connection.execute(statement("embeddings", name), {**names, **arguments}, binary=True)
