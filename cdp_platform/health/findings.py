"""The state of every outside system: whether it answers, its version and latency, and what to do if it does not."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar

import psycopg

from cdp_platform import settings
from cdp_platform.campaigns.channels.config import configured
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.customers import looks as source_looks
from cdp_platform.customers import profiles, transactions
from cdp_platform.customers.source import WANTED_INDEX, with_database
from cdp_platform.enrichment import running
from cdp_platform.enrichment.budget import SPENT_AT
from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
from cdp_platform.health import dagster_home, looks
from cdp_platform.health.telling import unsettled
from cdp_platform.ops import alerts, tenants
from cdp_platform.ops.spend import Spend
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals.spreadsheets import asked_for
from cdp_platform.resources.apollo import account_of
from cdp_platform.resources.arango import ArangoDatabase
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse import pooler
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import current, head
from cdp_platform.warehouse.versions import unmet

T = TypeVar("T")

# Number of systems that are looked at in parallel: together they take little longer than one that hangs.
_AT_ONCE = 16
# How long a message about alerts may wait for its channel.
_LONGEST_UNTOLD = timedelta(minutes=10)
# Number of tenants' databases to try, since the user may not have access to each.
_DATABASES_TO_TRY = 3


@dataclass
class Finding:
    """The state of one system.

    Attributes:
        system: what was looked at.
        state: ``ok``, ``warn`` (works, but not as it should) or ``error``.
        version: as the system reports it, or ''.
        latency_ms: milliseconds that one small request took; None if there was no answer, or nothing to ask.
        advice: what is wrong and what to do, or ''.
    """

    system: str
    state: str = "ok"
    version: str = ""
    latency_ms: float | None = None
    advice: str = ""

    def worsen(self, state: str, advice: str) -> None:
        """Add a problem. The state never becomes better."""
        self.state = "error" if "error" in {self.state, state} else state
        self.advice = f"{self.advice} {advice}".strip()


Look = Callable[[Finding], object]


def examine() -> list[Finding]:
    """Look at the warehouse, Dagster's database, ArangoDB and each active tenant's database and spreadsheet.

    Also at the tracker's database, the server of embeddings, the channels of messages and the provider of contacts, if
    these are configured.
    """
    warehouse = Finding("PostgreSQL (warehouse)")
    registered: list[Tenant] = []
    _take(warehouse, lambda finding: registered.extend(_warehouse(finding)))
    looking: list[tuple[Finding, Look]] = [
        *_arango(registered),
        *_looks_at_sources(registered),
        (Finding("PostgreSQL (Dagster)"), _dagster_storage),
        *_configured("PostgreSQL (referral tracker)", _tracker),
        *_configured("Embeddings", _embeddings),
        *_configured("Google Sheets", partial(_spreadsheets, registered)),
        *_configured("Channels", _channels),
        *_configured("Apollo", partial(_apollo, registered)),
    ]
    with ThreadPoolExecutor(_AT_ONCE, "look") as pool:
        list(pool.map(lambda each: _take(*each), looking))
    return [warehouse, *(finding for finding, _ in looking)]


def examine_own() -> list[Finding]:
    """Look at the warehouse, Dagster's database, and alerts."""
    found = [Finding("PostgreSQL (warehouse)"), Finding("PostgreSQL (Dagster)"), Finding("Alerts")]
    for finding, look in zip(found, (_warehouse, _dagster_storage, _alerts), strict=True):
        _take(finding, look)
    return found


def _alerts(finding: Finding) -> None:
    """Warn of open alerts; an error if nobody could be told of one for long."""
    with connect(settings.postgres()) as connection:
        opened = alerts.listed(connection)
        waiting = [each for each in unsettled(connection) if each.state != "unknown"]
    if opened:
        finding.worsen("warn", f"{len(opened)} are open: `cdp alerts list` shows them.")
    late = [each for each in waiting if datetime.now(UTC) - each.created_at > _LONGEST_UNTOLD]
    if late:
        finding.worsen("error", f"{len(late)} messages about alerts wait: {late[0].reason or 'nobody sent them'}")


def _warehouse(finding: Finding) -> list[Tenant]:
    if complaint := pooler.complaint(settings.postgres()):
        finding.worsen("error", complaint)
        return []
    with connect(settings.postgres()) as connection:
        return _tenants(connection, finding)


def _tenants(connection: psycopg.Connection, finding: Finding) -> list[Tenant]:
    finding.version = _timed(finding, lambda: connection.execute("SHOW server_version").fetchone() or [""])[0]
    if lacking := unmet(connection):
        finding.worsen("error", lacking)
        return []
    revision = current(connection)
    if revision != head():
        finding.worsen("error", f"The schema is at {revision or 'no revision yet'}, not {head()}: run `cdp migrate`.")
        return []
    registered = tenants.registered(connection)
    if not registered:
        finding.worsen("warn", "No tenants yet: `cdp tenant add` makes one.")
    return registered


def _dagster_storage(finding: Finding) -> None:
    home = dagster_home.read()
    if home is None:
        finding.worsen(
            "warn",
            "DAGSTER_HOME is not set, so Dagster keeps no record of what commands do. `cdp init` writes what a folder "
            "needs.",
        )
        return
    if home.telemetry:
        finding.worsen("warn", "Telemetry is on: set `telemetry: {enabled: false}` in dagster.yaml.")
    if home.conninfo is None:
        finding.worsen(
            "warn",
            "dagster.yaml names no PostgreSQL, so Dagster keeps its runs in SQLite files, which are slow and for one "
            "machine only: `cdp init` in an empty folder writes one that does.",
        )
        return
    finding.version = _timed(finding, partial(looks.dagster_storage, home.conninfo))


def _arango(registered: list[Tenant]) -> list[tuple[Finding, Look]]:
    """The server and each active tenant's database; nothing if no tenant has one."""
    read_from = with_database(registered)
    if not read_from and any(tenant.active for tenant in registered):
        return []
    return [
        (Finding("ArangoDB"), partial(_arango_server, read_from)),
        *_configured("ArangoDB (ARANGO_DB)", partial(_default_database, read_from)),
        *_tenant_databases(read_from),
    ]


def _looks_at_sources(registered: list[Tenant]) -> list[tuple[Finding, Look]]:
    """Check that the sensor looks at every tenant's database often enough."""

    def ask(finding: Finding) -> None:
        with connect(settings.postgres()) as connection:
            ages = _timed(finding, lambda: source_looks.ages(connection))
        if words := source_looks.flaw(ages):
            finding.worsen("warn", words)
        if any(each.ever for each in ages):
            finding.version = f"oldest {ages[0].age_seconds:.0f} s ago"

    return [(Finding("Looks at sources"), ask)] if with_database(registered) else []


def _arango_server(read_from: list[Tenant], finding: Finding) -> None:
    """Check that the server answers and lets the user in. Any database will do for that."""
    databases = [settings.arango().db, *(tenant.arango_database for tenant in read_from)]
    for name in filter(None, dict.fromkeys(["_system", *databases[:_DATABASES_TO_TRY]])):
        try:
            finding.version = _timed(finding, partial(looks.arango, name, ArangoDatabase.version))
        except SourceError as error:
            if error.transient:
                raise
            refused = error
        else:
            return
    raise refused


def _default_database(read_from: list[Tenant]) -> list[tuple[Finding, Look]]:
    name = settings.arango().db
    if not name or name in {tenant.arango_database for tenant in read_from}:
        return []
    ask = partial(looks.arango, name, ArangoDatabase.version)
    return [(Finding(f"ArangoDB {name} (ARANGO_DB)"), lambda finding: _timed(finding, ask))]


def _tenant_databases(read_from: list[Tenant]) -> list[tuple[Finding, Look]]:
    return [
        (Finding(f"ArangoDB {tenant.arango_database} ({tenant.tenant_id})"), partial(_indexes, tenant.arango_database))
        for tenant in read_from
    ]


def _indexes(name: str, finding: Finding) -> None:
    def fields(database: ArangoDatabase) -> dict[str, list[tuple[str, ...]]]:
        collections = (profiles.COLLECTION, transactions.COLLECTION)
        return {each: _timed(finding, partial(database.indexed_fields, each)) for each in collections}

    for of_cdp, indexed in looks.arango(name, fields).items():
        collection = settings.collections().names[of_cdp]
        if WANTED_INDEX not in indexed:
            finding.worsen(
                "warn",
                f"{collection} has no persistent index on {list(WANTED_INDEX)}, so each sync sorts all of it: "
                f"db.{collection}.ensureIndex({{type: 'persistent', fields: {list(WANTED_INDEX)}}}).",
            )


def _tracker() -> list[tuple[Finding, Look]]:
    if not settings.referrals().referral_database_url.get_secret_value():
        return []
    return [(Finding("PostgreSQL (referral tracker)"), lambda finding: _timed(finding, looks.tracker))]


def _embeddings() -> list[tuple[Finding, Look]]:
    provider = settings.embeddings().embedding_provider
    if provider != "openai":
        return []
    ask = partial(looks.embeddings_server, provider)
    return [(Finding("Embeddings (openai)"), lambda finding: _timed(finding, ask))]


def _spreadsheets(registered: list[Tenant]) -> list[tuple[Finding, Look]]:
    """Check each spreadsheet that worksheets are written to: that it exists and is shared with the service account."""

    def ask(tenant: Tenant, finding: Finding) -> None:
        _timed(finding, lambda: looks.google(tenant, registered))

    default = settings.google().google_sheet_id
    return [
        (Finding(f"Google Sheets ({tenant.tenant_id})"), partial(ask, tenant))
        for tenant in registered
        if tenant.active and asked_for(tenant, default)
    ]


def _channels() -> list[tuple[Finding, Look]]:
    """Check that each channel takes messages, and that opt-outs are safe from the restore of an older backup."""

    def ask(channel: Channel, finding: Finding) -> None:
        finding.version = _timed(finding, lambda: looks.channel(channel))

    channels = configured()
    found: list[tuple[Finding, Look]] = [
        (Finding(f"Channel {name}"), partial(ask, channel)) for name, channel in channels.items()
    ]
    return [*found, (Finding("Opt-outs"), _opt_outs)] if channels else []


def _opt_outs(finding: Finding) -> None:
    if settings.web().opt_out_journal is None:
        finding.worsen(
            "warn",
            "OPT_OUT_JOURNAL is not set, so a restored backup forgets later opt-outs: name a file on another disk.",
        )


def _apollo(registered: list[Tenant]) -> list[tuple[Finding, Look]]:
    chosen = settings.enrichment()
    if not chosen.apollo_api_key.get_secret_value():
        return []
    return [(Finding("Apollo"), partial(_apollo_account, chosen, registered))]


def _apollo_account(chosen: EnrichmentSettings, registered: list[Tenant], finding: Finding) -> None:
    """Check the key; say what is left of credits and calls, what is used today, and whether the breaker is open."""
    balance, windows = _timed(finding, lambda: looks.apollo(chosen))
    if balance is None:
        finding.worsen(
            "warn",
            "The key may not read the usage of credits, so nothing shows whether a lost answer was charged. Create a "
            "master key in Apollo's settings.",
        )
    # Without a migrated warehouse nobody has used any, and its own finding says what to do.
    left = [f"{_used_today(chosen, registered, finding):f} credits used today"] if registered else []
    if balance is not None and balance.lead.left is not None:
        left.append(f"{balance.lead.left:f} left")
    left += [
        f"{window.left:,} of {window.limit:,} calls left in {seconds:,} s"
        for seconds, window in windows.items()
        if window.left is not None and window.limit is not None
    ]
    finding.version = ", ".join(left)


def _used_today(chosen: EnrichmentSettings, registered: list[Tenant], finding: Finding) -> Decimal:
    """Credits that all tenants used; tells also of a breaker that is open."""
    today, used = datetime.now(UTC).date(), Decimal(0)
    with connect(settings.postgres()) as connection:
        closed = running.gate(connection, account_of(chosen.apollo_api_key.get_secret_value()), chosen).closed()
        if closed is not None:
            finding.worsen("warn", f"No contact is asked about for {closed.seconds:.0f} s: {closed.reason}")
        for tenant in registered:
            with tenant_transaction(connection, tenant.tenant_id):
                used += Spend("enrichment", tenant.tenant_id, SPENT_AT, "credits", today).amount(connection)
    return used


def _configured(system: str, looks_at: Callable[[], list[tuple[Finding, Look]]]) -> list[tuple[Finding, Look]]:
    """The looks at a kind of system; if its settings are wrong, a finding that says so instead."""
    try:
        return looks_at()
    except ConfigurationError as error:
        message = str(error)
        return [(Finding(system), lambda finding: finding.worsen("error", message))]


def _timed(finding: Finding, ask: Callable[[], T]) -> T:
    started = time.perf_counter()
    answer = ask()
    finding.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return answer


def _take(finding: Finding, look: Look) -> None:
    """Look, and add an error as a problem of the finding, so that one system's error hides no other."""
    try:
        look(finding)
    except PlatformError as error:
        finding.worsen("error", str(error))
