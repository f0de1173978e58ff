"""Phone numbers over HTTP: taken at the secret address of their call, and nobody learns which addresses there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest

from cdp_platform.web import phones
from cdp_platform.web.database import Database
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.conftest import new_room, room
from cdp_platform_tests.enrichment.room import Room
from cdp_platform_tests.enrichment.test_phones import MOBILE, NUMBERS, run
from cdp_platform_tests.web.conftest import serving

__all__ = ["new_room", "room"]


@dataclass
class Delivery:
    """The delivery of a call, and the web app that it goes to."""

    client: httpx2.Client
    room: Room
    path: str
    body: bytes

    def post(self, path: str | None = None, body: bytes | None = None) -> httpx2.Response:
        return self.client.post(path or self.path, content=self.body if body is None else body)

    def numbers(self) -> list[tuple]:
        return self.room.rows(NUMBERS)


@pytest.fixture
def delivery(room: Room, warehouse: Warehouse) -> Iterator[Delivery]:
    """A call whose phones nobody but the test delivers."""
    room.apollo.set(deliveries=0, delivery_seconds=0)
    room.search([MOBILE], phones=True)
    run(room)
    (posted,) = room.apollo.deliveries()
    database = Database(warehouse.settings)
    with serving(database, *phones.routes(database)) as client:
        yield Delivery(client, room, urlsplit(posted["url"]).path, orjson.dumps(posted["body"], default=float))


def test_a_delivery_to_the_address_of_its_call_is_taken_once(delivery: Delivery):
    answers = [delivery.post() for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [
        (200, {"outcome": "taken"}),
        (200, {"outcome": "known"}),
    ]
    assert [address for address, _ in delivery.numbers()] == [MOBILE]


def test_every_other_address_is_answered_alike_and_changes_nothing(delivery: Delivery):
    _, page, tenant_id, call_id, secret = delivery.path.split("/")
    paths = [
        f"/{page}/other/{call_id}/{secret}",
        f"/{page}/%00/{call_id}/{secret}",
        f"/{page}/{tenant_id}/{'0' * 8}-0000-4000-8000-{'0' * 12}/{secret}",
        f"/{page}/{tenant_id}/{call_id}/{secret[:-2]}",
        f"/{page}/{tenant_id}/{call_id}/%00%ff",
    ]
    assert {(each.status_code, each.text) for each in map(delivery.post, paths)} == {
        (404, '{"error":"There is no such address."}')
    }
    for path in (f"/{page}/{tenant_id}/7/{secret}", f"/{page}/{tenant_id}/{call_id}", f"/{page}"):
        answer = delivery.post(path)
        assert (answer.status_code, set(answer.json())) == (404, {"error"})
    assert delivery.client.get(delivery.path).status_code == 405
    assert delivery.numbers() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"<html>", 400),
        (b'{"people": 7}', 400),
        (b"[" * 100_000, 400),
        (b" " * (phones.MOST_BYTES + 1), 413),
    ],
    ids=["nothing", "html", "no list", "deep", "large"],
)
def test_a_body_that_is_no_delivery_is_refused_and_the_right_one_still_taken(
    delivery: Delivery, body: bytes, status: int
):
    answer = delivery.post(body=body)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert delivery.post().json() == {"outcome": "taken"}


def test_while_the_warehouse_is_busy_the_provider_is_asked_to_come_again(
    delivery: Delivery, warehouse: Warehouse, monkeypatch
):
    monkeypatch.setattr("cdp_platform.web.database._LOCK_SECONDS", 1)
    with warehouse.superuser() as superuser:
        superuser.execute("BEGIN; LOCK TABLE enrichment.provider_call IN ACCESS EXCLUSIVE MODE")
        answer = delivery.post()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        superuser.execute("ROLLBACK")
    assert delivery.post().json() == {"outcome": "taken"}


def test_nothing_of_a_delivery_is_logged(delivery: Delivery, caplog):
    caplog.set_level("DEBUG")
    delivery.post(delivery.path[:-1])
    delivery.post()
    ((_, number),) = delivery.numbers()
    secret = delivery.path.rpartition("/")[2]
    # The client of the test logs what it asks for.
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("cdp_platform")]
    assert sum('"page": "/phones"' in line for line in logged) == 2
    assert [value for value in (secret, number, MOBILE) if value in str(logged)] == []
