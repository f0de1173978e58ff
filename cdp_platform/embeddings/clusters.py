"""Clusters of profiles that are about the same things, and what sets each apart.

Vectors have length 1, where the order by Euclidean distance is the order by cosine, so plain k-means serves. It is
fitted on a sample of at most 20,000 profiles, and every profile then goes to the nearest centroid, block by block: the
memory is that of the sample, one block, and an id and a number for each profile. The sample is drawn by a hash of the
profile's id, so it stays nearly the same people from run to run.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from cdp_platform.embeddings import texts
from cdp_platform.embeddings.models import Model
from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction

if TYPE_CHECKING:
    import numpy as np

MOST_CLUSTERS = 12
LEAST_SILHOUETTE = 0.15
"""Below it profiles are one cluster. A cloud without groups reaches 0.03 in 256 dimensions; texts of customers, as the
local model sees them, 0.2 to 0.3."""
FEWEST_MEMBERS = 10
"""Of the profiles that are looked at, a cluster has at least this many."""

_LOOKED_AT = 2_000
_FITTED = 20_000
_BLOCK = 5_000

_VECTORS = """
SELECT entity_id, vector_send(vector) FROM embeddings.embedding
WHERE tenant_id = %(tenant)s AND kind = 'profile' AND model_id = %(model)s
"""
_SAMPLE = f"""
{_VECTORS} AND (%(among)s::text[] IS NULL OR entity_id = ANY (%(among)s))
ORDER BY hashtextextended(entity_id, %(seed)s), entity_id LIMIT %(size)s
"""

_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS stage_profile_cluster (profile_id text, cluster int) ON COMMIT DELETE ROWS
"""
# Whoever lost the vector since it was read (closed, deleted) is left out.
_MERGE = """
MERGE INTO embeddings.profile_cluster AS held
USING (
    SELECT e.tenant_id, s.profile_id, s.cluster
    FROM stage_profile_cluster AS s
    JOIN embeddings.embedding AS e ON e.entity_id = s.profile_id
    WHERE e.tenant_id = %(tenant)s AND e.kind = 'profile' AND e.model_id = %(model)s
) AS found ON held.tenant_id = found.tenant_id AND held.profile_id = found.profile_id
WHEN MATCHED AND held.cluster <> found.cluster THEN UPDATE SET cluster = found.cluster, computed_at = now()
WHEN NOT MATCHED THEN INSERT (tenant_id, profile_id, cluster)
    VALUES (found.tenant_id, found.profile_id, found.cluster)
WHEN NOT MATCHED BY SOURCE AND held.tenant_id = %(tenant)s THEN DELETE
"""

# A term scores by its share in the cluster times the logarithm of how much larger that is than its share in all; where
# all are one cluster, by its share. A term of one or two people could tell who they are, and a long one is prose.
_TERMS = """
WITH size AS (
    SELECT cluster, count(*) AS members, sum(count(*)) OVER () AS everybody
    FROM embeddings.profile_cluster WHERE tenant_id = %(tenant)s GROUP BY cluster
), counted AS (
    SELECT c.cluster, t.term, count(*) AS people, sum(count(*)) OVER (PARTITION BY t.term) AS people_of_all
    FROM embeddings.profile_cluster AS c
    JOIN embeddings.passage AS p ON p.tenant_id = c.tenant_id AND p.kind = 'profile' AND p.entity_id = c.profile_id
    CROSS JOIN LATERAL (
        SELECT DISTINCT btrim(piece) AS term FROM string_to_table(translate(p.content, ';', ','), ',') AS piece
    ) AS t
    WHERE c.tenant_id = %(tenant)s AND length(t.term) BETWEEN 1 AND 60
    GROUP BY c.cluster, t.term
), placed AS (
    SELECT c.cluster, c.term, row_number() OVER (
        PARTITION BY c.cluster
        ORDER BY c.people * ln((c.people * s.everybody) / (s.members * c.people_of_all)) DESC, c.people DESC, c.term
    ) AS place
    FROM counted AS c JOIN size AS s USING (cluster)
    WHERE c.people >= 3 AND c.people * s.everybody >= c.people_of_all * s.members
)
SELECT s.cluster, s.members, array_remove(array_agg(p.term ORDER BY p.place), NULL)
FROM size AS s LEFT JOIN placed AS p ON p.cluster = s.cluster AND p.place <= 5
GROUP BY s.cluster, s.members ORDER BY s.cluster
"""


@dataclass(frozen=True)
class Clustering:
    """How the profiles of a tenant fall into clusters.

    Attributes:
        sizes: profiles by cluster. The largest is 1; numbers go by size and not from run to run.
        terms: by cluster, at most five terms that set it apart, most telling first; each of three people or more.
        silhouettes: by number of clusters, how well apart they would be: -1..1, on a sample of at most 2,000.
        written: rows that were inserted, changed or deleted.
        picture: PNG, at most 2,000 profiles in two dimensions, coloured by cluster; None of fewer than three.
        note: why there are so many clusters.
    """

    sizes: dict[int, int]
    terms: dict[int, list[str]]
    silhouettes: dict[int, float]
    written: int
    picture: bytes | None = field(repr=False)
    note: str


@dataclass(frozen=True)
class Partition:
    """Centroids of vectors.

    Attributes:
        centroids: float32, one row of length 1 each.
        silhouettes: by number of centroids that was tried.
    """

    centroids: "np.ndarray"
    silhouettes: dict[int, float]


def cluster_profiles(connection: psycopg.Connection, tenant_id: str, model: Model, *, seed: int = 0) -> Clustering:
    """Cluster all profiles of a tenant that have a vector of the model, and store what changed.

    The same vectors give the same clusters.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose profiles they are.
        model: whose vectors are taken.
        seed: of the sample and of k-means.
    """
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    with tenant_transaction(connection, tenant_id):
        vectors = sample(connection, tenant_id, model, seed=seed)
    partition = centroids_of(vectors, MOST_CLUSTERS, seed=seed)
    ids: list[str] = []
    nearest = [np.empty(0, np.intp)]
    if len(partition.centroids):
        with tenant_transaction(connection, tenant_id):
            for block_ids, block in profile_vectors(connection, tenant_id, model):
                ids += block_ids
                nearest.append((block @ partition.centroids.T).argmax(axis=1))
    labels = np.concatenate(nearest)
    by_size = np.argsort(-np.bincount(labels, minlength=len(partition.centroids)), kind="stable")
    numbers = np.argsort(by_size) + 1
    with tenant_transaction(connection, tenant_id):
        written = _write(connection, tenant_id, model, zip(ids, numbers[labels].tolist(), strict=True))
        rows = connection.execute(_TERMS, {"tenant": tenant_id}).fetchall()
    sizes = {cluster: members for cluster, members, _ in rows}
    waiting = not ids and texts.any_of(connection, tenant_id, "profile")
    return Clustering(
        sizes=sizes,
        terms={cluster: terms for cluster, _, terms in rows},
        silhouettes=partition.silhouettes,
        written=written,
        picture=_picture(vectors[:_LOOKED_AT], partition.centroids[by_size], sizes),
        note=_note(len(ids), partition, waiting=waiting),
    )


def profile_vectors(
    connection: psycopg.Connection, tenant_id: str, model: Model
) -> "Iterator[tuple[list[str], np.ndarray]]":
    """All profile vectors of a tenant, 5,000 at a time: ids, and float32 rows of length 1.

    Args:
        connection: inside a transaction of the tenant, until the last block is taken.
        tenant_id: whose profiles they are.
        model: whose vectors are taken.
    """
    return _read(connection, _VECTORS, {"tenant": tenant_id, "model": model.model_id}, model.dimensions)


def sample(
    connection: psycopg.Connection, tenant_id: str, model: Model, *, seed: int, among: Collection[str] | None = None
) -> "np.ndarray":
    """At most 20,000 profile vectors in an order that means nothing, so that a slice is a sample too.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose profiles they are.
        model: whose vectors are taken.
        seed: another one gives another sample.
        among: only of these profiles.
    """
    import numpy as np  # noqa: PLC0415

    parameters = {
        "tenant": tenant_id,
        "model": model.model_id,
        "among": None if among is None else list(among),
        "seed": seed,
        "size": _FITTED,
    }
    blocks = [block for _, block in _read(connection, _SAMPLE, parameters, model.dimensions)]
    return np.concatenate([np.empty((0, model.dimensions), np.float32), *blocks])


def centroids_of(vectors: "np.ndarray", most: int, *, seed: int) -> Partition:
    """Centroids of vectors in random order, as many as keep apart best.

    The number is the one with the highest mean silhouette, by cosine, on the first 2,000 vectors. A cluster of fewer
    than `FEWEST_MEMBERS` of those is dissolved into its neighbours, so that a few outliers decide nothing. The mean is
    the only one if no number reaches `LEAST_SILHOUETTE`, or if there are too few vectors for two.
    """
    import numpy as np  # noqa: PLC0415
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from sklearn.metrics import silhouette_score  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if not len(vectors):
        return Partition(vectors, {})
    looked_at = vectors[:_LOOKED_AT]
    best, highest = np.mean(vectors, axis=0, keepdims=True), LEAST_SILHOUETTE
    silhouettes: dict[int, float] = {}
    # One thread: several add up in another order every time, and the last digit can move a profile. On a machine that
    # has other work it is quicker, too.
    with threadpool_limits(limits=1):
        distances = np.clip(1 - looked_at @ looked_at.T, 0, None)
        np.fill_diagonal(distances, 0)
        most = min(most, len(looked_at) // FEWEST_MEMBERS, len(np.unique(looked_at, axis=0)))
        for number in range(2, most + 1):
            fitted = KMeans(number, n_init=3, random_state=seed).fit(looked_at)
            centroids = fitted.cluster_centers_[np.bincount(fitted.labels_, minlength=number) >= FEWEST_MEMBERS]
            labels = (looked_at @ _normalised(centroids).T).argmax(axis=1) if len(centroids) else []
            if len(np.unique(labels)) < 2:
                continue
            silhouette = float(silhouette_score(distances, labels, metric="precomputed"))
            silhouettes[len(centroids)] = max(silhouette, silhouettes.get(len(centroids), -1.0))
            if silhouette > highest:
                best, highest = centroids, silhouette
        if len(best) > 1:
            best = KMeans(len(best), init=best, n_init=1).fit(vectors).cluster_centers_
    return Partition(_normalised(best), silhouettes)


def _read(
    connection: psycopg.Connection, query: LiteralString, parameters: dict[str, Any], dimensions: int
) -> "Iterator[tuple[list[str], np.ndarray]]":
    import numpy as np  # noqa: PLC0415

    with connection.cursor("profile_vectors", binary=True) as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(_BLOCK):
            # vector_send puts four bytes before the numbers, as long as one of them.
            sent = np.frombuffer(b"".join(vector for _, vector in rows), ">f4").reshape(-1, dimensions + 1)
            yield [entity_id for entity_id, _ in rows], _normalised(sent[:, 1:].astype(np.float32))


def _normalised(vectors: "np.ndarray") -> "np.ndarray":
    import numpy as np  # noqa: PLC0415

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


def _write(connection: psycopg.Connection, tenant_id: str, model: Model, rows: Iterable[tuple[str, int]]) -> int:
    erasure.while_nobody_is_erased(connection, tenant_id)
    connection.execute(_STAGE)
    with connection.cursor() as cursor, cursor.copy("COPY stage_profile_cluster FROM STDIN (FORMAT BINARY)") as writer:
        writer.set_types(["text", "int4"])
        for row in rows:
            writer.write_row(row)
    return connection.execute(_MERGE, {"tenant": tenant_id, "model": model.model_id}).rowcount


def _note(profiles: int, partition: Partition, *, waiting: bool) -> str:
    found = len(partition.centroids)
    if not profiles and waiting:
        return "No profile has a vector of the active model yet."
    if not profiles:
        return "No clusters: the profiles say nothing that could be embedded, so they never get vectors."
    if profiles < 2 * FEWEST_MEMBERS:
        return f"One cluster: {profiles} profiles are too few to divide, which takes {2 * FEWEST_MEMBERS}."
    best = max(partition.silhouettes.values(), default=None)
    if best is None:
        return "One cluster: the profiles are all alike, apart from a few."
    if found == 1:
        return (
            f"One cluster: the best division reaches a silhouette of {best:.2f}, and one below {LEAST_SILHOUETTE} would"
            " be arbitrary."
        )
    return f"{found} clusters: they keep apart best, with a silhouette of {best:.2f}."


def _picture(vectors: "np.ndarray", centroids: "np.ndarray", sizes: dict[int, int]) -> bytes | None:
    """Draw the two directions in which the profiles differ most, on white, so that dark pages show it too."""
    if len(vectors) < 3 or vectors.shape[1] < 2:
        return None
    import numpy as np  # noqa: PLC0415
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from sklearn.decomposition import PCA  # noqa: PLC0415

    with np.errstate(invalid="ignore"):  # profiles that are all the same differ in no direction
        points = PCA(2, random_state=0).fit_transform(vectors)
    labels = (vectors @ centroids.T).argmax(axis=1) + 1
    # The ten that differ most, then paler ones.
    colours = [colormaps["tab20"](place) for place in (*range(0, 20, 2), *range(1, 20, 2))]
    figure = Figure(figsize=(6, 3.6), dpi=100, layout="constrained", facecolor="white")
    axes = figure.subplots()
    for number, size in sizes.items():
        mine = points[labels == number]
        axes.scatter(mine[:, 0], mine[:, 1], s=8, color=colours[number - 1], linewidths=0, label=f"{number} ({size:,})")
    axes.set(xticks=[], yticks=[], title=f"{sum(sizes.values()):,} profiles, {len(points):,} of them drawn")
    figure.legend(loc="outside right upper", title="Cluster", frameon=False, markerscale=2)
    drawn, buffer = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    # A quarter of the bytes with a palette: it is kept with every run.
    Image.open(drawn).convert("RGB").quantize(64).save(buffer, "png", optimize=True)
    return buffer.getvalue()
