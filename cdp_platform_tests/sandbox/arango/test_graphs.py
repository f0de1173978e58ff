"""Named graphs: their definitions."""

import httpx2
import pytest
from arango.exceptions import GraphCreateError

from cdp_platform_tests.sandbox_process import Database, SandboxProcess

LIKES = {"edge_collection": "likes", "from_vertex_collections": ["people"], "to_vertex_collections": ["products"]}


def test_a_graph_makes_its_collections_and_is_listed_until_it_is_deleted(db: Database) -> None:
    graph = db.create_graph("shop", edge_definitions=[LIKES], orphan_collections=["places"])
    assert [one["name"] for one in db.graphs()] == ["shop"]
    assert graph.properties()["edge_definitions"] == [LIKES]
    assert graph.vertex_collections() == ["people", "places", "products"]
    assert [db.collection(name).properties()["edge"] for name in ("likes", "people")] == [True, False]
    assert db.delete_graph("shop")
    assert (db.has_graph("shop"), db.has_collection("people")) == (False, True)


def test_a_deleted_graph_takes_only_collections_that_no_other_graph_has(db: Database) -> None:
    db.create_graph("shop", edge_definitions=[LIKES])
    db.create_graph("people", orphan_collections=["people"])
    assert db.delete_graph("shop", drop_collections=True)
    assert [db.has_collection(name) for name in ("people", "likes", "products")] == [True, False, False]


def test_a_graph_grows_and_shrinks(db: Database) -> None:
    graph = db.create_graph("shop")
    graph.create_vertex_collection("people")
    graph.create_edge_definition("likes", ["people"], ["products"])
    assert graph.properties()["orphan_collections"] == []
    assert graph.edge_definitions() == [LIKES]
    assert graph.delete_edge_definition("likes")
    assert graph.vertex_collections() == ["people", "products"]
    assert graph.delete_vertex_collection("products")
    assert graph.vertex_collections() == ["people"]


def test_a_graph_that_makes_no_sense_is_refused_and_makes_no_collection(db: Database) -> None:
    db.create_collection("likes")
    with pytest.raises(GraphCreateError) as error:
        db.create_graph("shop", edge_definitions=[LIKES])
    assert error.value.error_code == 1944
    assert (db.has_graph("shop"), db.has_collection("people")) == (False, False)
    db.create_graph("shop")
    with pytest.raises(GraphCreateError) as error:
        db.create_graph("shop")
    assert error.value.error_code == 1925


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/_api/gharial/nobody", None, (404, 1924)),
        ("POST", "/_api/gharial", {"name": ""}, (400, 1922)),
        ("POST", "/_api/gharial", {"name": "g", "edgeDefinitions": [{"collection": "e", "from": []}]}, (400, 1923)),
        ("POST", "/_api/gharial", {"name": "g", "isSmart": True}, (501, 9)),
        ("POST", "/_api/gharial/shop/vertex/people", {}, (501, 9)),
        ("DELETE", "/_api/gharial/shop/vertex/nobody", None, (404, 1926)),
        ("DELETE", "/_api/gharial/shop/edge/nobody", None, (404, 1930)),
    ],
)
def test_a_wrong_request_about_a_graph_is_refused(  # noqa: PLR0917 - fixtures and parameters
    db: Database, http: httpx2.Client, method: str, path: str, body: object, expected: tuple[int, int]
) -> None:
    db.create_graph("shop", orphan_collections=["people"])
    answer = http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["errorNum"]) == expected


def test_a_graph_survives_a_restart(sandbox: SandboxProcess, new_sandbox) -> None:
    process = new_sandbox()
    name = process.new_database().name
    process.arango(name).create_graph("shop", edge_definitions=[LIKES])
    process.end()
    process.start()
    assert process.arango(name).graph("shop").edge_definitions() == [LIKES]
