"""The cost of an audience: everybody in one statement, and one by one in one transaction.

The segment has five rules over the document and the orders' figures. Both ways decide everything of everybody: closed,
address, consent and refusals of others with the address, suppression, duplicates, caps, holdout, time zone and quiet
hours, and both write members and deliveries. The loop goes over a part of the people, with a query for each question,
all of them by an index; it is given the people of the segment for nothing.
"""

import sys
import time
from statistics import median
from typing import Any, LiteralString
from uuid import uuid4

import phonenumbers
import psycopg
from phonenumbers import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.campaign_event import TENANT, AtOnce, run_alone
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, narrate
from cdp_platform.campaigns import audience, events
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

_AT_LEAST = 30
_LOOPED = 1_000
_RULES = {
    "condition": "AND",
    "rules": [
        {"field": "age", "type": "integer", "operator": "between", "value": [18, 65]},
        {"field": "livingCity", "type": "string", "operator": "in", "value": ["Hanoi", "Hue", "Saigon"]},
        {"field": "primaryEmail", "type": "string", "operator": "is_not_empty", "value": None},
        {"field": "dataLabels", "type": "string", "operator": "contains_any", "value": ["vip", "new"]},
        {"field": "gender", "type": "integer", "operator": "less", "value": 2},
    ],
}

# The document is as long as the ones of LEO CDP. One in fifty shares an address, one in fifty is closed.
_FILL = """
INSERT INTO ops.address_salt (tenant_id, salt) VALUES ({tenant}, sha256('benchmark'));
INSERT INTO customers.cdp_profiles (
    tenant_id, profile_id, status, status_code, identities, visitor_ids, primary_email, secondary_emails, primary_phone,
    secondary_phones, age, gender, living_city, living_country, job_titles, data_labels, content_keywords,
    product_keywords, media_channels, behavioral_events, segments, campaigns, accounts, journey_maps, event_statistics,
    top_engaged_touchpoints, purchased_items, receive_email, ext_data, closed_at, closed_reason, updated_at, document,
    document_hash)
SELECT {tenant}, md5('profile ' || n), 'active', 1, '[]', '[]', address, '[]', '+849' || (10000000 + n), '[]',
    20 + n % 40, 'male', 'Hanoi', 'Vietnam', '[]', '["vip"]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '{{}}',
    '[]', '[]', n % 25 <> 0, '{{}}', CASE WHEN n % 50 = 1 THEN now() END, CASE WHEN n % 50 = 1 THEN 'inactive' END,
    now() - n * interval '1 second',
    jsonb_build_object('_key', md5('profile ' || n), 'age', 20 + n % 40, 'livingCity', 'Hanoi', 'primaryEmail', address,
        'dataLabels', '["vip"]'::jsonb, 'gender', 1, 'status', 1, 'notes', repeat(md5(n::text), 40)), ''
FROM generate_series(1, {people}) AS n,
    LATERAL (SELECT CASE WHEN n % 50 = 0 THEN n - 1 ELSE n END || '@example.org' AS address) AS a;

INSERT INTO campaigns.consent_management (tenant_id, profile_id, channel, state, source, happened_at)
SELECT {tenant}, md5('profile ' || n), 'email', CASE WHEN n % 20 = 0 THEN 'withdrawn' ELSE 'given' END, 'file', now()
FROM generate_series(1, {people}) AS n WHERE n % 4 <> 0;

INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason)
SELECT {tenant}, 'email', ops.address_hash(sha256('benchmark'), n || '@example.org'), 'hard_bounce'
FROM generate_series(1, {people}) AS n WHERE n % 40 = 3;

INSERT INTO campaigns.campaign (tenant_id, code, name) VALUES ({tenant}, 'c', 'c');
INSERT INTO campaigns.message_template (tenant_id, template, version, channel_kind, state, content_hash, approved_at)
VALUES ({tenant}, 't', 1, 'email', 'approved', '', now());
INSERT INTO campaigns.segment (tenant_id, segment_id, version, name, kind, rules, origin, content_hash)
VALUES ({tenant}, 's', 1, 's', 'rules', {rules}, 'file', '');
INSERT INTO campaigns.marketing_event (
    tenant_id, event_id, campaign_code, name, channel, segment_id, template, start_at, end_at)
SELECT {tenant}, id, 'c', id, 'email', 's', 't', now(), now() + interval '3 days' FROM unnest({events}::text[]) AS id;

INSERT INTO campaigns.delivery_log (tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, state)
SELECT {tenant}, 'earlier ' || round, md5('profile ' || n), 'email',
    ops.address_hash(sha256('benchmark'), n || '@example.org'), 'key ' || round || ' ' || n, now(), 'reserved'
FROM generate_series(1, {people}) AS n, generate_series(1, 3) AS round WHERE n % 10 = 7 OR round = 1 AND n % 3 = 2;
UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now() - interval '2 hours';
"""


def fill(database: BenchmarkDatabase, people: int, event_ids: list[str]) -> None:
    """Make so many people, what they said and had before, and these events."""
    with database.superuser() as superuser:
        superuser.execute(sql.SQL(_FILL).format(tenant=TENANT, people=people, rules=Jsonb(_RULES), events=event_ids))


def measure(people: int = 100_000, rounds: int = 3) -> tuple[list[dict[str, Any]], list[Bar]]:
    """Both ways in turns; the rows of a table, and the bar."""
    names = [f"{way}-{number}" for way in ("set", "loop") for number in range(rounds)]
    with benchmark_database({TENANT: "none"}) as database:
        narrate("making people")
        fill(database, people, names)
        tables = [
            *(sql.Identifier("customers", name) for name in ("cdp_profiles",)),
            *(
                sql.Identifier("campaigns", name)
                for name in ("consent_management", "suppression", "delivery_log", "segment_snapshot_member")
            ),
        ]
        seconds: dict[str, list[float]] = {"set": [], "loop": []}
        numbers: dict[str, int] = {}
        with connect(database.settings) as connection:
            for number in range(rounds):
                narrate(f"round {number + 1} of {rounds}")
                for way, run in (("set", _set), ("loop", _loop)):
                    database.settle(*tables)
                    narrate(f"  {way}")
                    began = time.perf_counter()
                    numbers[way] = run(connection, f"{way}-{number}")
                    seconds[way].append(time.perf_counter() - began)
                    _forget(database, f"{way}-{number}")
    each = {way: median(taken) / numbers[way] for way, taken in seconds.items()}
    rows = [
        {
            "audience": name,
            "people": numbers[way],
            "seconds": round(median(seconds[way]), 3),
            "microseconds per person": round(each[way] * 1e6, 1),
        }
        for way, name in (("loop", "one by one, in one transaction"), ("set", "in one statement"))
    ]
    return rows, [Bar("audience in one statement, to one by one, per person", each["loop"] / each["set"], _AT_LEAST)]


def _set(connection: psycopg.Connection, event_id: str) -> int:
    tenant = tenants.get(connection, TENANT)
    with tenant_transaction(connection, TENANT):
        event = events.get(connection, TENANT, event_id)
    return audience.freeze(connection, tenant, event, AtOnce()).people


def _forget(database: BenchmarkDatabase, event_id: str) -> None:
    with database.superuser() as superuser:
        superuser.execute("DELETE FROM campaigns.delivery_log WHERE event_id = %s", [event_id])
        for table in ("segment_snapshot_member", "segment_snapshot"):
            superuser.execute(
                sql.SQL("DELETE FROM campaigns.{} WHERE snapshot_id = %s").format(sql.Identifier(table)), [event_id]
            )


def _loop(connection: psycopg.Connection, event_id: str) -> int:
    with tenant_transaction(connection, TENANT):
        ids = connection.execute(
            "SELECT profile_id FROM customers.cdp_profiles WHERE tenant_id = %s ORDER BY profile_id LIMIT %s",
            [TENANT, _LOOPED],
        ).fetchall()
        taken: set[bytes] = set()
        for place, (profile_id,) in enumerate(ids):
            _decide_one(connection, event_id, place, profile_id, taken)
    return len(ids)


def _decide_one(connection: psycopg.Connection, event_id: str, place: int, profile_id: str, taken: set[bytes]) -> None:
    def ask(query: LiteralString, *values: Any) -> Any:
        return connection.execute(query, [TENANT, *values]).fetchone()

    profile = ask(
        "SELECT p.document, p.closed_at, p.primary_email, p.primary_phone, p.receive_email,"
        " ops.address_hash(s.salt, p.primary_email) FROM customers.cdp_profiles AS p JOIN ops.address_salt AS s"
        " USING (tenant_id) WHERE tenant_id = %s AND profile_id = %s",
        profile_id,
    )
    document, closed_at, address, phone, receives, address_hash = profile
    if not (
        18 <= document["age"] <= 65
        and document["livingCity"] in {"Hanoi", "Hue", "Saigon"}
        and document["primaryEmail"]
        and {"vip", "new"} & set(document["dataLabels"])
        and document["gender"] < 2
    ):
        return
    consent = ask(
        "SELECT state FROM campaigns.consent_management WHERE tenant_id = %s AND profile_id = %s AND channel = 'email'",
        profile_id,
    )
    refused = ask(
        "SELECT EXISTS (SELECT FROM customers.cdp_profiles AS p LEFT JOIN campaigns.consent_management AS c"
        " ON c.tenant_id = p.tenant_id AND c.profile_id = p.profile_id AND c.channel = 'email'"
        " WHERE p.tenant_id = %s AND p.primary_email = %s"
        " AND (NOT p.receive_email OR c.state IN ('refused', 'withdrawn')))",
        address,
    )[0]
    suppressed = ask(
        "SELECT EXISTS (SELECT FROM campaigns.suppression"
        " WHERE tenant_id = %s AND channel IN ('email', '*') AND address_hash = %s)",
        address_hash,
    )[0]
    (messages,) = ask(
        "SELECT count(*) FROM campaigns.delivery_log WHERE tenant_id = %s AND address_hash = %s"
        " AND handed_over_at > now() - interval '24 hours' AND state IN ('handed_over', 'confirmed', 'unknown')",
        address_hash,
    )
    reason = (
        ("closed" if closed_at else None)
        or (None if address else "no_address")
        or ("no_consent" if refused or receives is False or not consent or consent[0] != "given" else None)
        or ("suppressed" if suppressed else None)
        or ("duplicate" if address_hash in taken else None)
        or ("capped" if messages >= 3 else None)
    )
    zones = timezone.time_zones_for_number(phonenumbers.parse(phone))
    connection.execute(
        "INSERT INTO campaigns.segment_snapshot_member"
        " (tenant_id, snapshot_id, member, profile_id, decision, reason, time_zone, time_zone_source)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, 'phone')",
        [TENANT, event_id, place, profile_id, "excluded" if reason else "included", reason, zones[0]],
    )
    if reason is None:
        taken.add(address_hash)
        connection.execute(
            "INSERT INTO campaigns.delivery_log"
            " (tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, time_zone)"
            " SELECT %s, %s, %s, 'email', %s, %s, campaigns.next_allowed(now(), %s, '22:00', '07:00'), %s",
            [TENANT, event_id, profile_id, address_hash, uuid4().hex, zones[0], zones[0]],
        )


if __name__ == "__main__":
    sys.exit(run_alone(__doc__, "audience of {people} people", measure, people=100_000))
