"""When a tenant's vectors have an approximate index, and that searches work with and without it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from cdp_platform.embeddings import indexes, models, search
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.embeddings.planted import clustered, plant
from cdp_platform_tests.embeddings.texts import DIMENSIONS, Desk, Tenant


def vectors(count: int):
    return clustered(count, DIMENSIONS, seed=1)


def analyse(warehouse: Warehouse) -> None:
    with warehouse.superuser() as connection:
        connection.execute("ANALYZE embeddings.embedding")


def test_few_vectors_get_no_index(desk: Desk, acme: Tenant):
    plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.WORTH_AN_INDEX - 1))
    assert indexes.finish_load(desk.app, "profile", desk.model.model_id) == 0
    assert indexes.names(desk.app, "profile", desk.model.model_id) == []


def test_a_first_load_ends_with_an_index_and_searches_work_all_along(desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    planted = vectors(indexes.WORTH_AN_INDEX)
    ids, query = plant(desk.app, acme.tenant_id, desk.model, planted), planted[0]
    (before, *_) = search.nearest(desk.app, acme.tenant_id, "profile", desk.model, query, k=5)
    assert (before[0], before[1]) == (ids[0], pytest.approx(1, abs=1e-6))
    assert indexes.finish_load(desk.app, "profile", model_id) == 1
    assert len(indexes.names(desk.app, "profile", model_id)) == 1
    assert indexes.finish_load(desk.app, "profile", model_id) == 0
    with tenant_transaction(desk.app, acme.tenant_id):
        found = search.nearest_by_index(desk.app, acme.tenant_id, "profile", desk.model, query, k=1)
    assert found == [before]


def test_each_tenant_and_kind_has_its_own_index_and_counts_by_itself(desk: Desk, acme: Tenant):
    model_id, half = desk.model.model_id, indexes.WORTH_AN_INDEX // 2
    bonsai = desk.tenant("bonsai")
    plant(desk.app, acme.tenant_id, desk.model, vectors(half))
    plant(desk.app, acme.tenant_id, desk.model, vectors(half), kind="transaction")
    plant(desk.app, bonsai.tenant_id, desk.model, vectors(half))
    assert indexes.finish_load(desk.app, "profile", model_id) == 0
    assert indexes.build(desk.app, "profile", model_id, at_least=half) == 2
    assert len(set(indexes.names(desk.app, "profile", model_id))) == 2
    assert indexes.names(desk.app, "transaction", model_id) == []


def test_an_index_that_a_tenant_has_outgrown_is_replaced(warehouse: Warehouse, desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    plant(desk.app, acme.tenant_id, desk.model, vectors(400))
    assert indexes.build(desk.app, "profile", model_id) == 1
    (first,) = indexes.names(desk.app, "profile", model_id)
    plant(desk.app, acme.tenant_id, desk.model, vectors(1_100), first=400)
    analyse(warehouse)
    assert indexes.finish_load(desk.app, "profile", model_id) == 0
    plant(desk.app, acme.tenant_id, desk.model, vectors(100), first=1_500)
    analyse(warehouse)
    # A reader that does not end keeps the old index, and does not block the load.
    with warehouse.superuser() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM embeddings.embedding")
        assert indexes.finish_load(desk.app, "profile", model_id) == 1
        assert indexes.names(desk.app, "profile", model_id)[1:] == [first]
    assert indexes.finish_load(desk.app, "profile", model_id) == 0
    (second,) = indexes.names(desk.app, "profile", model_id)
    assert (first.rpartition("_")[2], second.rpartition("_")[2]) == ("20", "40")


def test_two_who_build_the_index_at_once_build_one(desk: Desk, acme: Tenant):
    plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.WORTH_AN_INDEX))
    together = threading.Barrier(2)

    def build(_: int) -> int:
        with desk.connect() as connection:
            together.wait()
            return indexes.build(connection, "profile", desk.model.model_id)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(build, range(2))) == [0, 1]
    assert len(indexes.names(desk.app, "profile", desk.model.model_id)) == 1


def test_the_platforms_role_builds_and_drops_indexes_of_vectors_and_nothing_else(desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    plant(desk.app, acme.tenant_id, desk.model, vectors(50))
    assert [indexes.build(desk.app, "profile", model_id) for _ in range(2)] == [1, 0]
    for _ in range(2):
        indexes.drop(desk.app, "profile", model_id)
        assert indexes.names(desk.app, "profile", model_id) == []
    nonsense: Any = "person"
    for kind, model in ((nonsense, model_id), ("profile", 99)):
        with pytest.raises(psycopg.errors.RaiseException):
            indexes.build(desk.app, kind, model)
    for name in ("passage_words", "embedding_pkey"):
        with pytest.raises(psycopg.errors.RaiseException):
            desk.app.execute("SELECT embeddings.drop_vector_index(%s)", [name])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.app.execute("DROP INDEX embeddings.passage_words")


@pytest.mark.parametrize("dimensions", [1536, 3072])
def test_vectors_of_large_models_are_indexed_beyond_what_full_precision_allows(
    desk: Desk, acme: Tenant, dimensions: int
):
    model = desk.add_model("text-embedding-3-large", "building", dimensions=dimensions)
    planted = clustered(240, dimensions, seed=2, clusters=20)
    ids = plant(desk.app, acme.tenant_id, model, planted)
    assert indexes.build(desk.app, "profile", model.model_id) == 1
    with tenant_transaction(desk.app, acme.tenant_id):
        found = search.nearest_by_index(desk.app, acme.tenant_id, "profile", model, planted[7], k=5)
        exact = search.nearest_exact(desk.app, acme.tenant_id, "profile", model, planted[7], k=5)
    assert found == exact
    assert (found[0][0], found[0][1]) == (ids[7], pytest.approx(1, abs=1e-6))
    assert models.retire(desk.app, model.model_id) == 240
    assert indexes.names(desk.app, "profile", model.model_id) == []
