"""Clusters of similar profiles, and the terms that set each cluster apart.

Vectors have length 1, for which the order by Euclidean distance is the order by cosine, so plain k-means is right. It
is fitted on a sample of at most 20,000 profiles. Every profile then goes to the nearest centroid, block by block: the
memory holds the sample, one block, and an id and a number for each profile. The sample is drawn by a hash of the
profile's id, so it is nearly the same in every run.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

import psycopg

from cdp_platform.embeddings import texts
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

if TYPE_CHECKING:
    import numpy as np

MOST_CLUSTERS = 12
LEAST_SILHOUETTE = 0.15
"""Profiles with a lower mean silhouette are one cluster. Vectors without groups reach 0.03 in 256 dimensions; texts of
customers reach 0.2 to 0.3 with the local model."""
FEWEST_MEMBERS = 10
"""A cluster has at least this many of the profiles that the silhouette is computed on."""

_SILHOUETTE_SAMPLE = 2_000
_FITTED = 20_000
_BLOCK = 5_000


@dataclass(frozen=True)
class Clustering:
    """The clusters of a tenant's profiles.

    Attributes:
        sizes: number of profiles by cluster. The largest is 1; a cluster can have another number in the next run.
        terms: by cluster, at most five terms that set it apart, best first; each is of three people or more.
        silhouettes: mean silhouette by number of clusters, -1 to 1, on a sample of at most 2,000.
        written: rows that were inserted, changed or deleted.
        picture: PNG of at most 2,000 profiles in two dimensions, coloured by cluster; None for fewer than three.
        note: why there is this number of clusters.
    """

    sizes: dict[int, int]
    terms: dict[int, list[str]]
    silhouettes: dict[int, float]
    written: int
    picture: bytes | None = field(repr=False)
    note: str


@dataclass(frozen=True)
class Centroids:
    """Centroids of vectors.

    Attributes:
        centroids: float32, one row of length 1 each.
        silhouettes: mean silhouette by number of centroids, for all numbers that were tried.
    """

    centroids: "np.ndarray"
    silhouettes: dict[int, float]


def cluster_profiles(connection: psycopg.Connection, tenant_id: str, model: Model, *, seed: int = 0) -> Clustering:
    """Cluster all profiles of a tenant that have a vector of the model, and store the changes.

    The same vectors give the same clusters.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose profiles they are.
        model: whose vectors are used.
        seed: of the sample and of k-means.
    """
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    with tenant_transaction(connection, tenant_id):
        vectors = sample(connection, tenant_id, model, seed=seed)
    fitted = centroids_of(vectors, MOST_CLUSTERS, seed=seed)
    ids: list[str] = []
    nearest = [np.empty(0, np.intp)]
    if len(fitted.centroids):
        with tenant_transaction(connection, tenant_id):
            for block_ids, block in profile_vectors(connection, tenant_id, model):
                ids += block_ids
                nearest.append((block @ fitted.centroids.T).argmax(axis=1))
    labels = np.concatenate(nearest)
    by_size = np.argsort(-np.bincount(labels, minlength=len(fitted.centroids)), kind="stable")
    numbers = np.argsort(by_size) + 1
    with tenant_transaction(connection, tenant_id):
        written = _write(connection, tenant_id, model, zip(ids, numbers[labels].tolist(), strict=True))
        rows = connection.execute(statement("embeddings", "cluster_terms"), {"tenant_id": tenant_id}).fetchall()
    sizes = {cluster: members for cluster, members, _ in rows}
    waiting = not ids and texts.any_of(connection, tenant_id, "profile")
    return Clustering(
        sizes=sizes,
        terms={cluster: terms for cluster, _, terms in rows},
        silhouettes=fitted.silhouettes,
        written=written,
        picture=_picture(vectors[:_SILHOUETTE_SAMPLE], fitted.centroids[by_size], sizes),
        note=_note(len(ids), fitted, waiting=waiting),
    )


def profile_vectors(
    connection: psycopg.Connection, tenant_id: str, model: Model
) -> "Iterator[tuple[list[str], np.ndarray]]":
    """All profile vectors of a tenant, 5,000 at a time: ids, and float32 rows of length 1.

    Args:
        connection: inside a transaction of the tenant, until the last block is taken.
        tenant_id: whose profiles they are.
        model: whose vectors are used.
    """
    return _read(connection, "profile_vectors", tenant_id, model)


def sample(
    connection: psycopg.Connection, tenant_id: str, model: Model, *, seed: int, among: Collection[str] | None = None
) -> "np.ndarray":
    """At most 20,000 profile vectors in random order, so that a slice is a sample as well.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose profiles they are.
        model: whose vectors are used.
        seed: of the order.
        among: only these profiles.
    """
    import numpy as np  # noqa: PLC0415

    chosen = {"among": None if among is None else list(among), "seed": seed, "size": _FITTED}
    blocks = [block for _, block in _read(connection, "profile_sample", tenant_id, model, **chosen)]
    return np.concatenate([np.empty((0, model.dimensions), np.float32), *blocks])


def centroids_of(vectors: "np.ndarray", most: int, *, seed: int) -> Centroids:
    """Centroids of vectors in random order, in the number that separates them best.

    The best number has the highest mean silhouette, by cosine, on the first 2,000 vectors. A cluster with fewer than
    `FEWEST_MEMBERS` of those is dissolved into its neighbours, so that a few outliers have no influence. If no number
    reaches `LEAST_SILHOUETTE`, or there are too few vectors for two, the mean is the only centroid.
    """
    import numpy as np  # noqa: PLC0415
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from sklearn.metrics import silhouette_score  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if not len(vectors):
        return Centroids(vectors, {})
    examined = vectors[:_SILHOUETTE_SAMPLE]
    best, highest = np.mean(vectors, axis=0, keepdims=True), LEAST_SILHOUETTE
    silhouettes: dict[int, float] = {}
    # One thread: several threads add up in a different order each time, and the last digit can move a profile. On a
    # busy machine one thread is also faster.
    with threadpool_limits(limits=1):
        distances = np.clip(1 - examined @ examined.T, 0, None)
        np.fill_diagonal(distances, 0)
        most = min(most, len(examined) // FEWEST_MEMBERS, len(np.unique(examined, axis=0)))
        for number in range(2, most + 1):
            fitted = KMeans(number, n_init=3, random_state=seed).fit(examined)
            centroids = fitted.cluster_centers_[np.bincount(fitted.labels_, minlength=number) >= FEWEST_MEMBERS]
            labels = (examined @ _normalised(centroids).T).argmax(axis=1) if len(centroids) else []
            if len(np.unique(labels)) < 2:
                continue
            silhouette = float(silhouette_score(distances, labels, metric="precomputed"))
            silhouettes[len(centroids)] = max(silhouette, silhouettes.get(len(centroids), -1.0))
            if silhouette > highest:
                best, highest = centroids, silhouette
        if len(best) > 1:
            best = KMeans(len(best), init=best, n_init=1).fit(vectors).cluster_centers_
    return Centroids(_normalised(best), silhouettes)


def _read(
    connection: psycopg.Connection, name: str, tenant_id: str, model: Model, **arguments: Any
) -> "Iterator[tuple[list[str], np.ndarray]]":
    import numpy as np  # noqa: PLC0415

    with connection.cursor("profile_vectors", binary=True) as cursor:
        names = {"tenant_id": tenant_id, "model_id": model.model_id}
        cursor.execute(statement("embeddings", name), {**names, **arguments})
        while rows := cursor.fetchmany(_BLOCK):
            # vector_send puts four bytes before the numbers, which is the size of one number.
            sent = np.frombuffer(b"".join(vector for _, vector in rows), ">f4").reshape(-1, model.dimensions + 1)
            yield [entity_id for entity_id, _ in rows], _normalised(sent[:, 1:].astype(np.float32))


def _normalised(vectors: "np.ndarray") -> "np.ndarray":
    import numpy as np  # noqa: PLC0415

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


def _write(connection: psycopg.Connection, tenant_id: str, model: Model, rows: Iterable[tuple[str, int]]) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS stage_profile_cluster (profile_id text, cluster int)"
        " ON COMMIT DELETE ROWS"
    )
    with connection.cursor() as cursor, cursor.copy("COPY stage_profile_cluster FROM STDIN (FORMAT BINARY)") as writer:
        writer.set_types(["text", "int4"])
        for row in rows:
            writer.write_row(row)
    names = {"tenant_id": tenant_id, "model_id": model.model_id}
    return connection.execute(statement("embeddings", "merge_clusters"), names).rowcount


def _note(profiles: int, fitted: Centroids, *, waiting: bool) -> str:
    found = len(fitted.centroids)
    if not profiles and waiting:
        return "No profile has a vector of the active model yet."
    if not profiles:
        return "No clusters: the profiles say nothing that could be embedded, so they never get vectors."
    if profiles < 2 * FEWEST_MEMBERS:
        return f"One cluster: {profiles} profiles are too few to divide: {2 * FEWEST_MEMBERS} are needed."
    best = max(fitted.silhouettes.values(), default=None)
    if best is None:
        return "One cluster: the profiles are all alike, apart from a few."
    if found == 1:
        return (
            f"One cluster: the best division reaches a silhouette of {best:.2f}, and one below {LEAST_SILHOUETTE} would"
            " be arbitrary."
        )
    return f"{found} clusters: they keep apart best, with a silhouette of {best:.2f}."


def _picture(vectors: "np.ndarray", centroids: "np.ndarray", sizes: dict[int, int]) -> bytes | None:
    """Draw the two directions in which the profiles differ most, on white, which is readable on dark pages too."""
    if len(vectors) < 3 or vectors.shape[1] < 2:
        return None
    import numpy as np  # noqa: PLC0415
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from sklearn.decomposition import PCA  # noqa: PLC0415

    with np.errstate(invalid="ignore"):  # equal profiles differ in no direction
        points = PCA(2, random_state=0).fit_transform(vectors)
    labels = (vectors @ centroids.T).argmax(axis=1) + 1
    # The ten colours that differ most, then paler ones.
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
    # A palette makes a quarter of the bytes, which Dagster keeps for every run.
    Image.open(drawn).convert("RGB").quantize(64).save(buffer, "png", optimize=True)
    return buffer.getvalue()
