"""Lookalike audiences: people who are like the members of a segment and are not in it.

Every vector of the tenant is compared, block by block, so the result is exact and memory stays small.
"""

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from cdp_platform.embeddings.clusters import centroids_of, profile_vectors, sample
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

if TYPE_CHECKING:
    import numpy as np

FEWEST_MEMBERS = 5
"""Fewer people do not describe a segment."""
MOST_CENTROIDS = 8
LEAST_SIMILARITY = 0.3
"""Texts that have little in common have about this cosine, with all models that are known by name."""


@dataclass(frozen=True)
class Lookalikes:
    """The audience of one segment.

    Attributes:
        segment_id: the seed.
        members: number of open profiles in the segment that have a vector.
        centroids: number of centroids that candidates were compared with; several if the members are of several kinds.
        floor: the least cosine of the audience; None if the segment cannot be a seed.
        size: number of people in the audience.
        written: rows that were inserted, changed or deleted.
        note: why the audience is smaller than asked for; None if it is not.
    """

    segment_id: str
    members: int
    centroids: int
    floor: float | None
    size: int
    written: int
    note: str | None


def segments_of(connection: psycopg.Connection, tenant_id: str) -> dict[str, int]:
    """Number of open profiles by segment that can be a seed: at least five, and at most half of all."""
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(
            statement("embeddings", "seed_segments"), {"tenant_id": tenant_id, "fewest": FEWEST_MEMBERS}
        ).fetchall()
    return dict(rows)


def refresh_audiences(connection: psycopg.Connection, tenant_id: str, model: Model, *, size: int) -> list[Lookalikes]:
    """Find the audience of every segment that can be a seed, and delete the audiences of all other segments.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose segments they are.
        model: whose vectors are compared.
        size: greatest size of an audience.
    """
    segments = list(segments_of(connection, tenant_id))
    with tenant_transaction(connection, tenant_id):
        connection.execute(
            "DELETE FROM embeddings.lookalike_audience WHERE tenant_id = %s AND segment_id <> ALL (%s)",
            [tenant_id, segments],
        )
    return [find_lookalikes(connection, tenant_id, model, segment_id, size=size) for segment_id in segments]


def find_lookalikes(
    connection: psycopg.Connection,
    tenant_id: str,
    model: Model,
    segment_id: str,
    *,
    size: int,
    floor: float | None = None,
) -> Lookalikes:
    """Find the profiles that are most like the members of a segment, and store the changes of its audience.

    The segment is described by centroids of its members (`centroids_of`: one for each kind of member, at most 8), since
    the mean of two kinds is like neither. A candidate's similarity is its cosine with the nearest centroid, to four
    digits. A segment that cannot be a seed gets an empty audience and a note.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose profiles they are.
        model: whose vectors are compared.
        segment_id: the seed. Its members, closed ones too, are never in its audience.
        size: greatest size of the audience.
        floor: the least similarity. If not given, it is halfway between the median of all profiles and the 5th
            percentile of the members, so the audience is nearer to the segment than to all others. It is not the
            members' similarity alone, because their texts name the segment and the texts of others do not. It is never
            below `LEAST_SIMILARITY`.
    """
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    with tenant_transaction(connection, tenant_id):
        members = _members(connection, tenant_id, model, segment_id)
        embedded = [profile_id for profile_id, has_vector in members.items() if has_vector]
        vectors = sample(connection, tenant_id, model, seed=0, among=embedded)
        everybody = sample(connection, tenant_id, model, seed=0)
    note = _unfit(segment_id, len(members), len(embedded))
    if note is not None:
        with tenant_transaction(connection, tenant_id):
            written = _write(connection, tenant_id, model, segment_id, [])
        return Lookalikes(segment_id, len(embedded), 0, None, 0, written, note)
    centroids = centroids_of(vectors, MOST_CENTROIDS, seed=0).centroids
    if floor is None:
        of_members = float(np.percentile((vectors @ centroids.T).max(axis=1), 5))
        of_the_crowd = float(np.median((everybody @ centroids.T).max(axis=1)))
        floor = max(LEAST_SIMILARITY, (min(of_the_crowd, of_members) + of_members) / 2)
    floor = round(floor, 4)
    with tenant_transaction(connection, tenant_id):
        candidates = _candidates(profile_vectors(connection, tenant_id, model), centroids, floor, members)
        found = heapq.nsmallest(size, candidates)
    with tenant_transaction(connection, tenant_id):
        written = _write(connection, tenant_id, model, segment_id, found)
    if len(found) < size:
        note = f"{len(found)} of {size}: no other profile has a similarity of {floor:.2f} or more."
    return Lookalikes(segment_id, len(embedded), len(centroids), floor, len(found), written, note)


def _members(connection: psycopg.Connection, tenant_id: str, model: Model, segment_id: str) -> dict[str, bool]:
    """All profiles in the segment, and whether they have a vector."""
    names = {"tenant_id": tenant_id, "model_id": model.model_id, "segment_id": segment_id}
    return dict(connection.execute(statement("embeddings", "segment_members"), names).fetchall())


def _unfit(segment_id: str, members: int, with_vector: int) -> str | None:
    """Why the segment cannot be a seed; None if it can."""
    if not members:
        return f"No profile is in segment {segment_id}. Is the id right?"
    if not with_vector:
        return f"None of the {members} profiles in the segment has a vector of the active model yet."
    if with_vector < FEWEST_MEMBERS:
        return (
            f"{with_vector} profiles with a vector are too few to find others like them: {FEWEST_MEMBERS} are needed."
        )
    return None


def _candidates(
    blocks: "Iterator[tuple[list[str], np.ndarray]]", centroids: "np.ndarray", floor: float, members: Collection[str]
) -> Iterator[tuple[float, str]]:
    """Profiles that are similar enough, as (negative similarity, id): the smallest is the best, and ties go by id."""
    for ids, block in blocks:
        # Four digits: the last digits of a float depend on the block that a profile is in.
        similarities = (block @ centroids.T).max(axis=1).round(4)
        for place in (similarities >= floor).nonzero()[0].tolist():
            if ids[place] not in members:
                yield -float(similarities[place]), ids[place]


def _write(
    connection: psycopg.Connection, tenant_id: str, model: Model, segment_id: str, found: list[tuple[float, str]]
) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS stage_lookalike_audience (profile_id text, similarity real, place int)"
        " ON COMMIT DELETE ROWS"
    )
    copy = "COPY stage_lookalike_audience FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        writer.set_types(["text", "float4", "int4"])
        for place, (negative, profile_id) in enumerate(found, start=1):
            writer.write_row((profile_id, -negative, place))
    names = {"tenant_id": tenant_id, "model_id": model.model_id, "segment_id": segment_id}
    return connection.execute(statement("embeddings", "merge_audience"), names).rowcount
