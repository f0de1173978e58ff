"""`GET /metrics`: who may ask, how often it is read, and what it answers while PostgreSQL is away."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from cdp_platform.health import metrics as health_metrics
from cdp_platform.ops import tenants
from cdp_platform.settings import MetricsSettings
from cdp_platform.web import metrics
from cdp_platform.web.database import Database
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.web.conftest import serving

TOKEN = "t" * 32


@pytest.fixture
def client(warehouse: Warehouse) -> Iterator[httpx2.Client]:
    """The app without a token and without a proxy."""
    database = Database(warehouse.settings)
    with serving(database, *metrics.routes(database, MetricsSettings(), None, has_proxy=False)) as made:
        yield made


def test_this_machine_may_ask_without_a_token(client: httpx2.Client):
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'cdp_up{database="warehouse"} 1.0' in answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_without_a_token_nobody_may_ask_through_a_proxy(client: httpx2.Client, header: str):
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401


def test_without_a_token_nobody_may_ask_where_a_proxy_hides_who_asks(warehouse: Warehouse):
    database = Database(warehouse.settings)
    with serving(database, *metrics.routes(database, MetricsSettings(), None, has_proxy=True)) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 401
    assert "CDP_METRICS_TOKEN" in answer.text


def test_with_a_token_everybody_gives_it(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CDP_METRICS_TOKEN", TOKEN)
    database = Database(warehouse.settings)
    with serving(database, *metrics.routes(database, MetricsSettings(), None, has_proxy=True)) as client:
        statuses = [
            client.get("/metrics", headers=headers).status_code
            for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"Bearer {TOKEN}x"})
        ]
        odd = client.get("/metrics", headers=[(b"Authorization", "Bearer \u00e4".encode("latin-1"))])
    assert statuses == [401, 200, 401]
    assert odd.status_code == 401


def test_an_answer_is_kept_for_a_while(client: httpx2.Client, app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    assert "cdp_tenants 0.0" in client.get("/metrics").text
    tenants.add(app, "acme", arango_database="acme")
    assert "cdp_tenants 0.0" in client.get("/metrics").text
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    assert "cdp_tenants 1.0" in client.get("/metrics").text


def test_while_postgresql_is_away_the_answer_is_503_at_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    # Nobody listens on this port.
    database = Database(warehouse.settings.model_copy(update={"db_port": 1}))
    with serving(database, *metrics.routes(database, MetricsSettings(), None, has_proxy=False)) as client:
        began = time.monotonic()
        answer = client.get("/metrics")
        assert time.monotonic() - began < 2
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")


def test_a_warehouse_that_hangs_is_not_waited_for(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch):
    rendered = health_metrics.render
    readings: list[int] = []

    def slow(*arguments: Any, **names: Any) -> bytes:
        readings.append(1)
        time.sleep(1)
        return rendered(*arguments, **names)

    monkeypatch.setattr(metrics, "_WAIT_SECONDS", 0.2)
    monkeypatch.setattr("cdp_platform.web.database.Database._on", _slowed(slow))
    began = time.monotonic()
    assert client.get("/metrics").status_code == 503
    assert client.get("/metrics").status_code == 503
    assert time.monotonic() - began < 0.9
    monkeypatch.setattr(metrics, "_WAIT_SECONDS", 5.0)
    assert client.get("/metrics").status_code == 200
    assert len(readings) == 1, "whoever asks meanwhile waits for the same reading"
    monkeypatch.setattr(metrics, "_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0)
    assert client.get("/metrics").status_code == 200, "the last answer, while the next reading goes on"


def _slowed(slow: Any) -> Any:
    original = Database._on

    def on(self: Database, connection: Any, stack: Any, _work: Any) -> Any:
        return original(self, connection, stack, lambda c: slow(c, None, most_tenants=1))

    return on
