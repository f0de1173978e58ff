"""All that a run does for one tenant: it settles lost answers, takes phones, enriches contacts, adds to profiles."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

import psycopg

from cdp_platform.enrichment import phones, profiles, running, unknown
from cdp_platform.enrichment.phones import Asked
from cdp_platform.enrichment.running import OpenClient, PhoneAddress, RunResult
from cdp_platform.enrichment.unknown import Settled
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.leases import Connect
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Progress: TypeAlias = Callable[[int, int, str], object]
"""Called with contacts that have an outcome now, contacts that had none when the run began, and further figures."""


@dataclass
class UpdateResult:
    """The work that was done for one tenant.

    Attributes:
        ran: what was asked and answered.
        settled: what became of lost answers.
        asked: what became of phones that were not delivered in time.
        profiles: profiles that gained something.
    """

    ran: RunResult
    settled: Settled = field(default_factory=Settled)
    asked: Asked = field(default_factory=Asked)
    profiles: int = 0


def update(
    connect: Connect,
    tenant_id: str,
    open_client: OpenClient,
    settings: EnrichmentSettings,
    *,
    seconds: float,
    web_url: str | None = None,
    progress: Progress = lambda _done, _total, _figures: None,
) -> UpdateResult:
    """Bring a tenant's searches as far as they can be brought now. Several processes may do so at once.

    Args:
        connect: opens a connection as the platform's role.
        tenant_id: whose searches.
        open_client: opens the provider's client. It is not called without a key if there is nothing to ask.
        settings: of the platform.
        seconds: no paid call begins later than this.
        web_url: ``CDP_WEB_URL``, where phones are delivered to.
        progress: called from any thread.
    """
    result = UpdateResult(RunResult())
    if settings.apollo_api_key.get_secret_value():
        # Evidence first: what it settles is asked about in this very run.
        with open_client() as client:
            result.settled = unknown.settle(connect, tenant_id, client, settings)
            result.asked = phones.ask(connect, tenant_id, client, settings)
    watch = _Watch(_waiting(connect, tenant_id), settings.apollo_credit_currency, progress)
    result.ran = running.run(
        connect,
        tenant_id,
        open_client,
        settings,
        seconds=seconds,
        phone_address=_phone_address(web_url),
        progress=watch.tell,
    )
    with connect() as connection:
        result.profiles = profiles.add(connection, tenant_id)
    return result


def _phone_address(web_url: str | None) -> PhoneAddress | None:
    """Where phones can be delivered to. Only searches for phones fail where they would travel unencrypted."""
    with suppress(ConfigurationError):
        return phones.addresses(web_url)
    return None


def _waiting(connect: Connect, tenant_id: str) -> int:
    with connect() as connection, tenant_transaction(connection, tenant_id):
        return _contacts_to_do(connection, tenant_id)


def _contacts_to_do(connection: psycopg.Connection, tenant_id: str) -> int:
    row = connection.execute(statement("enrichment", "contacts_to_do"), {"tenant": tenant_id}).fetchone()
    return row[0] if row else 0


class _Watch:
    """Tells a person who watches how far a run is."""

    def __init__(self, contacts: int, currency: str, progress: Progress) -> None:
        self.contacts = contacts
        self.currency = currency
        self.progress = progress
        self.began = time.monotonic()

    def tell(self, so_far: RunResult) -> None:
        """Tell of a result; called under the run's lock."""
        done = so_far.enriched + so_far.no_match + so_far.unusable
        total = max(self.contacts, done)
        seconds = max(time.monotonic() - self.began, 0.001)
        left = timedelta(seconds=round(seconds / done * (total - done))) if done else "?"
        money = f"{so_far.credits:f} credits, {so_far.cost:.2f} {self.currency}"
        self.progress(done, total, f"{money}, {so_far.calls * 60 / seconds:.0f} calls/min, {left} left")
