from typing import Any

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import Database


@pytest.fixture
def people(db: Database) -> Any:
    return db.create_collection("people")


def _counts(answer: httpx2.Response) -> list[int]:
    assert answer.status_code == 201, answer.text
    return [answer.json()[name] for name in ("created", "errors", "empty", "updated", "ignored")]


@pytest.mark.parametrize(
    ("kind", "body", "counts"),
    [
        ("type=documents&", '{"_key": "a"}\n\n{"_key": "b"}\n', [2, 0, 1, 0, 0]),
        ("type=auto&", '{"_key": "a"}\nbroken\n', [1, 1, 0, 0, 0]),
        ("type=auto&", ' [{"_key": "a"}, 7]', [1, 1, 0, 0, 0]),
        ("type=list&", '[{"_key": "a"}, {"_key": "b"}]', [2, 0, 0, 0, 0]),
        ("type=array&", "[]", [0, 0, 0, 0, 0]),
        ("", '["_key", "n"]\n["a", 1]\n["b", null]\n["c"]\n\n{}', [2, 2, 1, 0, 0]),
    ],
)
def test_each_form_of_an_import_is_read(
    http: httpx2.Client, people: Any, kind: str, body: str, counts: list[int]
) -> None:
    assert _counts(http.post(f"/_api/import?{kind}collection=people", content=body)) == counts
    assert people.count() == counts[0]


@pytest.mark.parametrize(
    ("mode", "counts", "stored"),
    [
        ("error", [1, 1, 0, 0, 0], {"a": 1}),
        ("update", [1, 0, 0, 1, 0], {"a": 1, "b": 2}),
        ("replace", [1, 0, 0, 1, 0], {"b": 2}),
        ("ignore", [1, 0, 0, 0, 1], {"a": 1}),
    ],
)
def test_a_key_that_is_there_is_treated_as_on_duplicate_says(
    http: httpx2.Client, people: Any, mode: str, counts: list[int], stored: dict[str, int]
) -> None:
    people.insert({"_key": "k", "a": 1})
    body = [{"_key": "k", "b": 2}, {"_key": "new"}]
    assert _counts(http.post(f"/_api/import?type=list&collection=people&onDuplicate={mode}", json=body)) == counts
    assert {name: value for name, value in people.get("k").items() if not name.startswith("_")} == stored


@pytest.mark.parametrize("bad", [{"_key": "b"}, {"_key": "not a key"}, 7])
def test_a_complete_import_stores_all_or_nothing(http: httpx2.Client, people: Any, bad: Any) -> None:
    people.insert({"_key": "b", "kept": True})
    answer = http.post(
        "/_api/import?type=list&collection=people&complete=true&overwrite=false",
        json=[{"_key": "a"}, bad, {"_key": "c"}],
    )
    assert answer.status_code in {400, 409}
    assert answer.json()["error"] is True
    assert [one["_key"] for one in people.get_many(["a", "b", "c"])] == ["b"]
    overwriting = http.post("/_api/import?type=list&collection=people&complete=true&overwrite=true", json=[{}, 7])
    assert overwriting.status_code == 400
    assert people.get("b")["kept"] is True


def test_an_overwriting_import_leaves_only_its_own_documents(http: httpx2.Client, people: Any) -> None:
    people.insert({"_key": "old"})
    _counts(http.post("/_api/import?type=list&collection=people&overwrite=true", json=[{"_key": "new"}]))
    assert (people.count(), "new" in people) == (1, True)


def test_the_ends_of_imported_edges_get_their_prefixes(db: Database, http: httpx2.Client) -> None:
    links = db.create_collection("links", edge=True)
    body = [{"_key": "a", "_from": "1", "_to": "2"}, {"_key": "b", "_from": "x/1", "_to": "2"}, {"_from": "x/1"}]
    answer = http.post("/_api/import?type=list&collection=links&fromPrefix=p&toPrefix=q/&details=true", json=body)
    assert _counts(answer) == [2, 1, 0, 0, 0]
    assert [(edge["_from"], edge["_to"]) for edge in links.get_many(["a", "b"])] == [("p/1", "q/2"), ("x/1", "q/2")]
    assert "missing '_from' or '_to' attribute" in answer.json()["details"][0]


def test_python_arango_imports_in_batches(people: Any) -> None:
    told = people.import_bulk([{"n": number} for number in range(25)], batch_size=10)
    assert [one["created"] for one in told] == [10, 10, 5]


def test_an_import_into_nowhere_is_refused(http: httpx2.Client) -> None:
    assert http.post("/_api/import?type=list", json=[]).status_code == 400
    assert http.post("/_api/import?type=list&collection=nowhere", json=[]).json()["errorNum"] == 1203
