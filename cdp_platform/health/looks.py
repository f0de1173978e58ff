"""Quick looks at outside systems: before long work, and for `cdp health`.

A run waits and tries again, since nobody may be watching it. A look is for a person who waits: it answers within
`LOOK_SECONDS`, even if resolving a name, a connection, TLS or an answer hangs, and says what to do.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import httpx2
import psycopg
from psycopg.conninfo import conninfo_to_dict

from cdp_platform import settings
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.catalog.changes import with_short_timeout
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.sources import open_source
from cdp_platform.deadline import within
from cdp_platform.errors import ConfigurationError, PacedError, SourceError, UnavailableError, shown_address
from cdp_platform.ops.gate import Gate
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals.spreadsheets import spreadsheet_of
from cdp_platform.referrals.tracker_database import VARIABLE, address, open_tracker
from cdp_platform.resources import network
from cdp_platform.resources.apollo import Apollo, Credits, Window
from cdp_platform.resources.arango import ArangoDatabase, open_database
from cdp_platform.resources.sheets import RequestLimits, open_spreadsheet
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.connection import NETWORK_LIMITS, connect, refusal

T = TypeVar("T")

LOOK_SECONDS = 10.0
# Limit of each step of a look.
_STEP_SECONDS = 8.0
_GOOGLE = RequestLimits(answer_seconds=_STEP_SECONDS, attempts=1, turn_seconds=3.0)


def arango(database: str, ask: Callable[[ArangoDatabase], T]) -> T:
    """Ask a database of ArangoDB a small question, and return its answer.

    Raises:
        SourceError: no answer, or a refusal.
    """
    configured = settings.arango()

    def look() -> T:
        with open_database(configured, database, timeout_seconds=_STEP_SECONDS) as opened:
            return ask(opened)

    return _answered(f"ArangoDB at {configured.host}, database {database}", "ARANGO_HOST", look)


def google(tenant: Tenant, registered: Sequence[Tenant]) -> None:
    """Read the list of worksheets of the tenant's spreadsheet.

    Raises:
        ConfigurationError: the account has no access, or there is no such spreadsheet.
        SourceError: no answer.
    """
    configured = settings.google()
    spreadsheet_id = spreadsheet_of(tenant, registered, configured.google_sheet_id) or ""

    def look() -> None:
        with (
            connect(settings.postgres()) as connection,
            open_spreadsheet(configured, spreadsheet_id, gate=partial(Gate, connection), limits=_GOOGLE) as spreadsheet,
        ):
            spreadsheet.sheets()

    # The next turn is so far away only if other processes use up Google's quota, so Google answers.
    with suppress(PacedError):
        _answered(f"Google Sheets at {configured.google_sheets_url}", "GOOGLE_SHEETS_URL", look)


def tracker() -> None:
    """Connect to the tracker's database, if it has one of its own, and check that its relations are there.

    Raises:
        ConfigurationError: its address is not usable.
        SourceError: no connection, or something is missing there.
    """
    url = settings.referrals().referral_database_url.get_secret_value()
    if not url:
        return

    def look() -> None:
        with open_tracker(url) as opened:
            opened.check()

    _answered(f"The tracker's database {address(url).where}", VARIABLE, look)


def embeddings_server(provider: str) -> None:
    """Check that the server of an embedding provider answers. Any answer counts; the request costs nothing.

    Args:
        provider: its name. Those that run on this machine have no server and are not asked.

    Raises:
        SourceError: no answer.
    """
    if provider != "openai":
        return
    url = httpx2.URL(settings.embeddings().openai_base_url)
    shown = f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"

    def look() -> None:
        try:
            with httpx2.stream("GET", url, timeout=httpx2.Timeout(_STEP_SECONDS, connect=5.0)):
                pass
        except httpx2.HTTPError as error:
            raise SourceError(
                f"Embeddings at {shown}: no answer: {network.reason(error)}. Is it running, and is OPENAI_BASE_URL "
                "right?",
                transient=True,
            ) from None

    _answered(f"Embeddings at {shown}", "OPENAI_BASE_URL", look)


def apollo(configured: EnrichmentSettings) -> tuple[Credits | None, dict[int, Window]]:
    """Check that Apollo takes the key, and ask what is left of its credits and limits; costs nothing.

    Returns:
        Credits, or None where the key may not ask for them; and calls for people, by length of the window in seconds.

    Raises:
        ConfigurationError: there is no key, or Apollo does not take it.
        SourceError: no answer.
    """

    def look() -> tuple[Credits | None, dict[int, Window]]:
        key = configured.apollo_api_key.get_secret_value()
        with Apollo(key, configured.apollo_base_url, timeout=_STEP_SECONDS) as client:
            client.health()
            try:
                return client.credits(), client.usage()
            except ConfigurationError:
                return None, {}

    return _answered(f"Apollo at {shown_address(configured.apollo_base_url)}", "APOLLO_BASE_URL", look)


def channel(of: Channel) -> str:
    """Check that a channel can be reached and takes messages from us; returns what was found.

    Raises:
        ConfigurationError: it refuses; its entry in channels.yaml has to change.
        SourceError: no answer.
    """
    return _answered(f"Channel {of.name}", "its entry in channels.yaml", of.look)


def registry(ingestor: Ingestor) -> None:
    """Read the registry of an ingestor.

    Raises:
        SourceError: it cannot be read; the message says what to do.
    """
    hurried = with_short_timeout(ingestor)

    def look() -> None:
        with open_source(hurried) as source:
            source.read(source.resolve("", ingestor.registry), max_bytes=ingestor.limits.max_shard_bytes)

    _answered(f"The registry of {ingestor.name}", "the address in the file that INGESTION_CONFIG_PATH names", look)


def dagster_storage(conninfo: str) -> str:
    """Connect to Dagster's own database; returns the server's version.

    Args:
        conninfo: the one of the dagster.yaml in use, see `dagster_home`.

    Raises:
        SourceError: no answer in time.
        UnavailableError: no connection.
    """
    known = conninfo_to_dict(conninfo)
    server = f"Dagster's own PostgreSQL at {known.get('host')}:{known.get('port', 5432)}"

    def look() -> str:
        try:
            with psycopg.connect(conninfo, **NETWORK_LIMITS) as connection:
                row = connection.execute("SHOW server_version").fetchone()
                return row[0] if row else ""
        except psycopg.OperationalError as error:
            raise UnavailableError(
                f"{server}/{known.get('dbname')} is not reachable: {refusal(error)}. Is the server up (`cdp sandbox "
                "status` for the embedded one), and are the DAGSTER_PG_ variables and dagster.yaml right?"
            ) from None

    return _answered(server, "DAGSTER_PG_HOST", look)


def _answered(where: str, variable: str, look: Callable[[], T]) -> T:
    def late() -> Exception:
        return SourceError(
            f"{where}: no answer within {LOOK_SECONDS:.0f} s. Is it running, does its name resolve, is the way to it "
            f"open, and is {variable} right?",
            transient=True,
        )

    return within(LOOK_SECONDS, look, late=late)
