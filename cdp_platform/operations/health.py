"""Is every outside system there, which version is it, how fast does it answer, and what is to be done if not."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from cdp_platform import settings
from cdp_platform.customers import profiles, transactions
from cdp_platform.customers.source import WANTED_INDEX
from cdp_platform.errors import PlatformError
from cdp_platform.referrals import tracker
from cdp_platform.referrals.spreadsheets import asked_for, spreadsheet_of
from cdp_platform.resources.arango import open_database
from cdp_platform.resources.sheets import Patience, open_spreadsheet
from cdp_platform.warehouse import tenants
from cdp_platform.warehouse.connection import connect, refusal
from cdp_platform.warehouse.migrate import current, head
from cdp_platform.warehouse.pacing import Pacer
from cdp_platform.warehouse.tenants import Tenant

T = TypeVar("T")

# Whoever asks wants to know now, also that something hangs.
_PATIENCE = 10.0
_ONE_LOOK = Patience(answer=_PATIENCE, attempts=1)


@dataclass
class Finding:
    """The state of one system.

    Attributes:
        system: what was looked at.
        state: ``ok``, ``warn`` (works, but not as it should) or ``error``.
        version: as the system says, or ''.
        latency_ms: of one small request, None if there was no answer.
        advice: what is wrong and what to do, or ''.
    """

    system: str
    state: str = "ok"
    version: str = ""
    latency_ms: float | None = None
    advice: str = ""

    def worsen(self, state: str, advice: str) -> None:
        """Note a flaw."""
        self.state = "error" if "error" in {self.state, state} else state
        self.advice = f"{self.advice} {advice}".strip()


def examine() -> list[Finding]:
    """Look at the warehouse, Dagster's database, ArangoDB, and each active tenant's database and spreadsheet."""
    findings: list[Finding] = []
    registered: list[Tenant] = []
    with _looking_at("PostgreSQL (warehouse)", findings) as finding, connect(settings.postgres()) as connection:
        registered = _warehouse(connection, finding)
    with (
        _looking_at("ArangoDB", findings) as finding,
        open_database(settings.arango(), settings.arango().db or "_system", timeout_seconds=_PATIENCE) as database,
    ):
        finding.version = _timed(finding, database.version)
    if findings[-1].state == "ok":
        findings += _tenant_databases(registered)
    with _looking_at("PostgreSQL (Dagster)", findings) as finding:
        _dagster_storage(finding)
    return findings + _tracker() + _spreadsheets(registered)


def _warehouse(connection: psycopg.Connection, finding: Finding) -> list[Tenant]:
    finding.version = _timed(finding, lambda: connection.execute("SHOW server_version").fetchone() or [""])[0]
    revision = current(connection)
    if revision != head():
        finding.worsen("error", f"The schema is at {revision or 'no revision yet'}, not {head()}: run `cdp migrate`.")
        return []
    registered = tenants.registered(connection)
    if not registered:
        finding.worsen("warn", "No tenants yet: `cdp tenant add` makes one.")
    return registered


def _dagster_storage(finding: Finding) -> None:
    storage = settings.dagster_storage()
    try:
        with psycopg.connect(
            host=storage.host,
            port=storage.port,
            dbname=storage.db,
            user=storage.username,
            password=storage.password.get_secret_value(),
            connect_timeout=10,
        ) as connection:
            finding.version = _timed(finding, lambda: connection.execute("SHOW server_version").fetchone() or [""])[0]
    except psycopg.OperationalError as error:
        finding.worsen("error", f"Not reachable: {refusal(error)}. Check the DAGSTER_PG_ variables.")


def _tenant_databases(registered: list[Tenant]) -> list[Finding]:
    findings: list[Finding] = []
    for tenant in registered:
        if not tenant.active:
            continue
        with (
            _looking_at(f"ArangoDB {tenant.arango_database} ({tenant.tenant_id})", findings) as finding,
            open_database(settings.arango(), tenant.arango_database, timeout_seconds=_PATIENCE) as database,
        ):
            for collection in (profiles.COLLECTION, transactions.COLLECTION):
                fields = _timed(finding, lambda name=collection: database.indexed_fields(name))
                if WANTED_INDEX not in fields:
                    finding.worsen(
                        "warn",
                        f"{collection} has no persistent index on {list(WANTED_INDEX)}, so each sync sorts all of it: "
                        f"db.{collection}.ensureIndex({{type: 'persistent', fields: {list(WANTED_INDEX)}}}).",
                    )
    return findings


def _tracker() -> list[Finding]:
    findings: list[Finding] = []
    if url := settings.referrals().referral_database_url.get_secret_value():
        with _looking_at("PostgreSQL (referral tracker)", findings) as finding:
            _timed(finding, lambda: tracker.changed(url))
    return findings


def _spreadsheets(registered: list[Tenant]) -> list[Finding]:
    """Each spreadsheet that worksheets go to: is it there, and shared with the service account."""
    findings: list[Finding] = []
    google = settings.google()
    for tenant in registered:
        if not tenant.active or not asked_for(tenant, google.google_sheet_id):
            continue
        with _looking_at(f"Google Sheets ({tenant.tenant_id})", findings) as finding:
            spreadsheet_id = spreadsheet_of(tenant, registered, google.google_sheet_id) or ""
            with (
                connect(settings.postgres()) as connection,
                open_spreadsheet(google, spreadsheet_id, pace=Pacer(connection), patience=_ONE_LOOK) as spreadsheet,
            ):
                _timed(finding, spreadsheet.sheets)
    return findings


def _timed(finding: Finding, ask: Callable[[], T]) -> T:
    started = time.perf_counter()
    answer = ask()
    finding.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return answer


@contextmanager
def _looking_at(system: str, findings: list[Finding]) -> Generator[Finding]:
    finding = Finding(system)
    findings.append(finding)
    try:
        yield finding
    except PlatformError as error:
        finding.worsen("error", str(error))
