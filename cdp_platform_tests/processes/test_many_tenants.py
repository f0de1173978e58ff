"""Two hundred tenants under one daemon: that they change at once is a handful of runs, not one for each of them."""

import os
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import dagster as dg
import httpx2
import psutil
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.watch import TICK_BUDGET_SECONDS
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, new_checkout, wait_for
from cdp_sandbox.demo.model import CONVERSIONS, PROFILES, Document, conversion, stamp
from cdp_sandbox.processes import is_alive

pytestmark = pytest.mark.alone

TENANTS = [f"tenant-{number:03}" for number in range(200)]
CUSTOMERS = 3
MAX_RUNS = 10
SENSORS = ("arango_changes", "automation")

# Two sensor intervals of 15 s, the 30 s of the backfill daemon, the queue, and a run over all tenants; several times.
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Town:
    """A checkout with 200 tenants, an ArangoDB database for each, and a daemon that looks after them."""

    checkout: Checkout
    instance: dg.DagsterInstance

    def each(self, work: Callable[[httpx2.Client, str], None]) -> None:
        """Do something in every tenant's database at about the same time."""
        env = self.checkout.env
        with (
            httpx2.Client(
                base_url=env["ARANGO_HOST"], auth=(env["ARANGO_USER"], env["ARANGO_PASSWORD"]), timeout=60
            ) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            for done in [pool.submit(work, client, tenant) for tenant in TENANTS]:
                done.result()

    def how_many(self, query: LiteralString, *parameters: Any) -> int:
        """A count over the rows of all tenants, which only a superuser sees at once."""
        with self.checkout.superuser("warehouse") as connection:
            row = connection.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    def runs_since(self, moment: datetime) -> list[dg.DagsterRun]:
        """All that sensors asked for; a schedule may have its quarter of an hour at any moment."""
        runs = self.instance.get_runs(dg.RunsFilter(created_after=moment))
        return [run for run in runs if "dagster/schedule_name" not in run.tags]

    def ticks_since(self, sensor: str, moment: datetime) -> list[Any]:
        (state,) = [each for each in self.instance.all_instigator_state() if each.instigator_name == sensor]
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=moment.timestamp())
        return [tick for tick in ticks if tick.end_timestamp]

    def at_rest_since(self, moment: datetime) -> bool:
        """No run and no backfill is to come or under way, and both sensors have looked since the last run ended."""
        if self.instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES), limit=1):
            return False
        if self.instance.get_backfills(status=BulkActionStatus.REQUESTED, limit=1):
            return False
        ended = [record.end_time for record in self.instance.get_run_records(limit=1000) if record.end_time]
        last = max(moment, datetime.fromtimestamp(max(ended, default=0.0), UTC))
        known = {each.instigator_name for each in self.instance.all_instigator_state()}
        return known.issuperset(SENSORS) and all(self.ticks_since(name, last) for name in SENSORS)


def put(client: httpx2.Client, tenant: str, collection: str, documents: list[Document]) -> None:
    answer = client.post(f"/_db/{tenant}/_api/document/{collection}?overwriteMode=replace", json=documents)
    assert answer.raise_for_status().headers.get("X-Arango-Error-Codes") is None


def customer(number: int, moment: datetime) -> Document:
    return {"_key": f"c{number}", "status": 1, "type": 2, "updatedAt": stamp(moment)}


def purchase(number: int, moment: datetime) -> Document:
    return conversion(
        profile=f"c{number}",
        product="p1",
        metric="purchase",
        transaction=f"order-{number}-{stamp(moment)}",
        value=10.0,
        currency="USD",
        quantity=1,
        created=moment,
    )


def open_shop(client: httpx2.Client, tenant: str) -> None:
    """A tenant's database as LEO CDP makes it, with customers who bought something each."""
    client.post("/_api/database", json={"name": tenant}).raise_for_status()
    for collection, kind in ((PROFILES, 2), (CONVERSIONS, 3)):
        client.post(f"/_db/{tenant}/_api/collection", json={"name": collection, "type": kind}).raise_for_status()
        client.post(
            f"/_db/{tenant}/_api/index?collection={collection}",
            json={"type": "persistent", "fields": ["updatedAt", "_key"]},
        ).raise_for_status()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    put(client, tenant, PROFILES, [customer(number, yesterday) for number in range(CUSTOMERS)])
    put(client, tenant, CONVERSIONS, [purchase(number, yesterday) for number in range(CUSTOMERS)])


@contextmanager
def daemon(checkout: Checkout) -> Generator[None]:
    """The daemon as a deployment runs it; whatever it started ends with it."""
    with (checkout.home / "daemon.txt").open("wb") as output:
        process = psutil.Popen(
            [str(PROGRAMS / "dagster-daemon"), "run", "-w", "workspace.yaml"],
            cwd=checkout.root,
            env=checkout.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        assert process.poll() is None, (checkout.home / "daemon.txt").read_text()[-2000:]
    finally:
        family = process.children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        for left in family:
            if is_alive(left):
                left.kill()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    checkout = new_checkout(tmp_path_factory.mktemp("town"))
    try:
        assert checkout.cdp("sandbox", "start").code == 0
        assert checkout.cdp("migrate").code == 0
        with pytest.MonkeyPatch.context() as patch:
            for name, value in checkout.env.items():
                patch.setenv(name, value)
            instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
            warehouse = settings.PostgresSettings()
        with instance:
            made = Town(checkout, instance)
            made.each(open_shop)
            with connect(warehouse) as connection:
                for tenant in TENANTS:
                    tenants.add(connection, tenant, arango_database=tenant)
                partitions.keep_in_step(instance, tenants.registered(connection))
            with daemon(checkout):
                yield made
    finally:
        checkout.sandbox.reset()


def test_two_hundred_tenants_that_change_at_once_cost_at_most_ten_runs(town: Town):
    """The change is the first one that the daemon sees: every document of every tenant is new."""
    began = datetime.now(UTC)
    purchased = "SELECT count(*) FROM customers.customer_metrics WHERE last_purchase IS NOT NULL"
    wait_for(
        lambda: town.how_many(purchased) == len(TENANTS) * CUSTOMERS,
        PATIENCE_SECONDS,
        "the purchases in the metrics of all tenants",
    )
    through = datetime.now(UTC)
    # What comes late belongs to the same change.
    wait_for(lambda: town.at_rest_since(through), PATIENCE_SECONDS, "an end of the runs")
    runs = town.runs_since(began)
    # Without what a tick takes to store its events after it has looked.
    looks = [
        tick.end_timestamp - tick.timestamp
        for tick in town.ticks_since("arango_changes", began)
        if "No change" in (tick.skip_reason or "")
    ]
    print(  # noqa: T201
        f"\n{len(TENANTS)} tenants that changed at once: {len(runs)} runs, all through after "
        f"{(through - began).total_seconds():.0f} s; a look at all of their sources: {max(looks):.1f} s at most"
    )
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert 1 <= len(runs) <= MAX_RUNS
    assert max(looks) < TICK_BUDGET_SECONDS
