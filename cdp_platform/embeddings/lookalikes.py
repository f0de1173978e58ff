"""Audiences of people who are like those of a segment, and are not in it.

Every vector of the tenant is compared, block by block: what is found is exact, and memory stays small.
"""

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.embeddings.clusters import centroids_of, profile_vectors, sample
from cdp_platform.embeddings.models import Model
from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction

if TYPE_CHECKING:
    import numpy as np

FEWEST_MEMBERS = 5
"""A segment of fewer people says too little of whom to look for."""
MOST_CENTROIDS = 8
LEAST_SIMILARITY = 0.3
"""Cosine of texts that have little in common, with the models that are offered."""

_SEGMENTS = """
WITH open AS (
    SELECT profile_id, segments FROM customers.cdp_profiles WHERE tenant_id = %(tenant)s AND closed_at IS NULL
)
SELECT s.segment ->> 'id', count(DISTINCT o.profile_id)
FROM open AS o CROSS JOIN LATERAL jsonb_array_elements(o.segments) AS s (segment)
WHERE s.segment ->> 'id' <> ''
GROUP BY 1
HAVING count(DISTINCT o.profile_id) BETWEEN %(fewest)s AND (SELECT count(*) FROM open) / 2
ORDER BY 1
"""

_MEMBERS = """
SELECT p.profile_id, e.entity_id IS NOT NULL
FROM customers.cdp_profiles AS p LEFT JOIN embeddings.embedding AS e
    ON e.tenant_id = p.tenant_id AND e.kind = 'profile' AND e.model_id = %s AND e.entity_id = p.profile_id
WHERE p.tenant_id = %s AND p.segments @> %s
"""

_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS stage_lookalike_audience (profile_id text, similarity real, place int)
ON COMMIT DELETE ROWS
"""
# Whoever lost the vector since it was read (closed, deleted) is left out.
_MERGE = """
MERGE INTO embeddings.lookalike_audience AS held
USING (
    SELECT e.tenant_id, %(segment)s::text AS segment_id, s.profile_id, s.similarity, s.place
    FROM stage_lookalike_audience AS s
    JOIN embeddings.embedding AS e ON e.entity_id = s.profile_id
    WHERE e.tenant_id = %(tenant)s AND e.kind = 'profile' AND e.model_id = %(model)s
) AS found
ON held.tenant_id = found.tenant_id AND held.segment_id = found.segment_id AND held.profile_id = found.profile_id
WHEN MATCHED AND (held.similarity, held.place) <> (found.similarity, found.place)
    THEN UPDATE SET similarity = found.similarity, place = found.place, computed_at = now()
WHEN NOT MATCHED THEN INSERT (tenant_id, segment_id, profile_id, similarity, place)
    VALUES (found.tenant_id, found.segment_id, found.profile_id, found.similarity, found.place)
WHEN NOT MATCHED BY SOURCE AND held.tenant_id = %(tenant)s AND held.segment_id = %(segment)s THEN DELETE
"""


@dataclass(frozen=True)
class Lookalikes:
    """The audience of one segment.

    Attributes:
        segment_id: the seed.
        members: open profiles in the segment that have a vector.
        centroids: what candidates were compared with; more than one where the members are of several kinds.
        floor: the cosine below which nobody was taken; None if there was no audience to find.
        size: people in the audience.
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
    """Segments that can be seeds, with their open profiles: at least five, and at most half of all."""
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(_SEGMENTS, {"tenant": tenant_id, "fewest": FEWEST_MEMBERS}).fetchall()
    return dict(rows)


def refresh_audiences(connection: psycopg.Connection, tenant_id: str, model: Model, *, size: int) -> list[Lookalikes]:
    """Find the audience of every segment that can be a seed; those of segments that no longer can go.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose segments they are.
        model: whose vectors are compared.
        size: of an audience, at most.
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
    """Find the profiles that are most like the members of a segment, and store what changed of its audience.

    The members' centroids (`centroids_of`: one for each kind of member, at most 8) stand for the segment, since the
    mean of two kinds is like neither. A candidate's similarity is its cosine with the nearest centroid, to four digits.
    A segment that cannot be a seed gets an empty audience and a note.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose profiles they are.
        model: whose vectors are compared.
        segment_id: the seed. Its members, closed ones too, are never in its audience.
        size: of the audience, at most.
        floor: nobody below this similarity. If not given, it is halfway between what half of all profiles have and
            what 95 % of the members have: whoever is taken is nearer to the segment than to the crowd. Not what the
            members have alone, because their texts name the segment and a stranger's cannot. Never below
            `LEAST_SIMILARITY`.
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
        note = f"{len(found)} of {size}: nobody else has a similarity of {floor:.2f} or more."
    return Lookalikes(segment_id, len(embedded), len(centroids), floor, len(found), written, note)


def _members(connection: psycopg.Connection, tenant_id: str, model: Model, segment_id: str) -> dict[str, bool]:
    """All profiles in the segment, and whether they have a vector."""
    rows = connection.execute(_MEMBERS, [model.model_id, tenant_id, Jsonb([{"id": segment_id}])]).fetchall()
    return dict(rows)


def _unfit(segment_id: str, members: int, with_vector: int) -> str | None:
    """Why there is nothing to look for."""
    if not members:
        return f"No profile is in segment {segment_id}. Is the id right?"
    if not with_vector:
        return f"None of the {members} profiles in the segment has a vector of the active model yet."
    if with_vector < FEWEST_MEMBERS:
        return (
            f"{with_vector} profiles with a vector are too few to say whom to look for, which takes {FEWEST_MEMBERS}."
        )
    return None


def _candidates(
    blocks: "Iterator[tuple[list[str], np.ndarray]]", centroids: "np.ndarray", floor: float, members: Collection[str]
) -> Iterator[tuple[float, str]]:
    """Whoever is similar enough, as (negative similarity, id): the least is the best, and ties go by id."""
    for ids, block in blocks:
        # Four digits: the last ones of a float depend on which block a profile is in.
        similarities = (block @ centroids.T).max(axis=1).round(4)
        for place in (similarities >= floor).nonzero()[0].tolist():
            if ids[place] not in members:
                yield -float(similarities[place]), ids[place]


def _write(
    connection: psycopg.Connection, tenant_id: str, model: Model, segment_id: str, found: list[tuple[float, str]]
) -> int:
    erasure.while_nobody_is_erased(connection, tenant_id)
    connection.execute(_STAGE)
    copy = "COPY stage_lookalike_audience FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        writer.set_types(["text", "float4", "int4"])
        for place, (negative, profile_id) in enumerate(found, start=1):
            writer.write_row((profile_id, -negative, place))
    return connection.execute(_MERGE, {"tenant": tenant_id, "model": model.model_id, "segment": segment_id}).rowcount
