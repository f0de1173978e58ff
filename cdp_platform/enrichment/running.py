"""A run: the paid searches of a tenant go on, until nothing is left to ask, a limit is reached or the provider is away.

Calls are reserved for several threads at once. Each thread takes one after the other: a turn at the gate, the
hand-over, the request, the answer. `asking` has what becomes of one. Rounds follow each other while they ask something,
as an answer releases money that another search waits for.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from cdp_platform.enrichment import account, answers, budget, calls, reserving, searches
from cdp_platform.enrichment.asking import Worker
from cdp_platform.enrichment.reserving import OpenClient, PhoneAddress, Progress, Run, RunResult, gate
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.ops.leases import Connect, Leases
from cdp_platform.resources.apollo import account_of
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.statements import statement


def run(
    connect: Connect,
    tenant_id: str,
    open_client: OpenClient,
    settings: EnrichmentSettings,
    *,
    seconds: float,
    phone_address: PhoneAddress | None = None,
    progress: Progress = lambda _result: None,
) -> RunResult:
    """Enrich the contacts of a tenant's paid searches. Several processes may run for the same tenant.

    Args:
        connect: opens a connection as the platform's role; up to ten are open at a time.
        tenant_id: whose searches.
        open_client: opens the provider's client, if there is something to ask.
        settings: of the platform.
        seconds: no call begins later than this.
        phone_address: makes the address that the phones of a call are delivered to, from tenant, call and secret; a
            search for phones fails without it.
        progress: called from any thread with the result so far.

    Raises:
        psycopg.OperationalError: the warehouse was lost. Of calls under way the answers become unknown as their leases
            end, and nothing is bought twice.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(connect())
        tenant = tenants.get(connection, tenant_id)
        going = Run(
            connect=connect,
            connection=connection,
            tenant_id=tenant_id,
            open_client=lambda: stack.enter_context(open_client()),
            settings=settings,
            tenant_settings=EnrichmentTenantSettings.of(tenant),
            account=account_of(settings.apollo_api_key.get_secret_value()),
            phone_address=phone_address,
            progress=progress,
            ends_at=time.monotonic() + seconds,
        )
        stack.enter_context(Leases(connect)).hold(going.claim)
        _begin(going)
        try:
            while _ask_round(going):
                pass
        finally:
            if not connection.closed:
                _put_back(going)
        _finish(going)
        return going.result


def _begin(going: Run) -> None:
    """Take up what is paid, settle calls of workers that vanished, and hand out what is known already."""
    began = {
        "tenant": going.tenant_id,
        "price": going.settings.apollo_credit_price,
        "currency": going.settings.apollo_credit_currency,
    }
    with calls.transaction(going.connection, going.tenant_id):
        paid = going.connection.execute(statement("enrichment", "begin_searches"), began).fetchall()
        for (search_id,) in paid:
            searches.move(going.connection, going.tenant_id, search_id, "paid", "enriching")
        calls.end_leases(going.connection, going.tenant_id)
        delivered = answers.deliver(going.connection, going.tenant_id)
    going.note(enriched=delivered.get("enriched", 0), no_match=delivered.get("no_match", 0))


def _ask_round(going: Run) -> bool:
    """Ask until nothing is left to ask at the moment; whether another round may help, as this one asked."""
    going.looked_at = set(going.given_up)
    before = going.result.calls
    closed = gate(going.connection, going.account, going.settings).closed()
    if closed and closed.is_broken:
        going.leave_to_later("provider_away", closed.reason, closed.seconds)
        return False
    if not going.reserve(going.connection):
        return False
    # The calls will say what is wrong with the key.
    with suppress(ConfigurationError):
        account.baseline(going.connection, going.account, going.client)
    number = min(reserving.THREADS, len(going.reserved))
    with ThreadPoolExecutor(number, "ask") as pool:
        for thread in [pool.submit(_ask, going) for _ in range(number)]:
            thread.result()
    return going.result.calls > before and not going.stopped.is_set()


def _put_back(going: Run) -> None:
    """Give back what was reserved and is not asked."""
    left, going.reserved = list(going.reserved), deque()
    if left:
        with calls.transaction(going.connection, going.tenant_id):
            for call in left:
                calls.fail(going.connection, going.tenant_id, call.call_id, "not sent: the run ended")


def _finish(going: Run) -> None:
    """End searches that are complete, and say what the others wait for."""
    names = {"tenant": going.tenant_id, "seconds": budget.LOOK_AGAIN.total_seconds()}
    with calls.transaction(going.connection, going.tenant_id):
        row = going.connection.execute(statement("enrichment", "finish_searches"), names).fetchone()
        going.result.ready = row[0] if row else 0
        if not going.stopped.is_set():
            going.connection.execute(statement("enrichment", "wait_for_others"), names)


def _ask(going: Run) -> None:
    """A thread of its own."""
    try:
        with going.connect() as connection, going.connect() as gates:
            # Turns that a crash of the server forgets are worth no durable commit.
            gates.execute("SET synchronous_commit = off")
            Worker(going, connection, gate(gates, going.account, going.settings)).ask_all()
    except BaseException:
        going.stopped.set()
        raise
