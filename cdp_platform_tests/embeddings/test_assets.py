"""The assets of the room on a real instance: one tenant, ranges of tenants, faults."""

from collections.abc import Callable

import dagster as dg
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.embeddings import models
from cdp_platform.embeddings.defs.resources import EmbeddingProviders
from cdp_platform.embeddings.providers import NamedModel, Provider
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.dagster_runs import Run, figures, verdicts
from cdp_platform_tests.embeddings.texts import Recorder, Tenant
from cdp_platform_tests.openai_stub import OpenAIStub

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def new_tenant(warehouse: Warehouse, app: psycopg.Connection) -> Callable[[str], Tenant]:
    def make(tenant_id: str) -> Tenant:
        tenants.add(app, tenant_id, arango_database=tenant_id)
        return Tenant(warehouse, app, tenant_id)

    return make


@pytest.fixture
def openai(openai_stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> OpenAIStub:
    """The stand-in, to which the environment points."""
    for name, value in openai_stub.environment().items():
        monkeypatch.setenv(name, value)
    settings.forget()
    return openai_stub


def test_every_kind_of_every_tenant_is_embedded_in_one_run(new_tenant, run: Run, app):
    one, other = new_tenant("one"), new_tenant("other")
    one.write({"a": "running shoes; Hanoi", "b": "coffee"})
    other.write({"c": "sailing"})
    outcome = run("one", "other")
    assert outcome.success, outcome.errors
    found = figures(outcome, "dagster/partition_row_count", "embedded", "waiting")
    assert found["profile_embeddings", "one"] == (2, 2, 0)
    assert found["profile_embeddings", "other"] == (1, 1, 0)
    for asset in ("transaction_embeddings", "marketing_event_embeddings", "product_embeddings"):
        assert found[asset, "one"] == (0, 0, 0)
    assert set(verdicts(outcome).values()) == {"passed"}
    assert one.vectors(models.active(app)).keys() == {"a", "b"}
    assert figures(run("one", "other"), "embedded", "calls")["profile_embeddings", "one"] == (0, 0)


def test_assets_call_the_providers_of_the_resource(new_tenant, instance: dg.DagsterInstance, app):
    one = new_tenant("one")
    one.write({"a": "running shoes"})
    partitions.keep_in_step(instance, tenants.registered(app))
    recorder = Recorder(dimensions=256)

    class Recorded(EmbeddingProviders):
        def open(self, model: NamedModel) -> Provider:
            return recorder

    outcome = run_job(build_definitions({"embedding_providers": Recorded()}), "embeddings_update", instance, ["one"])
    assert outcome.success, outcome.errors
    assert recorder.texts == ["running shoes"]


def test_a_provider_that_is_away_fails_the_run_and_costs_nothing(new_tenant, run, openai: OpenAIStub):
    one = new_tenant("one")
    one.write({"a": "running shoes"})
    openai.spoil("status", times=None, status=503)
    outcome = run("one")
    assert openai.fired()[0] >= 1
    assert not outcome.success
    assert "1 texts wait" in outcome.errors[0]
    assert (one.states(), one.attempts()) == ({"a": "pending"}, {"a": 0})
    openai.clear()
    one.connection.execute("UPDATE ops.gate SET open_until = now()")
    assert run("one").success
    assert one.states() == {}


def test_a_refused_text_is_one_warning_and_not_a_failure(new_tenant, run, openai: OpenAIStub):
    one = new_tenant("one")
    one.write({f"p{number}": f"text {number}" for number in range(10)} | {"bad": "unspeakable"})
    openai.spoil("status", contains="unspeakable", times=None, status=400)
    outcome = run("one")
    assert outcome.success, outcome.errors
    assert figures(outcome, "embedded", "failed")["profile_embeddings", "one"] == (10, 1)
    assert verdicts(outcome)["profile_embeddings: in_step_with_texts", "one"] == "WARN"


def test_reconciling_finds_what_no_trigger_saw(new_tenant, run, warehouse: Warehouse):
    one = new_tenant("one")
    one.write({"a": "running shoes", "b": "coffee"})
    run("one")
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE customers.cdp_profiles SET living_location = 'sailing' WHERE profile_id = 'a'")
        connection.execute("DELETE FROM customers.cdp_profiles WHERE profile_id = 'b'")
    assert figures(run("one"), "embedded")["profile_embeddings", "one"] == (0,)
    outcome = run("one", job="embeddings_reconcile")
    found = figures(outcome, "reconciled_enqueued", "reconciled_removed", "embedded", "dagster/partition_row_count")
    assert found["profile_embeddings", "one"] == (1, 1, 1, 1)
    assert one.rows("SELECT entity_id, content FROM embeddings.passage") == [("a", "sailing")]


def test_clusters_and_audiences_are_shown_with_a_picture_and_words(new_tenant, run):
    one = new_tenant("one")
    one.write({f"r{n}": f"running; marathon; shoes; trail {n % 7}" for n in range(40)})
    one.write({f"c{n}": f"coffee; espresso; barista; roast {n % 7}" for n in range(40)})
    one.change(
        """UPDATE customers.cdp_profiles SET segments = '[{"id": "s1", "name": "Runners"}]'"""
        " WHERE profile_id ~ '^r[0-9]$'"
    )
    run("one")
    outcome = run("one", job="embeddings_audiences")
    assert outcome.success, outcome.errors
    found = figures(outcome, "clusters", "picture", "what_sets_them_apart")
    clusters, picture, words = found["profile_clusters", "one"]
    assert clusters == 2
    assert "data:image/png;base64," in picture
    assert "marathon" in words
    assert "barista" in words
    assert figures(outcome, "segments")["lookalike_audiences", "one"] == (1,)
    audience = {row[0] for row in one.rows("SELECT profile_id FROM embeddings.lookalike_audience")}
    assert audience
    assert all(profile_id.startswith("r") and len(profile_id) == 3 for profile_id in audience)
