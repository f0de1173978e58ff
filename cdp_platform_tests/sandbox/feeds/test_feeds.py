"""The shops' web server, and that what it serves is what the protocol's documents look like."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.feeds import PATH, REGISTRY
from cdp_sandbox.feeds.documents import counts, feeds
from cdp_sandbox.processes import port_is_free

SHARD = "saigon/feed-000.json"


@pytest.fixture
def shops(sandbox: SandboxProcess) -> Iterator[httpx2.Client]:
    sandbox.clear()
    with httpx2.Client(base_url=f"{sandbox.url}{PATH}") as client:
        client.delete("/_generation").raise_for_status()
        yield client
        client.delete("/_generation").raise_for_status()
    sandbox.clear()


def get(client: httpx2.Client, path: str, **headers: str) -> httpx2.Response:
    return client.get(f"/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_generation_is_the_same_on_every_machine() -> None:
    assert feeds(3) == feeds(3)
    # A change of this figure is a change of the demo.
    assert counts(1) == {
        "saigon": {"groups": 85, "products": 1268},
        "harbour": {"groups": 66, "products": 1570},
    }


def test_every_item_has_a_urn_and_a_sku_of_its_own() -> None:
    import orjson

    urns, skus = [], []
    for path, content in feeds(4).items():
        for element in orjson.loads(content).get("itemListElement", []):
            for item in (element["item"], *element["item"].get("hasVariant", [])):
                urns.append(item["@id"])
                skus += [(path.partition("/")[0], item["sku"])] if "sku" in item else []
    assert len(urns) == len(set(urns))
    assert len(skus) == len(set(skus)) > 2500


def test_conditions_are_answered(shops: httpx2.Client) -> None:
    first = get(shops, SHARD)
    assert first.status_code == 200
    etag, date = first.headers["etag"], first.headers["last-modified"]
    assert get(shops, SHARD, if_none_match=etag).status_code == 304
    assert get(shops, SHARD, if_none_match=f'"x", W/{etag}').status_code == 304
    assert get(shops, SHARD, if_modified_since=date).status_code == 304
    # A tag goes before a date.
    assert get(shops, SHARD, if_none_match='"x"', if_modified_since=date).status_code == 200
    shops.post("/_generation")
    assert get(shops, SHARD, if_none_match=etag).status_code == 200
    assert get(shops, SHARD, if_modified_since=date).status_code == 200
    assert get(shops, SHARD).headers["etag"] != etag


def test_documents_are_packed_for_whom_it_suits(shops: httpx2.Client) -> None:
    packed, plain = get(shops, SHARD, accept_encoding="gzip"), get(shops, SHARD, accept_encoding="identity")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert len(gzip.compress(plain.content, 1)) < len(plain.content) / 5


def test_the_registry_names_the_feeds_by_their_whole_addresses(shops: httpx2.Client) -> None:
    for entry in get(shops, REGISTRY).json():
        assert httpx2.get(entry["cmp:productFeed"]["url"]).json()["@type"] == "ProductFeedIndex"
    assert get(shops, "saigon/feed-003.json").status_code == 404


def test_the_generation_is_kept_over_a_restart(tmp_path: Path) -> None:
    port = next(port for port in range(18_529, 18_629) if port_is_free(port))
    process = SandboxProcess(tmp_path / "state", port)
    process.start()
    try:
        address = f"{process.url}{PATH}/_generation"
        assert httpx2.post(address).json()["generation"] == 2
        process.end()
        process.start()
        assert httpx2.get(address).json() == {"generation": 2, "published": counts(2)}
        assert httpx2.delete(address).json()["generation"] == 1
    finally:
        process.end()


@pytest.mark.parametrize("how", ["cut", "oversized", "wrong_type", "moved", "bomb"])
def test_answers_can_be_spoiled(shops: httpx2.Client, sandbox: SandboxProcess, how: str) -> None:
    import orjson

    path = "saigon/feed-index.json" if how == "moved" else SHARD
    right = get(shops, path).content
    sandbox.spoil({"match": {"path_regex": path}, "action": "distort", "how": how})
    spoiled = get(shops, path)
    assert sandbox.fired() == [1]
    assert "etag" not in spoiled.headers
    document: Any = orjson.loads(spoiled.content) if how in {"wrong_type", "moved"} else None
    match how:
        case "cut":
            assert spoiled.content == right[: len(right) // 2]
        case "oversized":
            assert len(spoiled.content) > 5 * 1024 * 1024
        case "bomb":
            assert int(spoiled.headers["content-length"]) < 1_000_000
            assert len(spoiled.content) > 128 * 1024 * 1024
        case "wrong_type":
            assert document["@type"] == "Thing"
        case "moved":
            assert document["lastUpdated"] != orjson.loads(right)["lastUpdated"]
    assert get(shops, path).content == right
