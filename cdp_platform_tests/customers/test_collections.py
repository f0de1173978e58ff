"""A CDP whose two collections have names of their own."""

import pytest

from cdp_platform import settings
from cdp_platform.customers import profiles, transactions
from cdp_platform.errors import ConfigurationError
from cdp_platform.health.findings import examine
from cdp_platform_tests.leo import STAMP, Leo

PEOPLE, SALES = "crm_people", "crm-sales"


@pytest.fixture
def renamed(leo: Leo, monkeypatch: pytest.MonkeyPatch) -> Leo:
    """A tenant in whose database the two collections have other names, and none the usual ones."""
    for usual, name, is_edge in ((profiles.COLLECTION, PEOPLE, False), (transactions.COLLECTION, SALES, True)):
        leo.database.delete_collection(usual)
        leo.database.create_collection(name, edge=is_edge)
    monkeypatch.setenv("ARANGO_PROFILE_COLLECTION", PEOPLE)
    monkeypatch.setenv("ARANGO_CONVERSION_COLLECTION", SALES)
    settings.forget()
    return leo


def edge(key: str, profile: str, day: int = 1) -> dict[str, object]:
    stamps = {"createdAt": STAMP.format(day=day), "updatedAt": STAMP.format(day=day)}
    return {"_key": key, "_from": profile, "_to": "cdp_productitem/p1", "transactionValue": 10, **stamps}


def test_collections_of_other_names_are_read_and_kept_under_the_usual_ones(renamed: Leo):
    renamed.put(PEOPLE, {"_key": "p1", "status": 1, "updatedAt": STAMP.format(day=1), "inSegments": [{"id": "s"}]})
    renamed.put(SALES, edge("t1", f"{PEOPLE}/p1"))
    assert renamed.sync().new == 1
    assert renamed.sync("transactions").new == 1
    assert renamed.keys() == {"p1"}
    assert renamed.rows("SELECT line_id, profile_id FROM customers.transactions") == [("t1", "p1")]
    assert renamed.stamp(profiles.COLLECTION) == STAMP.format(day=1)
    # Changes, the look of the sensor, and segments.
    renamed.put(SALES, edge("t2", f"{PEOPLE}/p1", day=2))
    assert renamed.sync("transactions").new == 1
    with renamed.reading() as (source, _):
        assert source.states()[transactions.COLLECTION].count == 2
        assert sorted(key for batch in source.conversions(["p1"]) for key in batch.keys) == ["t1", "t2"]
        assert [key for batch in source.members("s") for key in batch.keys] == ["p1"]
    renamed.delete(SALES, "t1")
    assert renamed.reconcile("transactions").gone == 1
    # Tombstones have the usual name, whatever the server calls it.
    renamed.erase("p1")
    assert renamed.keys() == set()
    assert renamed.sync(full=True).new == 0
    assert renamed.keys() == set()


def test_an_edge_from_another_collection_is_rejected(renamed: Leo):
    renamed.put(SALES, edge("t1", "cdp_profile/p1"))
    assert renamed.sync("transactions").new == 0
    (waiting,) = renamed.waiting()
    assert waiting.code == "not_a_vertex"


def test_health_looks_at_the_collections_by_their_names(renamed: Leo):
    (finding,) = (each for each in examine() if each.system.endswith(f"({renamed.tenant.tenant_id})"))
    assert f"db.{PEOPLE}.ensureIndex" in finding.advice
    assert f"db.{SALES}.ensureIndex" in finding.advice


@pytest.mark.parametrize("name", ["two words", "a/b", "1a", "x;y"])
def test_a_name_that_no_collection_can_have_is_refused(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("ARANGO_PROFILE_COLLECTION", name)
    settings.forget()
    with pytest.raises(ConfigurationError, match="ARANGO_PROFILE_COLLECTION"):
        settings.collections()
