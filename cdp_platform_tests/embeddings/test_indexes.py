"""When there is an approximate index, and that searches work with and without it."""

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


def wait_in_the_queue(tenant: Tenant, count: int) -> None:
    tenant.enqueue(*(f"waits-{number}" for number in range(count)))


def test_few_vectors_get_no_index(desk: Desk, acme: Tenant):
    plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.WORTH_AN_INDEX - 1))
    assert not indexes.finish_load(desk.app, "profile", desk.model.model_id)
    assert not indexes.exists(desk.app, "profile", desk.model.model_id)


def test_a_first_load_ends_with_an_index_and_searches_work_all_along(desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    assert not indexes.prepare_load(desk.app, "profile", model_id, backlog=50_000)
    planted = vectors(indexes.WORTH_AN_INDEX)
    ids, query = plant(desk.app, acme.tenant_id, desk.model, planted), planted[0]
    (before, *_) = search.nearest(desk.app, acme.tenant_id, "profile", desk.model, query, k=5)
    assert (before[0], before[1]) == (ids[0], pytest.approx(1, abs=1e-6))
    assert indexes.finish_load(desk.app, "profile", model_id)
    assert indexes.exists(desk.app, "profile", model_id)
    assert not indexes.finish_load(desk.app, "profile", model_id)
    with tenant_transaction(desk.app, acme.tenant_id):
        found = search.nearest_by_index(desk.app, acme.tenant_id, "profile", desk.model, query, k=5)
    assert found[0] == before


def test_the_vectors_of_all_tenants_count_and_those_of_another_kind_do_not(desk: Desk, acme: Tenant):
    half = indexes.WORTH_AN_INDEX // 2
    plant(desk.app, acme.tenant_id, desk.model, vectors(half))
    plant(desk.app, acme.tenant_id, desk.model, vectors(half), kind="transaction")
    assert not indexes.finish_load(desk.app, "profile", desk.model.model_id)
    plant(desk.app, desk.tenant("bonsai").tenant_id, desk.model, vectors(half))
    assert indexes.finish_load(desk.app, "profile", desk.model.model_id)
    assert not indexes.exists(desk.app, "transaction", desk.model.model_id)


def test_the_index_is_not_built_while_a_large_backlog_waits_of_whichever_tenant(desk: Desk, acme: Tenant):
    plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.WORTH_AN_INDEX))
    bonsai = desk.tenant("bonsai")
    wait_in_the_queue(bonsai, indexes.LARGE_BACKLOG)
    assert not indexes.finish_load(desk.app, "profile", desk.model.model_id)
    bonsai.change("DELETE FROM embeddings.embedding_job WHERE entity_id = 'waits-0'")
    assert indexes.finish_load(desk.app, "profile", desk.model.model_id)


def test_a_load_that_is_cheaper_without_the_index_drops_it(desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    plant(desk.app, acme.tenant_id, desk.model, vectors(4 * indexes.LARGE_BACKLOG))
    indexes.build(desk.app, "profile", model_id)
    for small in (indexes.LARGE_BACKLOG - 1, indexes.LARGE_BACKLOG):
        wait_in_the_queue(acme, small)
        assert not indexes.prepare_load(desk.app, "profile", model_id, backlog=small)
    assert indexes.exists(desk.app, "profile", model_id)
    wait_in_the_queue(acme, indexes.LARGE_BACKLOG + 1)
    assert indexes.prepare_load(desk.app, "profile", model_id, backlog=indexes.LARGE_BACKLOG + 1)
    assert not indexes.exists(desk.app, "profile", model_id)


def test_a_load_does_not_wait_long_for_a_reader_and_keeps_the_index(warehouse: Warehouse, desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    indexes.build(desk.app, "profile", model_id)
    wait_in_the_queue(acme, indexes.LARGE_BACKLOG)
    with warehouse.superuser() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM embeddings.embedding")
        assert not indexes.prepare_load(desk.app, "profile", model_id, backlog=indexes.LARGE_BACKLOG)
    assert indexes.exists(desk.app, "profile", model_id)
    assert indexes.prepare_load(desk.app, "profile", model_id, backlog=indexes.LARGE_BACKLOG)


def test_a_paused_model_keeps_its_index(desk: Desk, acme: Tenant):
    model_id = desk.model.model_id
    indexes.build(desk.app, "profile", model_id)
    wait_in_the_queue(acme, indexes.LARGE_BACKLOG)
    models.pause(desk.app, model_id, 60, "away")
    assert not indexes.prepare_load(desk.app, "profile", model_id, backlog=indexes.LARGE_BACKLOG)
    assert indexes.exists(desk.app, "profile", model_id)


def test_the_active_model_keeps_its_index_while_texts_wait_for_the_building_one_only(desk: Desk, acme: Tenant):
    building = desk.add_model("another", "building")
    ids = plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.LARGE_BACKLOG))
    for model in (desk.model, building):
        indexes.build(desk.app, "profile", model.model_id)
    acme.enqueue(*ids)
    dropped = {
        model.state: indexes.prepare_load(desk.app, "profile", model.model_id, backlog=len(ids))
        for model in (desk.model, building)
    }
    assert dropped == {"active": False, "building": True}


def test_two_who_build_the_index_at_once_build_one(desk: Desk, acme: Tenant):
    plant(desk.app, acme.tenant_id, desk.model, vectors(indexes.WORTH_AN_INDEX))
    together = threading.Barrier(2)

    def build(_: int) -> None:
        with desk.connect() as connection:
            together.wait()
            indexes.build(connection, "profile", desk.model.model_id)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, range(2)))
    assert indexes.exists(desk.app, "profile", desk.model.model_id)


def test_the_platforms_role_builds_and_drops_indexes_and_nothing_else(desk: Desk, acme: Tenant):
    indexes.build(desk.app, "profile", desk.model.model_id)
    indexes.build(desk.app, "profile", desk.model.model_id)
    indexes.drop(desk.app, "profile", desk.model.model_id)
    indexes.drop(desk.app, "profile", desk.model.model_id)
    nonsense: Any = "person"
    for kind, model_id in ((nonsense, desk.model.model_id), ("profile", 99)):
        with pytest.raises(psycopg.errors.RaiseException):
            indexes.build(desk.app, kind, model_id)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.app.execute("DROP INDEX embeddings.passage_words")


def test_vectors_that_are_longer_than_an_index_takes_are_indexed_at_half_precision(desk: Desk, acme: Tenant):
    model = desk.add_model("text-embedding-3-large", "building", dimensions=3072)
    planted = clustered(60, 3072, seed=2)
    ids = plant(desk.app, acme.tenant_id, model, planted)
    indexes.build(desk.app, "profile", model.model_id)
    with tenant_transaction(desk.app, acme.tenant_id):
        found = search.nearest_by_index(desk.app, acme.tenant_id, "profile", model, planted[7], k=5)
        scans = desk.app.execute(
            "SELECT pg_stat_get_xact_numscans(('embeddings.' || embeddings.vector_index('profile', %s))::regclass)",
            [model.model_id],
        ).fetchone()
    assert scans == (1,)
    assert (len(found), found[0][0], found[0][1]) == (5, ids[7], pytest.approx(1, abs=1e-6))
    assert models.retire(desk.app, model.model_id) == 60
    assert not indexes.exists(desk.app, "profile", model.model_id)
