"""An erasure beside other work of the same tenant: both end, and nothing of the person is left, whenever they meet."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.customers import landing, metrics
from cdp_platform.customers import sync as sync_module
from cdp_platform.embeddings import models, settlement
from cdp_platform.embeddings.providers import opener
from cdp_platform.embeddings.worker import drain
from cdp_platform.ops import locks
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.customers.planted import found
from cdp_platform_tests.leo import Leo

pytestmark = pytest.mark.usefixtures("small_batches")

LIMIT_SECONDS = 30


@dataclass
class Work:
    """Something that runs in a thread, on connections of its own."""

    do: Callable[[], Any]
    error: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.do()
        except BaseException as error:
            self.error = error

    @property
    def is_done(self) -> bool:
        return not self.thread.is_alive()

    def ends(self) -> None:
        self.thread.join(LIMIT_SECONDS)
        assert self.is_done, f"not within {LIMIT_SECONDS} s"
        if self.error is not None:
            raise self.error


def waiting_for_the_erasure_lock(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert row
    return row[0]


def somebody_waits_for_a_lock(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return bool(row and row[0])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s"
        time.sleep(0.005)


def test_an_erasure_during_a_full_read_by_two_workers_ends(
    leo: Leo, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    """The erasure waits for one worker's transaction, and the other's waits for the erasure."""
    monkeypatch.setattr(sync_module, "_WORTH_A_SECOND", 1)
    for number in range(14):
        leo.profile(f"p{number:02}", number + 1, firstName=f"secret{number:02}x")
    land = landing.land
    erasures: list[Work] = []

    def slow(*arguments: Any, then: Callable[..., Any]) -> Any:
        def erases(landed: Any) -> None:
            # The first worker has written its batch and not committed it.
            if not erasures:
                erasures.append(Work(lambda: leo.erase("p05")))
                with connect(settings.postgres()) as watching:
                    until(lambda: waiting_for_the_erasure_lock(watching) == 2)
            then(landed)

        return land(*arguments, then=erases)

    monkeypatch.setattr(landing, "land", slow)

    def read() -> None:
        with connect(settings.postgres()) as connection:
            replace(leo, connection=connection).sync(full=True, second_process=True)

    reading = Work(read)
    reading.ends()
    (erasure,) = erasures
    erasure.ends()
    assert leo.keys() == {f"p{number:02}" for number in range(14)} - {"p05"}
    assert found(warehouse, ["secret05x"]) == set()


def fill(leo: Leo) -> None:
    """Nam, three of whose profiles the CDP has merged in a row, and somebody else; all of them bought something."""
    leo.profile("nam", 1, firstName="namsecret", primaryEmail="namsecret@example.com")
    leo.profile("alias", 2, firstName="namsecret", rootProfileId="nam", inSegments=[{"id": "s1", "name": "S1"}])
    leo.profile("broken", 3, firstName="namsecret", rootProfileId="alias", inSegments={"id": "x"})
    leo.profile("mai", 4, firstName="maisecret")
    for number, profile in enumerate(["nam", "alias", "broken", "mai"], 1):
        leo.purchase(f"e-{profile}", profile, number, eventMetricId="maisecret" if profile == "mai" else "namsecret")
    leo.purchase("e-broken", "alias", 5, transactionValue="namsecret")


def everything(leo: Leo, **options: Any) -> None:
    leo.sync("profiles", **options)
    leo.sync("transactions", **options)
    metrics.refresh(leo.connection, leo.tenant.tenant_id)


def erase_after(number: int, leo: Leo, monkeypatch: pytest.MonkeyPatch) -> bool | None:
    """Run a sync, and erase Nam after so many of its exchanges with PostgreSQL; then the sync goes on.

    Returns:
        Whether the erasure had to wait for the sync; None if the sync ended before.
    """
    wait, exchanges = psycopg.Connection.wait, itertools.count(1)
    erasures: list[Work] = []
    waited = False
    with connect(settings.postgres()) as syncing, connect(settings.postgres()) as watching:

        def counted(self: psycopg.Connection, *args: Any, **options: Any) -> Any:
            nonlocal waited
            result = wait(self, *args, **options)
            if self is syncing and next(exchanges) == number:
                erasures.append(Work(lambda: leo.erase("nam")))
                until(lambda: erasures[0].is_done or waiting_for_the_erasure_lock(watching))
                waited = not erasures[0].is_done
            return result

        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "wait", counted)
            Work(lambda: everything(replace(leo, connection=syncing))).ends()
        if not erasures:
            return None
        erasures[0].ends()
    return waited


def test_an_erasure_at_any_moment_of_a_sync_leaves_nothing(
    leo: Leo, new_leo: Callable[..., Leo], warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    """After every third exchange of the sync with PostgreSQL, in a deep run after each; some wait for a batch."""
    fill(leo)
    waited = []
    deep = hypothesis.settings.get_current_profile_name() == "deep"
    for number in itertools.count(1, 1 if deep else 3):
        copy = new_leo(f"t{number}", database=leo.tenant.arango_database)
        outcome = erase_after(number, copy, monkeypatch)
        if outcome is None:
            break
        waited.append(outcome)
        everything(copy)
        query = "SELECT document_key FROM ops.erased_document WHERE source = 'cdp_profile' ORDER BY 1"
        assert copy.rows(query) == [("alias",), ("broken",), ("nam",)], number
        assert found(warehouse, ["namsecret"]) == set(), number
        assert (copy.keys(), copy.keys("transactions")) == ({"mai"}, {"e-mai"}), number
    assert len(waited) > 10
    assert set(waited) == {True, False}


def test_a_purchase_that_is_being_written_while_its_buyer_is_merged_with_an_erased_person_goes_too(
    leo: Leo, warehouse: Warehouse
):
    leo.profile("nam", 1)
    leo.profile("alias", 1, firstName="aliassecret")
    leo.sync()
    leo.erase("nam")
    leo.profile("alias", 5, firstName="aliassecret", rootProfileId="nam")
    leo.purchase("e1", "alias", eventMetricId="aliassecret")

    def merge() -> None:
        with connect(settings.postgres()) as connection:
            merging = replace(leo, connection=connection).sync()
            assert (merging.erased, merging.erased_by_merge) == (2, 1)

    with connect(settings.postgres()) as writer, leo.reading("transactions") as (source, mapper):
        documents = source.documents("cdp_profile2conversion", ["e1"])
        with tenant_transaction(writer, "acme"):
            assert landing.land(writer, leo.tenant, mapper, documents).new == 1
            merging = Work(merge)
            until(lambda: waiting_for_the_erasure_lock(leo.connection))
    merging.ends()
    assert leo.keys("transactions") == set()
    assert found(warehouse, ["aliassecret"]) == set()


def test_a_refresh_of_metrics_and_an_erasure_wait_for_each_other(leo: Leo):
    fill(leo)
    everything(leo)
    with connect(settings.postgres()) as computing:
        with tenant_transaction(computing, "acme"):
            metrics.refresh(computing, "acme", full=True)
            erasing = Work(lambda: leo.erase("nam"))
            until(lambda: waiting_for_the_erasure_lock(leo.connection))
        erasing.ends()
    assert leo.rows("SELECT DISTINCT profile_id FROM customers.customer_metrics") == [("mai",)]


def test_a_worker_that_writes_vectors_and_an_erasure_wait_for_each_other(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    """While the worker holds rows, an erasure that wanted them would stop both for ever."""
    leo.profile("nam", contentKeywords=["sailing"])
    leo.profile("mai", contentKeywords=["skiing"])
    leo.sync()
    open_provider = opener(settings.embeddings())
    models.ensure_default(leo.connection, settings.embeddings(), open_provider)
    lock = settlement._lock
    erasures: list[Work] = []

    def meet(*given: Any, **options: Any) -> Any:
        locked = lock(*given, **options)
        if not erasures:
            with connect(settings.postgres()) as watching:
                erasures.append(Work(lambda: leo.erase("nam")))
                until(lambda: erasures[0].is_done or somebody_waits_for_a_lock(watching))
        return locked

    monkeypatch.setattr(settlement, "_lock", meet)
    results = drain(
        lambda: connect(settings.postgres()), ["acme"], "profile", open_provider=open_provider, batch_size=64
    )
    (erasure,) = erasures
    erasure.ends()
    assert (results["acme"].error, results["acme"].embedded) == (None, 2)
    assert leo.rows("SELECT entity_id FROM embeddings.embedding") == [("mai",)]


def test_an_export_of_worksheets_and_an_erasure_wait_for_each_other(leo: Leo):
    """An export takes the lock by its name, everybody else by its number."""
    leo.profile("nam")
    leo.sync()
    with connect(settings.postgres()) as exporting:
        with locks.held(exporting, locks.erasure("acme")):
            erasing = Work(lambda: leo.erase("nam"))
            until(lambda: waiting_for_the_erasure_lock(leo.connection))
        erasing.ends()
    assert leo.keys() == set()
