"""The cost of the ledger of deliveries: reserved, handed over with every check, and confirmed, durably.

One way takes everybody in batches, as the platform does. The other one goes person by person, as a careful script does:
a row before the message, the checks by an index each, a row after it, with a commit each. Both hand the messages to a
channel that takes them at once, so that nothing but the ledger is measured.
"""

import sys
import time
from functools import partial
from statistics import median
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql

from benchmarks.campaign_event import TENANT, AtOnce, add_event, add_people, compose, run_alone
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, narrate
from cdp_platform.campaigns import dispatch
from cdp_platform.campaigns.channels.contract import Outgoing
from cdp_platform.ops import tenants
from cdp_platform.ops.effects import Ledger
from cdp_platform.warehouse.connection import connect, tenant_transaction

_AT_LEAST = 10
_ONE_BY_ONE = 300
_RESERVE = """
INSERT INTO campaigns.delivery_log (
    tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, time_zone)
SELECT p.tenant_id, %(event)s, p.profile_id, 'email', ops.address_hash(s.salt, p.primary_email),
    campaigns.message_key(s.salt, %(event)s, p.profile_id, 'email', 1), now(), 'UTC'
FROM customers.cdp_profiles AS p JOIN ops.address_salt AS s USING (tenant_id) WHERE p.tenant_id = %(tenant)s
"""


def measure(people: int = 10_000, rounds: int = 3) -> tuple[list[dict[str, Any]], list[Bar]]:
    """Both ways in turns; the rows of a table, and the bar."""
    with benchmark_database({TENANT: "none"}) as database:
        narrate("making people")
        add_people(database, people)
        seconds: dict[str, list[float]] = {"batches": [], "one": []}
        numbers = {"batches": people, "one": _ONE_BY_ONE}
        for number in range(rounds):
            narrate(f"round {number + 1} of {rounds}")
            for way, run in (("batches", _in_batches), ("one", _one_by_one)):
                seconds[way].append(_timed(database, run, f"{way}-{number}", numbers[way]))
    each = {way: median(taken) / numbers[way] for way, taken in seconds.items()}
    rows = [
        {
            "ledger": name,
            "messages": numbers[way],
            "seconds": round(median(seconds[way]), 3),
            "microseconds per message": round(each[way] * 1e6, 1),
        }
        for way, name in (("one", "one by one"), ("batches", "in batches"))
    ]
    return rows, [
        Bar("reserved, handed over and confirmed in batches, to one by one", each["one"] / each["batches"], _AT_LEAST)
    ]


def _timed(database: BenchmarkDatabase, run: Any, event_id: str, people: int) -> float:
    add_event(database, event_id, people)
    database.settle(sql.Identifier("campaigns", "delivery_log"), sql.Identifier("customers", "cdp_profiles"))
    with connect(database.settings) as connection:
        began = time.perf_counter()
        run(database, connection, event_id)
        taken = time.perf_counter() - began
        with tenant_transaction(connection, TENANT):
            query = "SELECT count(*) FROM campaigns.delivery_log WHERE event_id = %s AND state = 'confirmed'"
            if connection.execute(query, [event_id]).fetchone() != (people,):
                raise RuntimeError("not everybody is confirmed")
    with database.superuser() as superuser:
        superuser.execute("DELETE FROM campaigns.delivery_log WHERE event_id = %s", [event_id])
    return taken


def _in_batches(database: BenchmarkDatabase, connection: psycopg.Connection, event_id: str) -> None:
    with tenant_transaction(connection, TENANT):
        connection.execute(_RESERVE, {"tenant": TENANT, "event": event_id})
    tenant = tenants.get(connection, TENANT)
    connects = partial(connect, database.settings)
    dispatch.dispatch(connection, connects, tenant, event_id, AtOnce(), compose=compose, seconds=600)


def _one_by_one(_: BenchmarkDatabase, connection: psycopg.Connection, event_id: str) -> None:
    with tenant_transaction(connection, TENANT):
        ids = connection.execute(
            "SELECT profile_id FROM customers.cdp_profiles WHERE tenant_id = %s ORDER BY 1 LIMIT %s",
            [TENANT, _ONE_BY_ONE],
        ).fetchall()
    channel = AtOnce()
    for (profile_id,) in ids:
        _send_one(connection, channel, event_id, profile_id)


def _send_one(connection: psycopg.Connection, channel: AtOnce, event_id: str, profile_id: str) -> None:
    ledger, delivery_id = Ledger(connection, TENANT, "campaigns.delivery_log", "delivery_id"), uuid4().hex

    def ask(query: LiteralString, *values: Any) -> Any:
        return connection.execute(query, [TENANT, *values]).fetchone()

    with tenant_transaction(connection, TENANT):
        address, address_hash, closed_at, receives = ask(
            "SELECT p.primary_email, ops.address_hash(s.salt, p.primary_email), p.closed_at, p.receive_email"
            " FROM customers.cdp_profiles AS p JOIN ops.address_salt AS s USING (tenant_id)"
            " WHERE tenant_id = %s AND profile_id = %s",
            profile_id,
        )
        columns = {
            "event_id": event_id,
            "profile_id": profile_id,
            "channel": "email",
            "address_hash": address_hash,
            "message_key": delivery_id,
        }
        ledger.reserve(delivery_id, {**columns, "due_at": "now", "time_zone": "UTC"})
    with tenant_transaction(connection, TENANT):
        (status,) = ask("SELECT status FROM campaigns.marketing_event WHERE tenant_id = %s AND event_id = %s", event_id)
        ask(
            "INSERT INTO campaigns.recipient (tenant_id, channel, address_hash) VALUES (%s, '*', %s)"
            " ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE SET channel = '*' RETURNING 1",
            address_hash,
        )
        (refused,) = ask(
            "SELECT EXISTS (SELECT FROM customers.cdp_profiles AS p LEFT JOIN campaigns.consent_management AS c"
            " ON c.tenant_id = p.tenant_id AND c.profile_id = p.profile_id AND c.channel = 'email'"
            " WHERE p.tenant_id = %s AND p.primary_email = %s"
            " AND (NOT p.receive_email OR c.state IN ('refused', 'withdrawn')))",
            address,
        )
        (given,) = ask(
            "SELECT state FROM campaigns.consent_management"
            " WHERE tenant_id = %s AND profile_id = %s AND channel = 'email'",
            profile_id,
        )
        (suppressed,) = ask(
            "SELECT EXISTS (SELECT FROM campaigns.suppression"
            " WHERE tenant_id = %s AND channel IN ('email', '*') AND address_hash = %s)",
            address_hash,
        )
        (messages,) = ask(
            "SELECT count(*) FROM campaigns.delivery_log WHERE tenant_id = %s AND address_hash = %s"
            " AND handed_over_at > now() - interval '24 hours'",
            address_hash,
        )
        may = status == "running" and given == "given" and messages < 1_000
        if may and not (refused or suppressed or closed_at or receives is False):
            ledger.hand_over(delivery_id)
    channel.send([Outgoing(delivery_id, address, b"")])
    with tenant_transaction(connection, TENANT):
        ledger.settle(delivery_id, "confirmed")


if __name__ == "__main__":
    sys.exit(run_alone(__doc__, "ledger of {people} deliveries", measure, people=10_000))
