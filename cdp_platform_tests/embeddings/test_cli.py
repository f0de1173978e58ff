"""`cdp embeddings` and `cdp search`, as they are typed."""

import re
from collections.abc import Callable

import psycopg
import pytest

from cdp_platform.embeddings import models
from cdp_platform.embeddings.calls import gate_of
from cdp_platform.embeddings.providers import open_provider, opener
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform_tests.command_line import answers, invoke, refusal, says
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.embeddings.texts import Desk, Tenant
from cdp_platform_tests.openai_stub import OpenAIStub

PEOPLE = {"barista": "Đà Nẵng, espresso bar", "driver": "Huế, taxi rank", "nurse": "Cần Thơ, hospital"}
LOCAL = EmbeddingSettings()


@pytest.fixture
def office(warehouse: Warehouse, app: psycopg.Connection) -> Desk:
    """A warehouse whose texts wait for the local model."""
    models.ensure_default(app, LOCAL, opener(LOCAL))
    desk = Desk.__new__(Desk)
    desk.warehouse, desk.app, desk.model = warehouse, app, models.active(app)
    desk.tenant("acme").write(PEOPLE)
    return desk


@pytest.fixture
def embed(office: Desk) -> Callable[[], Tenant]:
    def run_the_worker() -> Tenant:
        acme = office.tenant("acme")
        office.drain(open_provider(office.model.provider, office.model.name, LOCAL), acme)
        return acme

    return run_the_worker


def test_text_prints_the_very_text_with_its_length_and_hash(office: Desk):
    said = says("embeddings", "text", "--tenant", "acme", "--id", "barista")
    assert said.startswith(f"{PEOPLE['barista']} 21 characters, SHA-256 ")
    found = answers("embeddings", "text", "--tenant", "acme", "--kind", "profile", "--id", "barista")
    assert (found["content"], found["characters"]) == (PEOPLE["barista"], 21)
    assert found["content_hash"] in said


def test_text_says_when_it_is_cut(office: Desk):
    office.tenant("acme").write({"long": "coffee " * 5_000})
    assert "8,000 characters, cut from 34,999" in says("embeddings", "text", "--tenant", "acme", "--id", "long")


def test_text_says_when_there_is_none_and_when_there_is_no_such_entity(office: Desk):
    office.tenant("acme").close("nurse")
    assert "has no text, so it is not embedded" in says("embeddings", "text", "--tenant", "acme", "--id", "nurse")
    assert answers("embeddings", "text", "--tenant", "acme", "--id", "nurse")["content"] is None
    assert refusal("embeddings", "text", "--tenant", "acme", "--id", "who") == (
        "acme has no profile who. Is the id right, and was it synced?"
    )
    assert "cdp tenant list" in refusal("embeddings", "text", "--tenant", "nobody", "--id", "who")


def test_the_default_tenant_is_used_when_none_is_named(office: Desk, monkeypatch: pytest.MonkeyPatch):
    assert refusal("embeddings", "text", "--id", "nurse").startswith("Which tenant?")
    from cdp_platform import settings

    monkeypatch.setenv("DEFAULT_TENANT_ID", "acme")
    settings.forget()
    assert PEOPLE["nurse"] in says("embeddings", "text", "--id", "nurse")


def test_status_on_an_empty_platform_registers_the_model_and_says_how_to_begin(warehouse: Warehouse):
    assert "`cdp sync`" in says("embeddings", "status")
    status = answers("embeddings", "status")
    assert (status["model"]["provider"], status["texts"], status["daily_budget"]) == ("local", [], None)


def test_status_says_what_has_vectors_and_what_waits(office: Desk, embed: Callable[[], Tenant]):
    (waits,) = answers("embeddings", "status")["texts"]
    assert (waits["texts"], waits["vectors"], waits["pending"], waits["share"]) == (3, 0, 3, 0)
    assert waits["oldest_waiting_at"]
    acme = embed()
    office.tenant("empty")
    acme.write({"new": "Vinh"})
    status = answers("embeddings", "status", "--tenant", "acme")
    (done,) = status["texts"]
    assert (done["tenant_id"], done["kind"], done["texts"], done["vectors"], done["pending"]) == (
        *("acme", "profile"),
        *(4, 3, 1),
    )
    assert done["share"] == 0.75
    (spent,) = status["today"]
    assert (spent["texts"], spent["calls"], spent["tokens"] > 0, float(spent["cost"])) == (3, 1, True, 0)
    said = says("embeddings", "status")
    assert re.search(r"acme profile 4 3 75 1 0 0 0 \d+ s", said)
    assert "no limit" in said


def test_status_says_which_model_is_paused_and_why_and_what_was_refused(office: Desk):
    gate = gate_of(office.app, office.add_model("text-embedding-3-small", "building"))
    assert gate is not None
    gate.rest(600, "quota [of the day]")
    acme = office.tenant("acme")
    for entity_id in PEOPLE.keys() - {"nurse"}:
        acme.fail(entity_id, "dead", attempts=5, error="too odd")
    said = says("embeddings", "status")
    assert "paused: openai:text-embedding-3-small (16) until" in said
    assert "quota [of the day]" in said
    assert "refused: 2 of acme, profile: too odd" in said
    status = answers("embeddings", "status")
    (pause,) = status["paused"]
    assert (pause["model"]["name"], pause["reason"]) == ("text-embedding-3-small", "quota [of the day]")
    assert 590 < pause["seconds"] <= 600
    assert status["texts"][0]["refusals"] == {"too odd": 2}
    assert says("embeddings", "retry", "--tenant", "acme") == "2 texts of acme are in the queue again."
    assert says("embeddings", "retry", "--tenant", "acme", "--kind", "profile") == "No text failed."


def test_search_finds_and_says_why(office: Desk, embed: Callable[[], Tenant]):
    assert "has a vector yet: `cdp embeddings status`" in says("search", "espresso", "--tenant", "acme")
    nothing = says("search", "espresso", "--tenant", "acme", "--kind", "event")
    assert nothing == "Nothing to find: acme has no event with a text."
    embed()
    said = says("search", "espresso", "da", "nang", "--tenant", "acme", "-k", "2")
    assert "espresso, da, nang" in said
    assert PEOPLE["barista"] in said
    hits = answers("search", "espresso da nang", "--tenant", "acme", "-k", "2")
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert hits[0]["entity_id"] == "barista"
    assert hits[0]["words"] == ["espresso", "da", "nang"]
    assert answers("search", "espresso", "--tenant", "acme", "--kind", "transaction") == []
    assert refusal("search", " ", "--tenant", "acme") == "A search needs words to look for."


def test_a_model_is_changed_with_four_commands(
    office: Desk, embed: Callable[[], Tenant], openai_stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch
):
    from cdp_platform import settings

    acme = embed()
    for variable, value in openai_stub.environment().items():
        monkeypatch.setenv(variable, value)
    settings.forget()
    add = ("embeddings", "model", "add", "--provider", "openai", "--name", "text-embedding-3-small")
    said = says(*add, "--dimensions", "32", "--price", "0.01")
    assert "openai:text-embedding-3-small (32), is building; 3 texts are in the queue for it." in said
    (_, added) = (model.model_id for model in models.live(office.app))
    assert "is building already" in refusal(*add, "--dimensions", "32")
    activate = ("embeddings", "model", "activate", str(added))
    assert "texts wait for their vectors: 3 of acme." in refusal(*activate)
    status = answers("embeddings", "model", "status")
    assert [model["state"] for model in status["models"]] == ["active", "building"]
    assert [(each["done"], each["missing"]) for each in status["progress"]] == [(3, 0), (0, 3)]

    opened = openai_stub.settings()
    office.drain(
        open_provider("local", office.model.name, opened),
        acme,
        open_provider=lambda model: open_provider(model.provider, model.name, opened, dimensions=model.dimensions),
    )
    assert "Searches use model" in says(*activate)
    openai_stub.clear()
    (hit, *_) = answers("search", "Huế, taxi rank", "--tenant", "acme")
    assert (hit["entity_id"], hit["similarity"]) == ("driver", pytest.approx(1, abs=1e-5))
    assert openai_stub.requests() == [["Huế, taxi rank"]]

    assert "serves searches" in refusal("embeddings", "model", "retire", str(added))
    old = str(office.model.model_id)
    assert says("embeddings", "model", "retire", old) == f"Retired model {old}; 3 vectors deleted."
    said = says("embeddings", "model", "status")
    assert "text-embedding-3-small 32 active 0.010 3 3 0 0" in said
    assert "retired 0.000 - - - -" in said
    assert acme.vectors(office.model) == {}


def test_a_model_whose_price_is_unknown_is_refused_under_a_budget(office: Desk, monkeypatch: pytest.MonkeyPatch):
    from cdp_platform import settings

    monkeypatch.setenv("EMBED_DAILY_BUDGET", "1")
    settings.forget()
    error = invoke("embeddings", "model", "add", "--provider", "openai", "--name", "text-embedding-ada-002").exception
    assert isinstance(error, ConfigurationError)
    assert "--price" in str(error)
    assert invoke("embeddings", "model", "add", "--provider", "openai", "--name", "x", "--price", "-1").exit_code == 2
