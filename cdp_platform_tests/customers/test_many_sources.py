"""The sensor `arango_changes` over thousands of tenants, against a server that takes 20 ms for each answer."""

import asyncio
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection

import dagster as dg
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.customers.defs import sensors
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.run_limits import MAX_RUNS
from cdp_platform.warehouse.connection import tenant_transaction

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
    pytest.mark.alone,
]

LATENCY_SECONDS = 0.02
# Longest time between two ticks.
INTERVAL_SECONDS = 15.0


def answer() -> bytes:
    """The answer to a look at a collection: it has seven documents."""
    found = {"count": 7, "greatest": [None, "2026-01-01T00:00:00.000Z"], "now": time.time() * 1000}
    page = json.dumps({"result": [found], "hasMore": False, "error": False, "code": 201}).encode()
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(page)}\r\n\r\n"
    return head.encode() + page


def serve(port_told: Connection) -> None:
    """Answer every request of every connection after `LATENCY_SECONDS`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                await asyncio.sleep(LATENCY_SECONDS)
                writer.write(answer())
                await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port_told.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    asyncio.run(run())


@pytest.fixture
def slow_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    monkeypatch.setenv("ARANGO_HOST", f"http://127.0.0.1:{here.recv()}")
    monkeypatch.setenv("ARANGO_PASSWORD", "any")
    settings.forget()
    yield
    process.kill()
    process.join()


@pytest.fixture
def town(app: psycopg.Connection, instance: dg.DagsterInstance) -> Callable[[int], None]:
    def make(number: int) -> None:
        names = [f"t{each:04}" for each in range(number)]
        for name in names:
            with tenant_transaction(app, name):
                app.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES (%s, %s, %s)", [name] * 3)
        instance.add_dynamic_partitions("tenant", names)
        assert len(tenants.registered(app)) == len(partitions.known(instance)) == number

    return make


@pytest.mark.usefixtures("slow_server")
@pytest.mark.parametrize(("number", "limit_seconds"), [(1_000, 60), (5_000, 300)])
def test_every_tenant_is_looked_at_in_time_and_the_cursor_stays_small(
    app: psycopg.Connection,
    instance: dg.DagsterInstance,
    town: Callable[[int], None],
    number: int,
    limit_seconds: float,
):
    town(number)
    cursor: str | None = None
    resources = {name: (build_definitions().resources or {})[name] for name in ("warehouse", "arango")}
    seen: set[str] = set()
    seconds = cpu = 0.0
    ticks = 0
    while len(seen) < number:
        ticks += 1
        assert ticks < 20
        began, worked = time.monotonic(), time.process_time()
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            result = sensors.arango_changes(context)
        assert isinstance(result, dg.SensorResult)
        seconds, cpu = seconds + time.monotonic() - began, max(cpu, time.process_time() - worked)
        assert len(result.run_requests or []) <= MAX_RUNS
        cursor = result.cursor
        assert len(cursor or "") < 2_000
        seen |= {event.partition or "" for event in result.asset_events}
    looked = app.execute("SELECT count(*) FROM ops.source_looks('arango_changes') WHERE looked_at IS NOT NULL")
    assert looked.fetchone() == (number,)
    whole = seconds + (ticks - 1) * INTERVAL_SECONDS
    print(  # noqa: T201
        f"\n{number} tenants at {LATENCY_SECONDS * 1000:.0f} ms: {ticks} ticks, {whole:.0f} s with the pauses between "
        f"them, {cpu:.1f} s of CPU in a tick at most, a cursor of {len(cursor or '')} bytes"
    )
    assert whole < limit_seconds
