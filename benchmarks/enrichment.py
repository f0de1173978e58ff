"""Measures the time and credits of enrichment, against the sandbox's stand-in of Apollo, whose count is the judge.

run     10,000 contacts by 4 processes, at 50 ms an answer and 6,000 requests a minute, beside what these allow
kills   2,000 contacts while processes are killed at random and started again; lost answers are held
gate    2,000 turns by 8 processes at one gate, beside the time that its window allows
cache   20,000 contacts whose answers are known

python -m benchmarks.enrichment [--part PART] [--json]
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeAlias

import httpx2
from psycopg import sql

from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform import settings
from cdp_platform.enrichment import running, searches
from cdp_platform.ops.gate import Gate
from cdp_platform.resources.apollo import Apollo
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_sandbox.apollo import KEY, PATH
from cdp_sandbox.processes import free_port

TENANT = "bench"
_CONTACTS, _PROCESSES = 10_000, 4
_LATENCY_SECONDS, _PER_MINUTE = 0.05, 6_000
_TURNS, _TURN_PROCESSES, _WINDOW_SECONDS, _PER_WINDOW = 2_000, 8, 2, 400
_KILLS_SEED = 7

_LOST = "SELECT coalesce(sum(people), 0) FROM enrichment.provider_call WHERE state = 'unknown'"

Rows: TypeAlias = list[dict[str, Any]]


class _Apollo:
    """The stand-in in a process of its own."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}{PATH}"

    def control(self, method: str, name: str, body: Any = None) -> Any:
        return httpx2.request(method, f"{self.base_url}/{name}", json=body, timeout=60).raise_for_status().json()

    def credits(self) -> Decimal:
        return sum((Decimal(str(call["credits"])) for call in self.control("GET", "_calls")), Decimal(0))

    def charged_twice(self) -> int:
        people = [charge["person_id"] for charge in self.control("GET", "_charges")]
        return len(people) - len(set(people))


@contextmanager
def _stand_in(latency_seconds: float) -> Generator[_Apollo]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "cdp_sandbox.server", "--port", str(port), "--state-dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            apollo = _Apollo(port)
            _until(lambda: apollo.control("GET", "_settings") is not None)
            limits = {"people/bulk_match": {"minute": _PER_MINUTE, "hour": None, "day": None}}
            apollo.control("PUT", "_settings", {"latency_seconds": latency_seconds, "limits": limits})
            yield apollo
        finally:
            process.terminate()
            process.wait(30)


def _until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    ends_at = time.monotonic() + seconds
    while True:
        try:
            if is_so():
                return
        except httpx2.HTTPError:
            pass
        if time.monotonic() > ends_at:
            raise RuntimeError("it did not become so in time")
        time.sleep(0.05)


def _paid_search(database: BenchmarkDatabase, contacts: int) -> None:
    people = ({"Email": f"found-{number}@company-{number % 997}.example"} for number in range(contacts))
    with connect(database.settings) as connection:
        made = searches.create(connection, TENANT, name="leads", price=Decimal("2.99"), currency="USD", contacts=people)
        with tenant_transaction(connection, TENANT):
            searches.move(connection, TENANT, made.search_id, "preview", "paid")
    database.settle(sql.Identifier("enrichment", "contact"))


def _worker(database: BenchmarkDatabase, apollo: _Apollo) -> subprocess.Popen:
    environment = {
        **os.environ,
        **database.environment(),
        "APOLLO_BASE_URL": apollo.base_url,
        "APOLLO_API_KEY": KEY,
        "APOLLO_RATE_LIMIT_PER_MINUTE": str(_PER_MINUTE),
    }
    command = [sys.executable, "-m", "benchmarks.enrichment", "--worker"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def _begin(worker: subprocess.Popen) -> None:
    assert worker.stdin is not None  # noqa: S101 (it is a pipe)
    worker.stdin.write("\n")
    worker.stdin.flush()


def _work() -> None:
    """The worker: says that it is ready, waits for the word, and runs."""
    configured, warehouse = settings.enrichment(), settings.postgres()
    key = configured.apollo_api_key.get_secret_value()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    running.run(
        lambda: connect(warehouse),
        TENANT,
        lambda: Apollo(key, configured.apollo_base_url),
        configured,
        seconds=600,
    )


def _one(database: BenchmarkDatabase, query: str) -> Any:
    with connect(database.settings) as connection, tenant_transaction(connection, TENANT):
        row = connection.execute(query.encode()).fetchone()
        assert row is not None  # noqa: S101 (an aggregate)
        return row[0]


def _run(contacts: int = _CONTACTS) -> tuple[Rows, list[Bar]]:
    with benchmark_database({TENANT: ""}) as database, _stand_in(_LATENCY_SECONDS) as apollo:
        _paid_search(database, contacts)
        workers = [_worker(database, apollo) for _ in range(_PROCESSES)]
        for worker in workers:
            assert worker.stdout is not None  # noqa: S101 (it is a pipe)
            worker.stdout.readline()
        began = time.perf_counter()
        for worker in workers:
            _begin(worker)
        if any(map(subprocess.Popen.wait, workers)):
            raise RuntimeError("a worker failed")
        taken = time.perf_counter() - began
        calls = len(apollo.control("GET", "_calls"))
        known = _one(database, "SELECT sum(credits) FROM enrichment.provider_call")
        enriched = _one(database, "SELECT count(*) FROM enrichment.contact WHERE outcome = 'enriched'")
        charged = apollo.credits()
    allowed = max(calls / _PER_MINUTE * 60, calls * _LATENCY_SECONDS / _PROCESSES)
    rows = [
        {"what": f"{_PROCESSES} processes", "number": enriched, "seconds": round(taken, 2)},
        {"what": "what limit and latency allow, a call at a time", "number": contacts, "seconds": round(allowed, 2)},
    ]
    return rows, [
        Bar("time, to what limit and latency allow", taken / allowed, 1.3, at_least=False),
        Bar("calls", calls, contacts / 10, at_least=False),
        Bar("credits of the ledger, to those that were charged", float(known / charged), 1),
        Bar("contacts enriched", enriched, contacts),
    ]


def _kills(contacts: int = 2_000) -> tuple[Rows, list[Bar]]:
    dice = random.Random(_KILLS_SEED)  # noqa: S311 (no secret)
    killed = 0
    with benchmark_database({TENANT: ""}) as database, _stand_in(_LATENCY_SECONDS) as apollo:
        _paid_search(database, contacts)
        began = time.perf_counter()
        workers: list[subprocess.Popen] = []
        waiting = "SELECT count(*) FROM enrichment.contact WHERE outcome IN ('waiting', 'original')"
        while _one(database, waiting) and time.perf_counter() - began < 300:
            workers = [worker for worker in workers if worker.poll() is None]
            while len(workers) < _PROCESSES:
                workers.append(_worker(database, apollo))
                _begin(workers[-1])
            time.sleep(dice.uniform(0.3, 1.5))
            # Most of their time is the start, so one that has begun to ask is as likely as the others.
            victim = dice.choice(workers)
            victim.send_signal(signal.SIGKILL)
            victim.wait(30)
            killed += 1
            # All leases end now, also those of processes that live: their answers then come too late.
            with database.superuser() as superuser:
                superuser.execute("UPDATE enrichment.provider_call SET lease_until = now() WHERE claim IS NOT NULL")
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait(30)
        with database.superuser() as superuser:
            superuser.execute("UPDATE enrichment.provider_call SET lease_until = now() WHERE claim IS NOT NULL")
        last = _worker(database, apollo)
        _begin(last)
        last.wait(300)
        unknown = _one(
            database, "SELECT coalesce(sum(people), 0) FROM enrichment.provider_call WHERE state = 'unknown'"
        )
        twice = apollo.charged_twice()
        done = _one(database, "SELECT count(*) FROM enrichment.contact WHERE outcome IN ('enriched', 'held')")
        taken = time.perf_counter() - began
    rows = [
        {"what": "processes that were killed", "number": killed, "seconds": round(taken, 2)},
        {"what": "people whose answer was lost, held", "number": unknown, "seconds": None},
    ]
    return rows, [
        Bar("people charged twice", twice, 0, at_least=False),
        Bar("contacts enriched or held", done, contacts),
        Bar("processes that were killed", killed, 5),
    ]


def _gate() -> tuple[Rows, list[Bar]]:
    with benchmark_database({TENANT: ""}) as database:
        environment = {**os.environ, **database.environment()}
        command = [sys.executable, "-m", "benchmarks.enrichment", "--turns", str(_TURNS // _TURN_PROCESSES)]
        began = time.time()
        processes = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(_TURN_PROCESSES)
        ]
        moments = sorted(float(moment) for process in processes for moment in process.communicate()[0].split())
    if len(moments) != _TURNS:
        raise RuntimeError("a process failed")
    fullest = max(
        sum(1 for later in moments[place : place + 2 * _PER_WINDOW] if later - moment < _WINDOW_SECONDS)
        for place, moment in enumerate(moments)
    )
    taken = moments[-1] - moments[0]
    # The gate keeps a second between windows, since calls take unequally long to arrive.
    allowed = (_TURNS / _PER_WINDOW - 1) * (_WINDOW_SECONDS + 1)
    rows = [
        {"what": f"turns by {_TURN_PROCESSES} processes", "number": _TURNS, "seconds": round(taken, 2)},
        {"what": "what the window allows", "number": _TURNS, "seconds": allowed},
        {"what": "with the start of the processes", "number": _TURNS, "seconds": round(moments[-1] - began, 2)},
    ]
    return rows, [
        Bar("turns in the fullest window", fullest, _PER_WINDOW, at_least=False),
        Bar("time of the turns, to what the window allows", taken / allowed, 1.1, at_least=False),
    ]


def _take_turns(number: int) -> None:
    with connect(settings.postgres()) as connection:
        connection.execute("SET synchronous_commit = off")
        gate = Gate(connection, "bench", {_WINDOW_SECONDS: _PER_WINDOW})
        for _ in range(number):
            gate.take()
            sys.stdout.write(f"{time.time()}\n")


def _cache(contacts: int = 20_000) -> tuple[Rows, list[Bar]]:
    with benchmark_database({TENANT: ""}) as database, _stand_in(0) as apollo:
        _paid_search(database, contacts)
        with database.superuser() as superuser:
            superuser.execute(
                """
                WITH call AS (
                    INSERT INTO enrichment.provider_call (tenant_id, call_id, search_id, provider, account,
                        personal_emails, phones, people, spend_day, credits_reserved)
                    SELECT tenant_id, gen_random_uuid(), search_id, 'apollo', 'earlier', false, false, 1, current_date,
                        0
                    FROM enrichment.search RETURNING tenant_id, call_id)
                INSERT INTO enrichment.answer (tenant_id, provider, question_hash, personal_emails, phones, state,
                    call_id, person_id, fields, answered_at, expires_at)
                SELECT c.tenant_id, 'apollo', c.question_hash, false, false, 'match', call.call_id, c.contact_id,
                    '{"title": {"value": "Head of Sales"}, "company": {"value": "Acme"}, "city": {"value": "Hue"}}',
                    now(), now() + interval '1 day'
                FROM enrichment.contact AS c JOIN call USING (tenant_id)
                """
            )
        database.settle(sql.Identifier("enrichment", "answer"), sql.Identifier("enrichment", "contact"))
        chosen = settings.EnrichmentSettings(apollo_base_url=apollo.base_url, apollo_api_key=KEY)
        began = time.perf_counter()
        result = running.run(
            lambda: connect(database.settings), TENANT, lambda: Apollo(KEY, apollo.base_url), chosen, seconds=60
        )
        taken = time.perf_counter() - began
        calls = len(apollo.control("GET", "_calls"))
    rows = [{"what": "a search all in the cache", "number": result.enriched, "seconds": round(taken, 2)}]
    return rows, [
        Bar("contacts of the cache a second", result.enriched / taken, 20_000),
        Bar("calls for them", calls, 0, at_least=False),
        Bar("contacts answered from the cache", result.enriched, contacts),
    ]


_PARTS: dict[str, Callable[[], tuple[Rows, list[Bar]]]] = {
    "run": _run,
    "kills": _kills,
    "gate": _gate,
    "cache": _cache,
}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=list(_PARTS), action="append", help="measure this part only; may be repeated")
    parser.add_argument("--worker", action="store_true", help="be one of the processes")
    parser.add_argument("--turns", type=int, help="be one of the processes at the gate")
    given = parser.parse_args()
    if given.worker:
        _work()
        return 0
    if given.turns:
        _take_turns(given.turns)
        return 0
    rows: Rows = []
    bars: list[Bar] = []
    for part in given.part or _PARTS:
        narrate(part)
        measured, held = _PARTS[part]()
        rows += [{"part": part, **each} for each in measured]
        bars += held
    return finish("enrichment", rows, bars, as_json=given.as_json)


if __name__ == "__main__":
    sys.exit(main())
