"""How long a change waits in a running `make up`, beside a run that has next to nothing to do.

Three things take turns, at moments that no sensor can expect:

- a run of the smallest job (`customers_staleness`), from the request to the UI's server to the end of the run,
- a purchase in the source, from its commit to the metrics of those who bought,
- a changed text, from its commit to its vector.

The sandbox's source keeps the purchases. Profiles get their old interests back.

    make up, and beside it:  python -m benchmarks.latency [--changes N] [--json]
"""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any, LiteralString

import httpx2
import psycopg

from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform import settings
from cdp_platform.embeddings import models
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_sandbox.demo.fill import touch
from cdp_sandbox.demo.model import HARBOUR

_RUN = "a run of the smallest job"
_METRICS = "from a purchase to its metrics"
_VECTOR = "from a changed text to its vector"
_TIMES_A_RUN = 5.0
_VECTOR_SECONDS = 15.0
_PATIENCE_SECONDS = 300.0
# A change comes at any moment of a tick, of the run queue and of the run before: multiples of the golden ratio
# are spread evenly and in no order.
_LEAST_APART_SECONDS, _SPREAD_SECONDS, _GOLDEN = 1.0, 20.0, 0.618034

_LAUNCH = """
mutation { launchRun(executionParams: { mode: "default", runConfigData: "{}", selector: {
    repositoryName: "__repository__", repositoryLocationName: "cdp_platform", pipelineName: "customers_staleness" } }) {
  __typename ... on LaunchRunSuccess { run { runId } } } }
"""
_RUN_STATE = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status endTime } } }"
_IN_METRICS = """
SELECT max(m.updated_at)
FROM customers.transactions AS t JOIN customers.customer_metrics AS m USING (tenant_id, profile_id)
WHERE t.tenant_id = %(tenant)s AND t.line_id = ANY(%(keys)s)
  AND m.last_purchase >= date_trunc('milliseconds', %(moment)s::timestamptz)
HAVING count(DISTINCT t.line_id) = cardinality(%(keys)s)
"""
_CHANGE = """
UPDATE customers.cdp_profiles SET content_keywords = content_keywords || to_jsonb(ARRAY[%(word)s::text])
WHERE tenant_id = %(tenant)s AND profile_id = %(profile)s
"""
_RESTORE = """
UPDATE customers.cdp_profiles SET content_keywords = content_keywords - %(word)s::text
WHERE tenant_id = %(tenant)s AND profile_id = %(profile)s
"""
_CURRENT = """
SELECT e.embedded_at FROM embeddings.entity_text AS t
JOIN embeddings.embedding AS e USING (tenant_id, kind, entity_id)
WHERE t.tenant_id = %(tenant)s AND t.kind = 'profile' AND t.entity_id = %(profile)s AND e.model_id = %(model)s
  AND e.content_hash = embeddings.text_hash(t.content, %(max_characters)s)
"""


def main() -> int:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--changes", type=int, default=20, help="how many of each (default 20)")
    options = parser.parse_args()
    if not os.environ.get("SANDBOX_URL"):
        sys.exit("SANDBOX_URL is not set: the purchases are made in a sandbox only.")
    seconds = defaultdict(list)
    with connect(settings.postgres()) as connection:
        model = models.active(connection)
        people = _people(connection, options.changes)
        turns: dict[str, Callable[[int], float]] = {
            _RUN: lambda _: _run(),
            _METRICS: lambda _: _purchase(connection),
            _VECTOR: lambda number: _text(connection, model, *people[number % len(people)], word=f"latency {number}"),
        }
        for number in range(options.changes):
            for place, (name, turn) in enumerate(turns.items()):
                time.sleep(_LEAST_APART_SECONDS + _SPREAD_SECONDS * ((number * len(turns) + place) * _GOLDEN % 1))
                seconds[name].append(turn(number))
                narrate(f"{number + 1} of {options.changes}, {name}: {seconds[name][-1]:.1f} s")
    a_run = median(seconds[_RUN])
    return finish(
        f"Waits under `make up`, {options.changes} of each, model {model.label}",
        [
            {
                "what": name,
                "p50 s": median(each),
                "p95 s": _p95(each),
                "least s": min(each),
                "most s": max(each),
                "p95 to a run": _p95(each) / a_run,
            }
            for name, each in seconds.items()
        ],
        [
            Bar(f"p95 {_METRICS}, to {_RUN}", _p95(seconds[_METRICS]) / a_run, _TIMES_A_RUN, at_least=False),
            Bar(f"p95 {_VECTOR}, seconds", _p95(seconds[_VECTOR]), _VECTOR_SECONDS, at_least=False),
        ],
        as_json=options.as_json,
    )


def _p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[18]


def _run() -> float:
    """Seconds from the request until the run ended."""
    requested = time.time()
    launched = _ask(_LAUNCH)["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        sys.exit(f"The run was not launched: {launched['__typename']}")

    def ended() -> float | None:
        run = _ask(_RUN_STATE, id=launched["run"]["runId"])["runOrError"]
        if run["status"] in {"FAILURE", "CANCELED"}:
            sys.exit(f"The run {launched['run']['runId']} ended as {run['status']}.")
        return run["endTime"]

    return _wait(ended, "The run did not end") - requested


def _ask(query: str, **variables: Any) -> Any:
    """A question to the server of the Dagster UI."""
    url = f"http://127.0.0.1:{os.environ['DAGSTER_WEBSERVER_PORT']}/graphql"
    answer = httpx2.post(url, json={"query": query, "variables": variables}, timeout=60).raise_for_status().json()
    if "errors" in answer:
        sys.exit(f"The Dagster UI does not answer: {answer['errors']}")
    return answer["data"]


def _purchase(connection: psycopg.Connection) -> float:
    """Seconds from a purchase of five customers until all their metrics know of it."""
    arango, moment = settings.arango(), datetime.now(UTC)
    keys = touch(arango.host, arango.user, arango.password.get_secret_value(), tenant=HARBOUR, moment=moment)
    committed = datetime.now(UTC)
    about = {"tenant": HARBOUR.id, "keys": keys, "moment": moment}
    return (_row(connection, _IN_METRICS, about, "The purchase did not reach the metrics") - committed).total_seconds()


def _text(connection: psycopg.Connection, model: models.Model, tenant_id: str, profile_id: str, *, word: str) -> float:
    """Seconds from the commit until the vector of the present text was stored; both on this machine's clock."""
    about = {"tenant": tenant_id, "profile": profile_id, "word": word}
    with tenant_transaction(connection, tenant_id):
        connection.execute(_CHANGE, about)
    committed = datetime.now(UTC)
    of_model = {"model": model.model_id, "max_characters": model.max_characters}
    stored = _row(connection, _CURRENT, {**about, **of_model}, "No vector came")
    with tenant_transaction(connection, tenant_id):
        connection.execute(_RESTORE, about)
    return max(0.0, (stored - committed).total_seconds())


def _people(connection: psycopg.Connection, number: int) -> list[tuple[str, str]]:
    """Open profiles of the active tenants in turn."""
    found: list[list[tuple[str, str]]] = []
    for tenant in tenants.registered(connection):
        if tenant.active:
            with tenant_transaction(connection, tenant.tenant_id):
                rows = connection.execute(
                    "SELECT tenant_id, profile_id FROM customers.cdp_profiles WHERE closed_at IS NULL"
                    " ORDER BY profile_id LIMIT %s",
                    [number],
                ).fetchall()
            found.append(rows)
    in_turn = [rows[place] for place in range(number) for rows in found if place < len(rows)]
    if len(in_turn) < 2:
        sys.exit("There are no profiles to change: `make up` fills a sandbox with some.")
    return in_turn[:number]


def _row(connection: psycopg.Connection, query: LiteralString, about: dict[str, Any], otherwise: str) -> datetime:
    """Wait for a row of the tenant, and return its moment."""

    def look() -> datetime | None:
        with tenant_transaction(connection, about["tenant"]):
            row = connection.execute(query, about).fetchone()
        return row[0] if row else None

    return _wait(look, otherwise)


def _wait(look: Callable[[], Any], otherwise: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    sys.exit(f"{otherwise} within {_PATIENCE_SECONDS:.0f} seconds. Does `make up` run in this folder?")


if __name__ == "__main__":
    sys.exit(main())
