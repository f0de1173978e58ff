"""A feed is taken whole or not at all: whatever is wrong with one file, nothing changes and the round says why."""

import socket
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest

from cdp_platform.catalog import landing
from cdp_platform.catalog.errors import InvalidDocumentError, ProcessingError, UnreadableError
from cdp_platform.catalog.sources import open_source
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source, Validators
from cdp_platform.errors import BusyError
from cdp_platform.ops import locks
from cdp_platform_tests.catalog.conftest import (
    ORGANIZATION,
    Shop,
    group,
    ingestor_of,
    offer,
    organization,
    product,
    shard,
)
from cdp_platform_tests.catalog.hosts import host, response

EVERYTHING = ("organization", "brand", "category", "brand_category", "product_group", "product", "offer", "feed_state")

WHOLE = (shard(group(1), product(1)), shard(product(2)))
NEXT = (shard(group(1, name="New"), product(1, name="New")), shard(product(2, name="New")))


def everything(shop: Shop) -> list[Any]:
    return [shop.rows(f"SELECT t, xmin::text FROM catalog.{table} AS t ORDER BY 1") for table in EVERYTHING]


def missing(shop: Shop) -> None:
    (shop.folder / "feed/feed-001.json").unlink()


def truncated(shop: Shop) -> None:
    shop.write("feed/feed-001.json", NEXT[1][:-20])


def oversized(shop: Shop) -> None:
    shop.write("feed/feed-001.json", shard(product(2, description="x" * 6_000_000)))


def wrongly_typed(shop: Shop) -> None:
    shop.write("feed/feed-001.json", {"@type": "ProductFeedIndex", "shards": []})


def without_items(shop: Shop) -> None:
    shop.write("feed/feed-001.json", {"@type": "ItemList", "itemListElement": None})


def page_instead(shop: Shop) -> None:
    shop.write("feed/feed-001.json", b"<html>Please sign in</html>")


def remapped(shop: Shop) -> None:
    shop.write("feed/feed-001.json", {**orjson.loads(NEXT[1]), "@context": {"sku": "schema:name"}})


def too_few_shards(shop: Shop) -> None:
    shop.write_feed(*NEXT, totalShards=10)


def lists_itself(shop: Shop) -> None:
    shop.write("feed/index.json", {"shards": ["feed-000.json", "./index.json"]})


def lists_a_shard_twice(shop: Shop) -> None:
    shop.write("feed/index.json", {"shards": ["feed-000.json", "./feed-000.json"]})


def leads_outside(shop: Shop) -> None:
    shop.write("feed/index.json", {"shards": ["feed-000.json", "../../../etc/hostname"]})


def without_shards(shop: Shop) -> None:
    shop.write("feed/index.json", {"shards": []})


def of_somebody_else(shop: Shop) -> None:
    shop.write_feed(*NEXT, orgid="urn:cmp:org:other")


@pytest.mark.parametrize(
    ("harm", "error", "why"),
    [
        (missing, UnreadableError, "feed-001.json"),
        (truncated, InvalidDocumentError, "Shard 2 of 2 is not JSON"),
        (oversized, UnreadableError, "feed-001.json"),
        (wrongly_typed, InvalidDocumentError, "@type is not ItemList"),
        (without_items, InvalidDocumentError, "no list itemListElement"),
        (page_instead, InvalidDocumentError, "is not JSON"),
        (remapped, InvalidDocumentError, "context_remaps_terms"),
        (too_few_shards, InvalidDocumentError, "says that there are 10 shards and lists 2"),
        (lists_itself, InvalidDocumentError, "lists itself"),
        (lists_a_shard_twice, InvalidDocumentError, "lists a shard twice"),
        (leads_outside, UnreadableError, "leads out of the folder"),
        (without_shards, InvalidDocumentError, "lists no shard"),
        (of_somebody_else, InvalidDocumentError, "urn:cmp:org:other"),
    ],
)
def test_a_feed_that_is_not_whole_changes_nothing_and_says_why(
    shop: Shop, harm: Callable[[Shop], None], error: type[Exception], why: str
):
    shop.write_feed(*WHOLE)
    shop.take()
    before = everything(shop)
    shop.write_feed(*NEXT)
    harm(shop)
    with pytest.raises(error, match=why):
        shop.take()
    assert everything(shop) == before
    assert (shop.last().outcome, why in str(shop.last().reason)) == ("failed", True)
    shop.write_feed(*NEXT)
    assert shop.take().changed == 3


class _ChangingSource:
    """A source whose files change after so many reads."""

    def __init__(self, source: Source, change: Callable[[], None], after: int) -> None:
        self._source, self._change, self._after = source, change, after
        self.reads: list[str] = []

    def resolve(self, base: str, reference: str) -> str:
        return self._source.resolve(base, reference)

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        got = self._source.read(path, max_bytes=max_bytes, known=known)
        self.reads.append(path)
        if len(self.reads) == self._after:
            self._change()
        return got

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        return self._source.probe(path, known, max_bytes=max_bytes)


def test_a_feed_that_moves_while_it_is_read_changes_nothing(shop: Shop):
    shop.write_feed(*WHOLE)
    shop.take()
    before = everything(shop)
    shop.write_feed(*NEXT, lastUpdated="1")
    with open_source(shop.ingestor) as source:
        # After the index and the first shard.
        changing = _ChangingSource(source, lambda: shop.write_feed(*NEXT, lastUpdated="2"), after=2)
        with pytest.raises(UnreadableError, match="updated while it was read") as caught:
            landing.take_feeds(shop.connection, changing, shop.ingestor)
    assert caught.value.transient
    assert len(changing.reads) == 4
    assert everything(shop) == before


def test_a_registry_that_changes_while_the_feed_is_read_stops_the_round(shop: Shop, second_connection):
    shop.write_feed(*WHOLE)
    shop.take()
    shop.write_feed(*NEXT)

    def change() -> None:
        shop.write("registry.json", organization(brand=[]))
        shop.take_registry(second_connection)

    with open_source(shop.ingestor) as source:
        changing = _ChangingSource(source, change, after=3)
        with pytest.raises(BusyError, match="The registry changed"):
            landing.take_feeds(shop.connection, changing, shop.ingestor)
    assert shop.rows("SELECT DISTINCT name FROM catalog.product ORDER BY 1") == [("Product 1",), ("Product 2",)]


def test_a_feed_that_postgresql_refuses_changes_nothing_and_says_why(shop: Shop):
    shop.write_feed(*WHOLE)
    shop.take()
    before = everything(shop)
    with shop.warehouse.superuser() as connection:
        connection.execute("ALTER TABLE catalog.offer ADD CHECK (price < 1000)")
    shop.write_feed(NEXT[0], shard(product(2, offers=offer(1000))))
    with pytest.raises(ProcessingError, match="CheckViolation, 23514"):
        shop.take()
    assert everything(shop) == before
    assert "CheckViolation" in str(shop.last().reason)


def test_one_feed_that_fails_holds_up_no_other(shop: Shop):
    other = "urn:cmp:org:0-first"
    feed = {"cmp:productFeed": {"@type": "DataFeed", "url": "nowhere/index.json"}}
    shop.write("registry.json", [organization(other, brand=[], **feed), organization()])
    shop.write_feed(*WHOLE)
    shop.take_registry()
    with pytest.raises(UnreadableError):
        shop.take_feeds()
    assert len(shop.products()) == 2


def test_a_shard_that_is_redirected_to_a_private_address_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    # A public name and address, which lead to this machine as far as the network of the test is concerned.
    resolve, connect = socket.getaddrinfo, socket.create_connection
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 0))]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda name, *rest, **options: public if name == "shop.example.com" else resolve(name, *rest, **options),
    )
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *rest, **options: connect(
            ("127.0.0.1" if address[0] == "8.8.8.8" else address[0], address[1]), *rest, **options
        ),
    )
    with host() as web, host() as inside:
        ingestor = ingestor_of(shop.folder, source_type="http", root=f"http://shop.example.com:{web.port}")
        served = Shop(shop.connection, shop.warehouse, shop.folder, ingestor)
        web.answers |= {
            "/registry.json": response(200, orjson.dumps(organization())),
            "/feed/index.json": response(200, orjson.dumps({"shards": ["a.json", "b.json"]})),
            "/feed/a.json": response(200, WHOLE[0]),
            "/feed/b.json": response(200, WHOLE[1]),
        }
        served.take()
        before = everything(served)
        inside.answers["/b.json"] = response(200, NEXT[1])
        web.answers["/feed/a.json"] = response(200, NEXT[0])
        web.answers["/feed/b.json"] = response(302, location=f"http://127.0.0.1:{inside.port}/b.json")
        with pytest.raises(UnreadableError, match="no public address"):
            served.take()
        assert web.paths[-1] == "/feed/b.json"
        assert inside.requests == []
        assert everything(served) == before
        assert "no public address" in str(served.last().reason)


def test_over_http_a_missing_shard_changes_nothing_and_an_unchanged_feed_is_not_read_again(shop: Shop):
    with host() as web:
        ingestor = ingestor_of(shop.folder, source_type="http", root=web.url, allow_addresses=("127.0.0.1",))
        served = Shop(shop.connection, shop.warehouse, shop.folder, ingestor)
        index = orjson.dumps({"shards": [{"url": "a.json"}, {"url": "b.json"}], "orgid": ORGANIZATION})
        web.answers |= {
            "/registry.json": response(200, orjson.dumps(organization())),
            "/feed/index.json": response(200, index, etag='"1"'),
            "/feed/a.json": [response(200, WHOLE[0], etag='"1"'), response(304)],
            "/feed/b.json": [response(200, WHOLE[1], etag='"1"'), response(304)],
        }
        assert served.take().new == 3
        assert served.take().outcome == "unchanged"
        assert web.requests[-2][1]["if-none-match"] == '"1"'
        # One that changed brings the others along, which are read again for it.
        web.answers["/feed/a.json"] = [response(304), response(200, WHOLE[0], etag='"1"')]
        web.answers["/feed/b.json"] = response(200, NEXT[1], etag='"2"')
        found = served.take()
        assert (found.changed, found.unchanged) == (1, 2)
        before = everything(served)
        web.answers["/feed/a.json"] = response(404)
        with pytest.raises(UnreadableError):
            served.take()
        assert everything(served) == before


def test_items_beyond_the_limit_stop_the_round(shop: Shop):
    shop.write_feed(*WHOLE)
    shop.take_registry()
    few = ingestor_of(shop.folder, limits={"max_items": 2})
    with open_source(few) as source, pytest.raises(InvalidDocumentError, match="more than 2 items"):
        landing.take_feeds(shop.connection, source, few)
    few = ingestor_of(shop.folder, limits={"max_shards": 1})
    with open_source(few) as source, pytest.raises(InvalidDocumentError, match="2 shards"):
        landing.take_feeds(shop.connection, source, few)
    assert shop.products() == []


def test_two_rounds_of_an_organization_do_not_run_at_once(
    shop: Shop, second_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "FEED_WAIT_SECONDS", 0.1)
    shop.write_feed(*WHOLE)
    shop.take_registry()
    with locks.held(second_connection, locks.feed("acme", ORGANIZATION)), pytest.raises(BusyError):
        shop.take_feeds()
    assert shop.products() == []


def test_what_no_database_can_hold_is_rejected_and_the_rest_land(shop: Shop):
    content = shard(
        product(1, description="NUL"),
        product(2, description="HALF"),
        product(3, extra="DEEP"),
        product(4, weight="BIG"),
        product(5, offers={"price": "HUGE", "priceCurrency": "USD"}),
        product(6),
        "text",
        None,
        product(7, sku="x" * 3000),
        product(8, description="x" * 500_000),
    )
    for mark, literal in {
        b'"NUL"': b'"a\\u0000b"',
        b'"HALF"': b'"\\ud800"',
        b'"DEEP"': b"[" * 10_000 + b"]" * 10_000,
        b'"BIG"': b"1e999999",
        b'"HUGE"': b"1e309",
    }.items():
        content = content.replace(mark, literal)
    shop.write_feed(content)
    found = shop.take()
    assert shop.products() == ["urn:cmp:sku:6", "urn:cmp:sku:8"]
    assert found.rejected_by_code == {
        "not_an_item": 2,
        "lone_surrogate": 1,
        "nested_too_deep": 1,
        "nul_character": 1,
        "number_out_of_range": 1,
        "price_out_of_range": 1,
        "text_too_long": 1,
    }
    assert len(shop.rejected()) == found.rejected == 8
    assert found.items == 10
