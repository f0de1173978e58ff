"""The life of a model: registered, building, active, retired."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest

from cdp_platform.embeddings import choosing, indexes, models
from cdp_platform.embeddings.coverage import coverage
from cdp_platform.embeddings.providers import ModelChoice, RefusedTextError, opener
from cdp_platform.embeddings.reconcile import enqueue_missing
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.embeddings.texts import DIMENSIONS, Desk, Recorder, Tenant
from cdp_platform_tests.openai_stub import OpenAIStub

OTHER = ModelChoice("openai", "another", DIMENSIONS, 1_000)


@pytest.fixture
def tenants(desk: Desk, acme: Tenant) -> list[str]:
    """Two tenants whose texts all have vectors of the active model."""
    bonsai = desk.tenant("bonsai")
    acme.write({f"a{number}": f"town {number}" for number in range(30)})
    bonsai.write({f"b{number}": f"village {number}" for number in range(20)})
    desk.drain(Recorder(), acme, bonsai)
    return ["acme", "bonsai"]


def test_without_a_model_the_configured_one_becomes_active(app: psycopg.Connection):
    with pytest.raises(ConfigurationError, match="No embedding model is active"):
        models.active(app)
    models.ensure_default(app, EmbeddingSettings(), opener(EmbeddingSettings()))
    model = models.active(app)
    assert (model.provider, model.dimensions, model.state) == ("local", 256, "active")
    other = EmbeddingSettings(embedding_provider="openai", openai_api_key="x")
    models.ensure_default(app, other, opener(other))
    assert models.known(app) == [model]


def test_many_who_register_the_first_model_at_once_register_one(warehouse: Warehouse, app: psycopg.Connection):
    together = threading.Barrier(6)

    def register(_: int) -> None:
        with connect(warehouse.settings) as connection:
            together.wait()
            models.ensure_default(connection, EmbeddingSettings(), opener(EmbeddingSettings()))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(register, range(6)))
    assert [model.state for model in models.known(app)] == ["active"]


def test_a_model_of_unknown_dimensions_is_asked_for_them(app: psycopg.Connection, openai_stub: OpenAIStub):
    settings = openai_stub.settings(embed_model_id="text-embedding-ada-002")
    models.ensure_default(app, settings, opener(settings))
    assert models.active(app).dimensions == 1536
    assert openai_stub.requests() == [["probe"]]


def test_one_more_model_can_be_building_and_no_second_one(desk: Desk):
    added = models.add(desk.app, OTHER)
    assert [model.state for model in models.live(desk.app)] == ["active", "building"]
    with pytest.raises(ConfigurationError, match=r"building, and one at a time .* retire " + str(added.model_id)):
        models.add(desk.app, ModelChoice("openai", "a third", DIMENSIONS, 1_000))
    with pytest.raises(ConfigurationError, match="is building already"):
        models.add(desk.app, OTHER)
    with pytest.raises(ConfigurationError, match="is active already"):
        models.add(desk.app, ModelChoice("openai", desk.model.name, DIMENSIONS, 1_000))


def test_a_new_model_puts_every_text_into_the_queue_and_the_worker_embeds_only_for_it(desk: Desk, tenants: list[str]):
    added = models.add(desk.app, OTHER)
    assert enqueue_missing(desk.app, tenants) == 50
    assert enqueue_missing(desk.app, tenants) == 0
    providers = {desk.model.model_id: Recorder(), added.model_id: Recorder()}
    acme, bonsai = (desk.tenant(tenant_id) for tenant_id in tenants)
    desk.drain(Recorder(), acme, bonsai, open_provider=lambda model: providers[model.model_id])
    assert (providers[desk.model.model_id].texts, len(providers[added.model_id].texts)) == ([], 50)
    for tenant in (acme, bonsai):
        tenant.require_right(desk.model)
        tenant.require_right(added)


def test_a_model_takes_over_only_when_every_text_has_its_vector(desk: Desk, tenants: list[str]):
    added = models.add(desk.app, OTHER)
    enqueue_missing(desk.app, tenants)
    with pytest.raises(ConfigurationError, match="30 of acme, 20 of bonsai"):
        models.activate(desk.app, added.model_id, tenants)
    desk.drain(Recorder(), desk.tenant("acme"))
    with pytest.raises(ConfigurationError, match=r"vectors: 20 of bonsai\."):
        models.activate(desk.app, added.model_id, tenants)
    assert models.active(desk.app) == desk.model
    desk.drain(Recorder(), desk.tenant("bonsai"))
    assert models.activate(desk.app, added.model_id, tenants).state == "active"
    assert [(model.model_id, model.state) for model in models.known(desk.app)] == [
        (added.model_id, "active"),
        (desk.model.model_id, "retired"),
    ]


def test_a_text_that_the_provider_refuses_does_not_hold_up_the_change(desk: Desk, tenants: list[str]):
    def refuse(texts):
        if "town 7" in texts:
            raise RefusedTextError("not this one", indexes=(texts.index("town 7"),))

    added = models.add(desk.app, OTHER)
    enqueue_missing(desk.app, tenants)
    desk.drain(Recorder(disturb=refuse), *(desk.tenant(tenant_id) for tenant_id in tenants))
    (found, _) = [each for each in coverage(desk.app, tenants) if each.model_id == added.model_id]
    assert (found.texts, found.done, found.given_up, found.missing) == (30, 29, 1, 0)
    models.activate(desk.app, added.model_id, tenants)


def test_there_is_one_active_model_at_every_moment_of_a_change(warehouse: Warehouse, desk: Desk):
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        with connect(warehouse.settings) as connection:
            while not done.is_set():
                seen.add(sum(model.state == "active" for model in models.live(connection)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(20):
        models.activate(desk.app, models.add(desk.app, ModelChoice("openai", f"m{number}", 4, 9)).model_id, [])
    done.set()
    watcher.join()
    assert seen == {1}


def test_only_a_building_model_can_be_activated(desk: Desk):
    with pytest.raises(ConfigurationError, match="is active"):
        models.activate(desk.app, desk.model.model_id, [])
    with pytest.raises(ConfigurationError, match="no embedding model 99"):
        models.activate(desk.app, 99, [])
    added = models.add(desk.app, OTHER)
    models.retire(desk.app, added.model_id)
    with pytest.raises(ConfigurationError, match="`cdp embeddings model add` it again"):
        models.activate(desk.app, added.model_id, [])


def test_a_retired_model_leaves_neither_vectors_nor_an_index(desk: Desk, tenants: list[str]):
    added = models.add(desk.app, OTHER)
    enqueue_missing(desk.app, tenants)
    acme, bonsai = (desk.tenant(tenant_id) for tenant_id in tenants)
    desk.drain(Recorder(), acme, bonsai)
    assert indexes.build(desk.app, "profile", desk.model.model_id) == 2
    with pytest.raises(ConfigurationError, match="serves searches"):
        models.retire(desk.app, desk.model.model_id)
    models.activate(desk.app, added.model_id, tenants)
    assert len(acme.vectors(desk.model)) == 30
    assert models.retire(desk.app, desk.model.model_id) == 50
    assert (acme.vectors(desk.model), bonsai.vectors(desk.model)) == ({}, {})
    assert indexes.names(desk.app, "profile", desk.model.model_id) == []
    assert len(acme.vectors(added)) == 30


def test_a_retired_model_that_comes_back_uses_the_vectors_that_it_still_has(desk: Desk, tenants: list[str]):
    added = models.add(desk.app, OTHER)
    enqueue_missing(desk.app, tenants)
    desk.drain(Recorder(), *(desk.tenant(tenant_id) for tenant_id in tenants))
    models.activate(desk.app, added.model_id, tenants)
    back = models.add(desk.app, ModelChoice("openai", desk.model.name, DIMENSIONS, 1_000, Decimal("0.5")))
    assert (back.model_id, back.state, back.price_per_million_tokens) == (
        desk.model.model_id,
        "building",
        Decimal("0.5"),
    )
    assert enqueue_missing(desk.app, tenants) == 0
    assert models.activate(desk.app, back.model_id, tenants).model_id == desk.model.model_id


@pytest.mark.parametrize(
    ("provider", "name", "options", "says"),
    [
        ("local", "huge", {}, "has the model wordllama"),
        ("openai", "text-embedding-3-small", {"dimensions": 3000}, "1536 dimensions, and cannot be asked for 3000"),
        ("local", "wordllama-l2-supercat-256", {"dimensions": 64}, "cannot be asked for 64"),
        ("openai", "text-embedding-ada-002", {"dimensions": 1536}, "say it with --price"),
        ("openai", "text-embedding-3-small", {"price": Decimal(-1)}, "is not possible"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_the_reason(provider: str, name: str, options: dict, says: str):
    settings = EmbeddingSettings(embed_daily_budget=Decimal(1), openai_api_key="x")
    with pytest.raises(ConfigurationError, match=says):
        choosing.choose(
            settings,
            provider,
            name,
            dimensions=options.get("dimensions"),
            price=options.get("price"),
            open_provider=opener(settings),
        )


def test_a_model_can_be_chosen_shorter_and_at_a_price_of_ones_own(openai_stub: OpenAIStub):
    settings, price = openai_stub.settings(), Decimal("0.01")
    choice = choosing.choose(
        settings, "openai", "text-embedding-3-small", dimensions=512, price=price, open_provider=opener(settings)
    )
    assert (choice.dimensions, choice.price_per_million_tokens) == (512, price)


def test_a_model_that_its_provider_does_not_embed_with_is_refused(openai_stub: OpenAIStub):
    for settings, name in (
        (openai_stub.settings(openai_api_key="wrong"), "text-embedding-3-small"),
        (openai_stub.settings(), "no-such-model"),
    ):
        with pytest.raises(ConfigurationError):
            choosing.choose(settings, "openai", name, dimensions=None, price=None, open_provider=opener(settings))
