"""Measures the worksheets of referrals: the requests of an export, and counting clicks and signups by day.

An export writes 100,000 events of 90 days and 50 officers to the stand-in for Google Sheets: first to an empty
spreadsheet, then unchanged, then with 1 % more events. The client counts its requests; both sides enforce the limit of
60 a minute.

Daily metrics count a million events of 500 links and 90 days in one statement, as the platform's role under row-level
security, into an empty table and again. The older way is the tracker's own: for every day and link two counts and an
upsert, one statement each, over a tenth of the events with an index by link. It stops after some days, since every
other day takes as long. The comparison favours it: prepared statements on one connection, no ORM, no row-level
security, and one commit a day.

    python -m benchmarks.sheets [--rounds N] [--json]
"""

import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, LiteralString

import httpx2
import psycopg
from psycopg import sql
from pydantic import SecretStr

from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.ops import tenants
from cdp_platform.ops.gate import Gate
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals import metrics
from cdp_platform.referrals.export import export
from cdp_platform.referrals.worksheets import COLUMNS
from cdp_platform.resources.sheets import open_spreadsheet
from cdp_platform.settings import GoogleSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_sandbox.processes import HOST, free_port
from cdp_sandbox.services import ServicesProcess

_EXPORTED, _COUNTED = "exported", "counted"
_EVENTS, _MORE = 100_000, 1_000
_ALL_EVENTS, _SHARE = 1_000_000, 10
_OFFICERS, _LINKS, _DAYS = 50, 500, 90
_LOOPED_DAYS = 10
_SPREADSHEET = "benchmark"

# Nine clicks for a signup; one event in a hundred is flagged.
_FILL = """
INSERT INTO referrals.officer (tenant_id, officer_id, full_name)
SELECT {tenant}, 'officer-' || n, 'Officer ' || n FROM generate_series(1, {officers}) AS n;
INSERT INTO referrals.campaign (tenant_id, campaign_id, name, starts_at)
SELECT {tenant}, 'campaign-' || n, 'Campaign ' || n, now() - interval '100 days' FROM generate_series(1, 10) AS n;
INSERT INTO referrals.referral_link (tenant_id, referral_link_id, officer_id, campaign_id, full_link, ref_code)
SELECT {tenant}, 'link-' || n, 'officer-' || 1 + n % {officers}, 'campaign-' || 1 + n % 10,
       'https://example.com/?ref=' || n, md5(n::text)
FROM generate_series(0, {links} - 1) AS n;
"""
_MAKE_EVENTS = """
INSERT INTO referrals.click_event (
    tenant_id, click_event_id, referral_link_id, occurred_at, ip, user_agent, fraud_score)
SELECT {tenant}, md5('click ' || n), 'link-' || n * 7919 % {links},
       now() - n * 104729 % 1000003 / 1000003.0 * {days} * interval '1 day', '203.0.' || n % 256 || '.7',
       'Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36 ' || n,
       CASE WHEN n % 100 = 7 THEN 9 END
FROM generate_series({first}::bigint, {first} + {events} - 1) AS n WHERE n % 10 <> 0;
INSERT INTO referrals.signup_event (
    tenant_id, signup_event_id, click_event_id, referral_link_id, occurred_at, email)
SELECT {tenant}, md5('signup ' || n), md5('click ' || n + 1), 'link-' || n * 7919 % {links},
       now() - n * 104729 % 1000003 / 1000003.0 * {days} * interval '1 day', 'person' || n || '@example.com'
FROM generate_series({first}::bigint, {first} + {events} - 1) AS n WHERE n % 10 = 0;
"""

# As Django makes them: an index by foreign key, and none by time.
_OLDER = """
CREATE SCHEMA older;
CREATE TABLE older.click_event (id text PRIMARY KEY, referral_link_id text NOT NULL, timestamp timestamptz NOT NULL);
CREATE TABLE older.signup_event (id text PRIMARY KEY, referral_link_id text NOT NULL, timestamp timestamptz NOT NULL);
INSERT INTO older.click_event SELECT click_event_id, referral_link_id, occurred_at FROM referrals.click_event
    WHERE tenant_id = {tenant} AND hashtext(click_event_id) % {share} = 0;
INSERT INTO older.signup_event SELECT signup_event_id, referral_link_id, occurred_at FROM referrals.signup_event
    WHERE tenant_id = {tenant} AND hashtext(signup_event_id) % {share} = 0;
CREATE INDEX ON older.click_event (referral_link_id);
CREATE INDEX ON older.signup_event (referral_link_id);
CREATE TABLE older.daily_metrics (
    referral_link_id text NOT NULL, metric_date date NOT NULL, total_clicks int NOT NULL, total_signups int NOT NULL,
    click_to_signup_rate double precision NOT NULL);
CREATE INDEX ON older.daily_metrics (referral_link_id);
ANALYZE older.click_event, older.signup_event;
"""

FIRST, AGAIN, LATER = "first export", "again, unchanged", f"{_MORE:,} events more"
NEW, RECOUNTED = "one statement, new", "one statement, again"
LOOP = f"link by link, the older way ({_LOOPED_DAYS} days of 1/{_SHARE})"


@contextmanager
def _google() -> Generator[GoogleSettings]:
    """The stand-in for Google Sheets with an empty spreadsheet."""
    with tempfile.TemporaryDirectory() as folder:
        services = ServicesProcess(Path(folder), free_port(), free_port(), Path(folder) / "log")
        services.start(environment={})
        try:
            base = f"http://{HOST}:{services.port}/sheets"
            made = httpx2.put(
                f"{base}/_spreadsheets/{_SPREADSHEET}", json={"title": "Benchmark", "shared_with": "everybody"}
            )
            made.raise_for_status()
            yield GoogleSettings(
                google_service_account_json=SecretStr(str(Path(folder) / "google-service-account.json")),
                google_sheets_url=base,
            )
        finally:
            services.stop()


def _export(connection: psycopg.Connection, tenant: Tenant, google: GoogleSettings, name: str) -> dict[str, Any]:
    narrate(f"  {name}")
    began = time.perf_counter()
    with open_spreadsheet(google, _SPREADSHEET, gate=partial(Gate, connection)) as spreadsheet:
        done = export(connection, tenant, spreadsheet, list(COLUMNS))
        sent = spreadsheet.requests
    return {
        "what": name,
        "events": done.worksheets["Tracker_Raw_Data"].difference.added,
        "seconds": round(time.perf_counter() - began, 2),
        "reads": sent.reads,
        "writes": sent.writes,
    }


def _fill(database: BenchmarkDatabase, tenant: str, events: int, first: int = 0) -> None:
    values = {"tenant": tenant, "officers": _OFFICERS, "links": _LINKS, "days": _DAYS, "events": events, "first": first}
    with database.superuser() as connection:
        if not first:
            connection.execute(sql.SQL(_FILL).format(**values))
        connection.execute(sql.SQL(_MAKE_EVENTS).format(**values))


def _count_at_once(connection: psycopg.Connection, tenant: Tenant) -> float:
    first = datetime.now(UTC).date() - timedelta(days=_DAYS + 2)
    began = time.perf_counter()
    metrics.count_days(connection, tenant, first, first + timedelta(days=_DAYS + 5))
    return time.perf_counter() - began


def _count_link_by_link(connection: psycopg.Connection) -> float:
    began = time.perf_counter()
    for number in range(1, _LOOPED_DAYS + 1):
        day = datetime.now(UTC).date() - timedelta(days=number)
        with connection.transaction():
            for link in range(_LINKS):
                _update_or_create(connection, f"link-{link}", day)
    return time.perf_counter() - began


def _update_or_create(connection: psycopg.Connection, link: str, day: date) -> None:
    def one(statement: LiteralString, *values: Any) -> Any:
        row = connection.execute(statement, values, prepare=True).fetchone()
        return row[0] if row else None

    of_day = "WHERE referral_link_id = %s AND (timestamp AT TIME ZONE 'UTC')::date = %s"
    clicks = one(f"SELECT count(*) FROM older.click_event {of_day}", link, day)
    signups = one(f"SELECT count(*) FROM older.signup_event {of_day}", link, day)
    rate = signups / clicks * 100 if clicks else 0.0
    held = one(
        "SELECT 1 FROM older.daily_metrics WHERE referral_link_id = %s AND metric_date = %s FOR UPDATE", link, day
    )
    statement = (
        "UPDATE older.daily_metrics SET total_clicks = %s, total_signups = %s, click_to_signup_rate = %s"
        " WHERE referral_link_id = %s AND metric_date = %s"
        if held
        else "INSERT INTO older.daily_metrics (total_clicks, total_signups, click_to_signup_rate, referral_link_id,"
        " metric_date) VALUES (%s, %s, %s, %s, %s)"
    )
    connection.execute(statement, [clicks, signups, rate, link, day], prepare=True)


def _measure_counting(
    database: BenchmarkDatabase, connection: psycopg.Connection, rounds: int
) -> dict[str, tuple[int, float]]:
    """By contestant: how many events it counted, and the median of its seconds."""
    tenant = tenants.get(connection, _COUNTED)
    seconds: dict[str, list[float]] = {NEW: [], RECOUNTED: [], LOOP: []}
    with database.superuser() as superuser:
        superuser.execute(sql.SQL(_OLDER).format(tenant=_COUNTED, share=_SHARE))
        for number in range(1, rounds + 1):
            narrate(f"counting, round {number} of {rounds}")
            superuser.execute("TRUNCATE referrals.daily_metrics, older.daily_metrics")
            for name in (NEW, RECOUNTED):
                database.settle(sql.Identifier("referrals", "daily_metrics"))
                seconds[name].append(_count_at_once(connection, tenant))
            database.settle(sql.Identifier("older", "daily_metrics"))
            seconds[LOOP].append(_count_link_by_link(superuser))
        row = superuser.execute("SELECT sum(total_clicks + total_signups) FROM older.daily_metrics").fetchone()
    events = {NEW: _ALL_EVENTS, RECOUNTED: _ALL_EVENTS, LOOP: int(row[0]) if row else 0}
    return {name: (events[name], median(taken)) for name, taken in seconds.items()}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often counting is measured")
    given = parser.parse_args()
    with (
        benchmark_database({_EXPORTED: "none", _COUNTED: "none"}) as database,
        connect(database.settings) as connection,
    ):
        narrate("making events")
        _fill(database, _EXPORTED, _EVENTS)
        _fill(database, _COUNTED, _ALL_EVENTS)
        events = ("click_event", "signup_event", "touched_quarter")
        database.settle(*(sql.Identifier("referrals", table) for table in events))
        counting = _measure_counting(database, connection, given.rounds)
        tenant = tenants.get(connection, _EXPORTED)
        with _google() as google:
            narrate("exporting")
            exports = [_export(connection, tenant, google, FIRST), _export(connection, tenant, google, AGAIN)]
            _fill(database, _EXPORTED, _MORE, first=_EVENTS)
            exports.append(_export(connection, tenant, google, LATER))
        with tenant_transaction(connection, _EXPORTED):
            row = connection.execute(
                "SELECT count(*), count(DISTINCT position) FROM referrals.exported_event"
            ).fetchone()
    per_event = {name: taken / events for name, (events, taken) in counting.items()}
    writes = {found["what"]: found["writes"] for found in exports}
    return finish(
        f"worksheets of {_EVENTS:,} events of {_OFFICERS} officers in {_DAYS} days; {_ALL_EVENTS:,} events counted,"
        f" median of {given.rounds} rounds",
        [
            *exports,
            *(
                {"what": name, "events": events, "seconds": round(taken, 3), "reads": None, "writes": None}
                for name, (events, taken) in counting.items()
            ),
        ],
        [
            Bar("write requests of the first export", writes[FIRST], 59, at_least=False),
            Bar("write requests of an unchanged one", writes[AGAIN], 0, at_least=False),
            Bar("events in the ledger, of those that there are", row[1] / (_EVENTS + _MORE) if row else 0, 1),
            Bar("counting in one statement, to link by link, per event", per_event[LOOP] / per_event[NEW], 20),
        ],
        notes=[
            f"Counting: {per_event[NEW] * 1e6:.2f} microseconds an event, link by link {per_event[LOOP] * 1e6:.1f}."
        ],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
