"""From the moment an event is due to its first message handed over, in a running `make up` of the sandbox.

A tenant of its own has one person, and events that are due one after the other at moments that no sensor can expect.
The messages go to the sandbox's outbox. Afterwards the tenant is retired.

    make up, and beside it:  python -m benchmarks.campaign_latency [--events N] [--json]
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from statistics import quantiles
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform import settings
from cdp_platform.campaigns import segments, templates
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

_TENANT = "campaign-latency"
_BAR_SECONDS = 20.0
_PATIENCE_SECONDS = 180.0
# Multiples of the golden ratio are spread evenly and in no order.
_LEAST_AHEAD_SECONDS, _SPREAD_SECONDS, _GOLDEN = 5.0, 25.0, 0.618034

_PERSON = """
INSERT INTO customers.cdp_profiles
SELECT r.* FROM jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %(tenant)s::text, 'profile_id', 'person', 'status', 'active',
        'primary_email', 'latency@example.org', 'age', 30, 'document_hash', '', 'synced_at', now(), 'updated_at', now(),
        'document', jsonb_build_object('age', 30))) AS r
ON CONFLICT DO NOTHING
"""
_CONSENT = """
INSERT INTO campaigns.consent_management (tenant_id, profile_id, channel, state, source, happened_at)
VALUES (%(tenant)s, 'person', 'email', 'given', 'benchmark', now()) ON CONFLICT DO NOTHING
"""
_EVENT = """
INSERT INTO campaigns.marketing_event
    (tenant_id, event_id, campaign_code, name, channel, segment_id, template, start_at, end_at)
VALUES (%(tenant)s, %(event)s, 'latency', %(event)s, 'email', 'everybody', 'latency', %(start_at)s,
    %(start_at)s + interval '1 hour')
"""
_HANDED_OVER = """
SELECT min(handed_over_at) FROM campaigns.delivery_log WHERE tenant_id = %(tenant)s AND event_id = %(event)s
"""


def main() -> int:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=20, help="how many events (default 20)")
    options = parser.parse_args()
    if not os.environ.get("SANDBOX_URL"):
        sys.exit("SANDBOX_URL is not set: events are measured in a sandbox only, whose messages reach nobody.")
    with connect(settings.postgres()) as connection:
        _prepare(connection)
        seconds = []
        for number in range(options.events):
            ahead = _LEAST_AHEAD_SECONDS + _SPREAD_SECONDS * (number * _GOLDEN % 1)
            about: dict[str, Any] = {
                "tenant": _TENANT,
                "event": f"latency-{uuid4().hex}",
                "start_at": datetime.now(UTC) + timedelta(seconds=ahead),
            }
            with tenant_transaction(connection, _TENANT):
                connection.execute(_EVENT, about)
            seconds.append(_wait(connection, about))
            narrate(f"event {number + 1} of {options.events}: {seconds[-1]:.1f} s")
        tenants.retire(connection, _TENANT)
    p50, p95 = quantiles(seconds, n=20, method="inclusive")[9], quantiles(seconds, n=20, method="inclusive")[18]
    return finish(
        f"From due to the first message handed over, {len(seconds)} events",
        [{"p50 s": p50, "p95 s": p95, "least s": min(seconds), "most s": max(seconds)}],
        [Bar("p95 from due to the first message, seconds", p95, _BAR_SECONDS, at_least=False)],
        as_json=options.as_json,
    )


def _prepare(connection: psycopg.Connection) -> None:
    """The tenant, its person, and what its events refer to."""
    anytime = CampaignSettings(
        cap_messages=10_000, quiet_from=clock_time(0), quiet_until=clock_time(0), postal_address="1 Sample Street"
    )
    tenants.add(connection, _TENANT, arango_database="", settings=[anytime])
    tenant = tenants.get(connection, _TENANT)
    rules = {"condition": "AND", "rules": [{"field": "age", "type": "integer", "operator": "greater", "value": 0}]}
    with tenant_transaction(connection, _TENANT):
        for statement in (_PERSON, _CONSENT):
            connection.execute(statement, {"tenant": _TENANT})
        connection.execute(
            "INSERT INTO campaigns.campaign (tenant_id, code, name) VALUES (%s, 'latency', 'latency')"
            " ON CONFLICT DO NOTHING",
            [_TENANT],
        )
        segments.save(connection, _TENANT, "everybody", name="Everybody", kind="rules", rules=rules, origin="file")
        version = templates.save(
            connection,
            _TENANT,
            "latency",
            channel_kind="email",
            subject="Latency",
            text="Hello. {{ postal_address }} {{ opt_out_url }}",
            html=None,
        )
        templates.approve(connection, tenant, "latency", version)


def _wait(connection: psycopg.Connection, about: dict[str, Any]) -> float:
    """Seconds from the start of the event until its message was handed over; both on this machine's clock."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with tenant_transaction(connection, _TENANT):
            row = connection.execute(_HANDED_OVER, about).fetchone()
        if row is not None and row[0] is not None:
            return (row[0] - about["start_at"]).total_seconds()
        time.sleep(0.1)
    sys.exit(f"No message was handed over within {_PATIENCE_SECONDS:.0f} seconds. Does `make up` run in this folder?")


if __name__ == "__main__":
    sys.exit(main())
