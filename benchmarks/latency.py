"""From a committed change of a text to its vector, in a running `make up`.

Changes the interests of profiles in the warehouse that the environment names, one at a time and at moments that no
sensor can expect, and waits for each vector. The profiles get their old interests back at the end.

    make up, and beside it:  python -m benchmarks.latency [--changes N] [--json]
"""

import sys
import time
from datetime import UTC, datetime
from statistics import quantiles

import psycopg

from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform import settings
from cdp_platform.embeddings import models
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

_BAR_SECONDS = 15.0
_PATIENCE_SECONDS = 180.0
# A change comes at any moment of a tick, of the run queue and of the run before: multiples of the golden ratio
# are spread evenly and in no order.
_LEAST_APART_SECONDS, _SPREAD_SECONDS, _GOLDEN = 1.0, 20.0, 0.618034

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
    parser.add_argument("--changes", type=int, default=20, help="how many changes (default 20)")
    options = parser.parse_args()
    with connect(settings.postgres()) as connection:
        model = models.active(connection)
        people = _people(connection, options.changes)
        seconds = []
        for number, (tenant_id, profile_id) in enumerate(people):
            time.sleep(_LEAST_APART_SECONDS + _SPREAD_SECONDS * (number * _GOLDEN % 1))
            word = f"latency {number}"
            about = {"tenant": tenant_id, "profile": profile_id, "word": word}
            with tenant_transaction(connection, tenant_id):
                connection.execute(_CHANGE, about)
            seconds.append(_wait(connection, about, model, datetime.now(UTC)))
            narrate(f"change {number + 1} of {len(people)}: {seconds[-1]:.1f} s")
            with tenant_transaction(connection, tenant_id):
                connection.execute(_RESTORE, about)
    p50, p95 = quantiles(seconds, n=20, method="inclusive")[9], quantiles(seconds, n=20, method="inclusive")[18]
    return finish(
        f"From a committed change to its vector, {len(seconds)} changes",
        [{"model": model.label, "p50 s": p50, "p95 s": p95, "least s": min(seconds), "most s": max(seconds)}],
        [Bar("p95 from a change to its vector, seconds", p95, _BAR_SECONDS, at_least=False)],
        as_json=options.as_json,
    )


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


def _wait(connection: psycopg.Connection, about: dict[str, str], model: models.Model, committed: datetime) -> float:
    """Seconds from the commit until the vector of the present text was stored; both on this machine's clock."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with tenant_transaction(connection, about["tenant"]):
            row = connection.execute(
                _CURRENT, about | {"model": model.model_id, "max_characters": model.max_characters}
            ).fetchone()
        if row is not None:
            return max(0.0, (row[0] - committed).total_seconds())
        time.sleep(0.1)
    sys.exit(f"No vector came within {_PATIENCE_SECONDS:.0f} seconds. Does `make up` run in this folder?")


if __name__ == "__main__":
    sys.exit(main())
