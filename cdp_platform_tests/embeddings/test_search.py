"""Nearest vectors: exact, of one tenant, by the index where it is worth having. With words: best first, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg
import pytest

from cdp_platform.embeddings import indexes, models, search
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import ModelChoice, open_provider, opener
from cdp_platform.embeddings.reconcile import enqueue_missing
from cdp_platform.embeddings.search import Hit
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings
from cdp_platform_tests.embeddings.planted import clustered, plant
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant

LARGE, SMALL = 12_000, 120
QUERIES = clustered(200, 256, seed=99)


@dataclass
class Crowd:
    """Two large tenants with an index each, and a small one without.

    The vectors of `large` lie in 60 groups, those of `scattered` in groups of four that are hardly apart.
    """

    app: psycopg.Connection
    model: Model
    ids: dict[str, list[str]]
    vectors: dict[str, np.ndarray]

    def truth(self, tenant_id: str, query: np.ndarray, k: int) -> list[str]:
        order = np.argsort(-(self.vectors[tenant_id] @ query), kind="stable")
        return [self.ids[tenant_id][place] for place in order[:k]]

    def recalls(self, tenant_id: str, queries: np.ndarray) -> list[float]:
        """The share of the ten nearest that a search finds, for each query."""
        shares = []
        for query in queries:
            found = search.nearest(self.app, tenant_id, "profile", self.model, query, k=10)
            assert [similarity for _, similarity in found] == sorted((each for _, each in found), reverse=True)
            shares.append(len({entity_id for entity_id, _ in found} & set(self.truth(tenant_id, query, 10))) / 10)
        return shares

    def by_index(self, tenant_id: str, query: np.ndarray, k: int = 10) -> list[tuple[str, float]]:
        with tenant_transaction(self.app, tenant_id):
            return search.nearest_by_index(self.app, tenant_id, "profile", self.model, query, k=k)

    def scans(self, tenant_id: str) -> int:
        """How often the tenant's index was read in this transaction."""
        (count,) = self.app.execute(
            "SELECT coalesce(sum(pg_stat_get_xact_numscans(oid)), 0)::int FROM pg_class"
            " WHERE starts_with(relname, embeddings.vector_index(%s, 'profile', %s))",
            [tenant_id, self.model.model_id],
        ).fetchone() or (0,)
        return count


@pytest.fixture(scope="module")
def crowd(server: Server, _migrated_template: str) -> Iterator[Crowd]:
    name = f"{_migrated_template}_crowd"
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated_template} OWNER test_owner")
    with connect(postgres_settings(server, name)) as app:
        app.execute(
            "INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, state)"
            " VALUES ('local', 'planted', 256, 1000, 'active')"
        )
        vectors = {
            "large": clustered(LARGE, 256, seed=1),
            "scattered": clustered(LARGE, 256, seed=3, clusters=LARGE // 4, spread=0.05),
            "small": clustered(SMALL, 256, seed=2),
        }
        # A search that reads another tenant's rows finds this one: it is nearest to a query.
        vectors["small"][:10] = QUERIES[:10]
        ids = {}
        for tenant_id, those in vectors.items():
            tenants.add(app, tenant_id, arango_database=tenant_id)
            ids[tenant_id] = plant(app, tenant_id, models.active(app), those)
        assert indexes.finish_load(app, "profile", models.active(app).model_id) == 2
        yield Crowd(app, models.active(app), ids, vectors)
    with server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_no_query_of_a_large_tenant_is_answered_from_the_wrong_place(crowd: Crowd):
    recalls = crowd.recalls("large", QUERIES)
    assert min(recalls) >= 0.8
    assert np.mean(recalls) >= 0.98
    # By the index, for nearly all of them.
    assert np.mean([len(crowd.by_index("large", query)) == 10 for query in QUERIES]) >= 0.95


def test_where_neighbours_do_not_stand_out_all_vectors_are_compared(crowd: Crowd):
    queries = crowd.vectors["scattered"][::120]
    assert min(crowd.recalls("scattered", queries)) >= 0.8
    assert np.mean([crowd.by_index("scattered", query) == [] for query in queries]) >= 0.9
    # The index finds the few of the group itself.
    assert np.mean([len(crowd.by_index("scattered", query, k=1)) for query in queries]) >= 0.9


def test_a_query_that_is_like_nothing_finds_the_nearest_all_the_same(crowd: Crowd):
    strangers = np.random.default_rng(7).standard_normal((20, 256)).astype(np.float32)
    assert min(crowd.recalls("large", strangers / np.linalg.norm(strangers, axis=1, keepdims=True))) == 1


def test_the_index_is_read_for_a_large_tenant_and_there_is_none_for_a_small_one(crowd: Crowd):
    for tenant_id, expected in (("large", True), ("small", False)):
        with tenant_transaction(crowd.app, tenant_id):
            search.nearest(crowd.app, tenant_id, "profile", crowd.model, QUERIES[0], k=10)
            assert (crowd.scans(tenant_id) > 0) is expected


def test_a_small_tenant_is_searched_exactly(crowd: Crowd):
    for query in QUERIES[:40]:
        found = search.nearest(crowd.app, "small", "profile", crowd.model, query, k=10)
        assert [entity_id for entity_id, _ in found] == crowd.truth("small", query, 10)


def test_the_exact_search_is_exact(crowd: Crowd):
    for query in QUERIES[:10]:
        with tenant_transaction(crowd.app, "large"):
            found = search.nearest_exact(crowd.app, "large", "profile", crowd.model, query, k=10)
        assert [entity_id for entity_id, _ in found] == crowd.truth("large", query, 10)
        best = crowd.vectors["large"][crowd.ids["large"].index(found[0][0])] @ query
        assert found[0][1] == pytest.approx(float(best), abs=1e-5)


@pytest.mark.parametrize("how", [search.nearest, search.nearest_exact, search.nearest_by_index])
def test_nobody_finds_another_tenants_rows(crowd: Crowd, how):
    found = []
    for query in QUERIES[:10]:
        with tenant_transaction(crowd.app, "large"):
            found.append([entity_id for entity_id, _ in how(crowd.app, "large", "profile", crowd.model, query, k=10)])
        # The index has random centres, and gives no answer where it may have missed some.
        assert len(found[-1]) == 10 or (how is search.nearest_by_index and not found[-1])
        assert set(found[-1]) <= set(crowd.ids["large"])
    assert any(found)


@pytest.mark.parametrize("how", [search.nearest_exact, search.nearest_by_index])
def test_nobody_finds_another_tenants_rows_by_asking_for_them(crowd: Crowd, how):
    with tenant_transaction(crowd.app, "small"):
        assert how(crowd.app, "large", "profile", crowd.model, QUERIES[0], k=10) == []


def test_all_of_a_tenant_can_be_asked_for_and_no_more_than_there_are(crowd: Crowd):
    found = search.nearest(crowd.app, "small", "profile", crowd.model, QUERIES[0], k=1000)
    assert sorted(entity_id for entity_id, _ in found) == crowd.ids["small"]


def test_who_is_excluded_is_not_found_and_others_take_their_places(crowd: Crowd):
    for tenant_id in ("large", "small"):
        (first, second, *_) = crowd.truth(tenant_id, QUERIES[3], 12)
        found = search.nearest(crowd.app, tenant_id, "profile", crowd.model, QUERIES[3], k=10, exclude=[first, second])
        assert len(found) == 10
        assert not {first, second} & {entity_id for entity_id, _ in found}


def test_a_search_leaves_the_planner_of_the_callers_transaction_alone(crowd: Crowd):
    with tenant_transaction(crowd.app, "large"):
        search.nearest(crowd.app, "large", "profile", crowd.model, QUERIES[0], k=10)
        for setting in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
            assert crowd.app.execute(f"SHOW {setting}".encode()).fetchone() == ("on",)


def test_another_kind_has_its_own_vectors(crowd: Crowd):
    assert search.nearest(crowd.app, "large", "product", crowd.model, QUERIES[0], k=10) == []


# Vectors and words ----------------------------------------------------------------------------------------------------

SETTINGS = EmbeddingSettings()
PEOPLE = {
    "barista": "Đà Nẵng; barista, cà phê, espresso machine",
    "teacher": "Hà Nội; teacher, school books, reading",
    "driver": "Huế; taxi driver, cars, motorbike",
    "roaster": "Đà Lạt; coffee roaster, espresso, espresso, espresso",
    "nurse": "Cần Thơ; nurse, hospital, SKU-4711",
}


class Library:
    """One tenant whose profiles have the vectors of the local model."""

    def __init__(self, warehouse: Warehouse, app: psycopg.Connection) -> None:
        models.ensure_default(app, SETTINGS, opener(SETTINGS))
        self.desk = Desk.__new__(Desk)
        self.desk.warehouse, self.desk.app, self.desk.model = warehouse, app, models.active(app)
        self.acme = self.desk.tenant("acme")
        self.write(PEOPLE)

    def write(self, texts: dict[str, str], tenant: Tenant | None = None) -> None:
        (tenant or self.acme).write(texts)
        provider = open_provider(self.desk.model.provider, self.desk.model.name, SETTINGS)
        assert self.desk.drain(provider, tenant or self.acme).waiting == 0

    def find(self, query: str, k: int = 10) -> list[Hit]:
        return search.find(self.desk.app, opener(SETTINGS), "acme", "profile", query, k=k)


@pytest.fixture
def library(warehouse: Warehouse, app: psycopg.Connection) -> Library:
    return Library(warehouse, app)


def by_words(hits: list[Hit]) -> list[str]:
    return [hit.entity_id for hit in sorted(hits, key=lambda hit: hit.word_rank or 99) if hit.word_rank]


def test_what_a_search_sends_is_in_the_ledger(library: Library):
    calls, texts, tokens, _ = library.acme.usage()
    library.find("espresso barista")
    assert library.acme.usage()[:2] == (calls + 1, texts + 1)
    assert library.acme.usage()[2] > tokens


def test_words_without_accents_find_those_with_them_and_the_other_way_round(library: Library):
    for query in ("da nang", "ĐÀ NẴNG", "Đà nẵng"):
        (first, *_) = library.find(query)
        assert (first.entity_id, first.words, first.word_rank) == ("barista", ["da", "nang"], 1)
    assert by_words(library.find("can tho")) == ["nurse"]


def test_any_word_counts_and_more_of_them_count_more_than_one_word_often(library: Library):
    hits = library.find("espresso barista unheard-of")
    assert by_words(hits) == ["barista", "roaster"]
    assert hits[0].entity_id == "barista"
    assert hits[0].words == ["espresso", "barista"]


def test_meaning_finds_what_shares_no_word(library: Library):
    (first, *_) = library.find("doctor in a clinic")
    assert (first.entity_id, first.words, first.word_rank, first.vector_rank) == ("nurse", [], None, 1)
    assert first.similarity is not None
    assert first.similarity > 0.1


def test_a_hit_says_why(library: Library):
    (first, second, *_) = library.find("taxi driver")
    assert (first.rank, first.entity_id, first.vector_rank, first.word_rank) == (1, "driver", 1, 1)
    assert first.score == pytest.approx(2 / 61)
    assert (first.words, first.snippet) == (["taxi", "driver"], PEOPLE["driver"])
    assert second.score == pytest.approx(1 / 62)
    assert second.word_rank is None


def test_a_snippet_of_a_long_text_is_about_the_words(library: Library):
    library.write({"long": "reading " * 100 + "sống ở Đà Nẵng " + "reading " * 100})
    (hit,) = [hit for hit in library.find("nang") if hit.entity_id == "long"]
    assert "Đà Nẵng" in hit.snippet
    assert (hit.snippet[0], hit.snippet[-1]) == ("…", "…")
    assert len(hit.snippet) <= 162


@pytest.mark.parametrize(
    "query",
    [
        "'; DROP TABLE embeddings.passage; --",
        "a & b | !c <-> d:*",
        "\\' \\ ''",
        "coffee & !espresso",
        "((((",
        "%s {} $1",
    ],
)
def test_what_people_type_is_words_and_never_an_operator(library: Library, query: str):
    assert len(library.find(f"{query} barista")) == len(PEOPLE)
    assert by_words(library.find(f"{query} barista"))[0] in {"barista", "roaster"}


def test_a_query_of_no_words_is_refused(library: Library):
    with pytest.raises(ConfigurationError, match="needs words"):
        library.find(" \n")


def test_words_and_vectors_are_those_of_the_tenant(library: Library):
    bonsai = library.desk.tenant("bonsai")
    library.write({"stranger": PEOPLE["barista"]}, bonsai)
    assert {hit.entity_id for hit in library.find("barista Đà Nẵng")} == set(PEOPLE)


def test_as_many_come_back_as_asked_for(library: Library):
    assert [hit.rank for hit in library.find("espresso", k=2)] == [1, 2]


def test_searches_go_on_while_another_model_is_building_and_use_it_once_it_is_active(library: Library):
    desk, acme = library.desk, library.acme
    recorder = Recorder()
    added = models.add(desk.app, ModelChoice("openai", "text-embedding-3-small", recorder.dimensions, 1_000))
    enqueue_missing(desk.app, ["acme"])
    before = library.find("taxi driver")
    desk.drain(recorder, acme)
    assert library.find("taxi driver") == before
    models.activate(desk.app, added.model_id, ["acme"])
    vector = acme.vectors(added)["teacher"]
    hits = search.hybrid(desk.app, "acme", "profile", models.active(desk.app), "school", vector=vector, k=3)
    assert (hits[0].entity_id, hits[0].similarity) == ("teacher", pytest.approx(1, abs=1e-6))
