"""Phone numbers, which the provider delivers after its answer: to an address of each call, or when it is asked.

The provider signs nothing, so the address holds a secret of the call, of which the ledger has the hash. A delivery that
comes before its answer waits for it. Each is taken once: numbers go to all answers about the same person, and from
there to contacts. A person who was erased has no answer any more, and so gets none.
"""

import hmac
import ipaddress
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, urlsplit
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from cdp_platform.enrichment import account, budget, calls
from cdp_platform.enrichment.budget import PHONE_CREDITS
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops.leases import Connect
from cdp_platform.resources import apollo_answers
from cdp_platform.resources.apollo import Apollo, WebhookResult, account_of
from cdp_platform.resources.apollo_answers import Delivery, UnreadableError
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Taken: TypeAlias = Literal["taken", "kept", "known", "refused", "unreadable"]

# A delivery that has not come so long after its answer is asked for. The pauses grow with the age of the call.
_FIRST_ASKED_SECONDS = 600.0
_PAUSE_SHARE_OF_AGE = 0.25
_MOST_ASKED = 100
_WAIT_SECONDS = 5.0


@dataclass
class Asked:
    """The result of asking for a tenant's phones, in calls.

    Attributes:
        delivered: calls whose phones the provider had.
        pending: calls whose phones are still to come.
        expired: calls whose phones are not to be had any more.
        reason: why it was not asked for all; '' if it was.
    """

    delivered: int = 0
    pending: int = 0
    expired: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _Call:
    state: str
    phones_state: str
    phone_secret_hash: bytes | None
    credits: Decimal | None
    credits_reserved: Decimal


def addresses(web_url: str | None) -> Callable[[str, UUID, str], str] | None:
    """A function that makes the address for the phones of a call, from tenant, call and secret; None without one.

    Args:
        web_url: ``CDP_WEB_URL``, where the provider reaches `cdp serve`.

    Raises:
        ConfigurationError: phone numbers would travel unencrypted.
    """
    if web_url is None:
        return None
    parts = urlsplit(web_url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            "Phone numbers are delivered to CDP_WEB_URL, and it is not https, so everybody on the way could read them. "
            "Give an address that begins with https://."
        )
    base = web_url.rstrip("/")
    return lambda tenant_id, call_id, secret: f"{base}/phones/{quote(tenant_id, safe='')}/{call_id}/{quote(secret)}"


def take(connection: psycopg.Connection, tenant_id: str, call_id: UUID, secret: str, body: bytes) -> Taken:
    """Take a delivery to the address of a call, in one transaction.

    Args:
        connection: outside any transaction.
        tenant_id: as the address says.
        call_id: as the address says.
        secret: as the address says.
        body: of the request.

    Returns:
        ``taken``; ``kept`` until the answer of the call is there; ``known`` where there is nothing to take any more;
        ``refused`` where there is no such address; ``unreadable``.
    """
    with calls.transaction(connection, tenant_id):
        call = _call(connection, tenant_id, call_id)
        known = (call.phone_secret_hash if call else None) or b""
        if not hmac.compare_digest(calls.secret_hash(secret), known) or call is None:
            return "refused"
        try:
            delivery = apollo_answers.delivery_of(apollo_answers.read(body))
        except UnreadableError:
            return "unreadable"
        if call.state in {"reserved", "handed_over", "unknown"}:
            values = [tenant_id, call_id, Jsonb(_kept(delivery))]
            connection.execute(statement("enrichment", "keep_delivery"), values)
            return "kept"
        # The people of a call whose answer was lost are not known.
        if call.state != "confirmed" or call.phones_state not in {"pending", "expired"}:
            return "known"
        _give(connection, tenant_id, call_id, call, _kept(delivery))
        connection.execute(statement("enrichment", "go_on"), [tenant_id])
        return "taken"


def apply_waiting(connection: psycopg.Connection, tenant_id: str, call_id: UUID) -> None:
    """Add phones that came before the answer of their call, or with another call, to the answers of this one.

    Inside the transaction of `calls.transaction` that has booked the call and written its answers, before they are
    delivered to contacts.
    """
    row = connection.execute(statement("enrichment", "forget_delivery"), [tenant_id, call_id]).fetchone()
    call = _call(connection, tenant_id, call_id)
    if row is not None and call is not None:
        _give(connection, tenant_id, call_id, call, row[0])
    connection.execute(statement("enrichment", "copy_phones"), {"tenant": tenant_id, "call": call_id})


def ask(connect: Connect, tenant_id: str, client: Apollo, settings: EnrichmentSettings) -> Asked:
    """Ask the provider for phones that were not delivered in time.

    Args:
        connect: opens a connection as the platform's role.
        tenant_id: whose calls.
        client: of the provider's account.
        settings: with the key of that account.
    """
    result = Asked()
    own = account_of(settings.apollo_api_key.get_secret_value())
    with connect() as connection:
        with tenant_transaction(connection, tenant_id):
            values = {"tenant": tenant_id, "account": own, "first": _FIRST_ASKED_SECONDS, "at_most": _MOST_ASKED}
            due = connection.execute(statement("enrichment", "phones_due"), values).fetchall()
        try:
            for call_id, request_id, age_seconds in due:
                found = WebhookResult("unknown")
                if request_id is not None:
                    with account.gate(connection, own).turn(wait_seconds=_WAIT_SECONDS):
                        found = client.webhook_result(request_id)
                with calls.transaction(connection, tenant_id):
                    _settle(connection, tenant_id, call_id, found, age_seconds=age_seconds, result=result)
        except (SourceError, ConfigurationError) as error:
            result.reason = str(error)
        if result.delivered or result.expired:
            with tenant_transaction(connection, tenant_id):
                connection.execute(statement("enrichment", "go_on"), [tenant_id])
    return result


def _settle(
    connection: psycopg.Connection,
    tenant_id: str,
    call_id: UUID,
    found: WebhookResult,
    *,
    age_seconds: float,
    result: Asked,
) -> None:
    """Take what the provider has of a call's phones, unless they were delivered meanwhile."""
    call = _call(connection, tenant_id, call_id)
    if call is None or call.phones_state != "pending":
        return
    delivery = None
    if found.payload is not None:
        with suppress(UnreadableError):
            delivery = apollo_answers.delivery_of(found.payload)
    if delivery is not None:
        _give(connection, tenant_id, call_id, call, _kept(delivery))
        result.delivered += 1
    elif found.state in {"pending", "delivered"}:
        pause = max(found.retry_after_seconds or 0.0, _FIRST_ASKED_SECONDS, age_seconds * _PAUSE_SHARE_OF_AGE)
        connection.execute(statement("enrichment", "ask_later"), [pause, tenant_id, call_id])
        result.pending += 1
    else:
        calls.settle(
            connection,
            tenant_id,
            call_id,
            "confirmed",
            before=["confirmed"],
            reason="the provider does not have its phones any more",
            phones_state="expired",
        )
        budget.book(connection, tenant_id, call_id, more=Decimal(0), still_reserved=Decimal(0))
        result.expired += 1


def _give(
    connection: psycopg.Connection, tenant_id: str, call_id: UUID, call: _Call, delivered: dict[str, Any]
) -> None:
    """Add numbers to answers and contacts, and what they cost to the call, of which nothing is reserved any more."""
    values = {
        "tenant": tenant_id,
        "provider": calls.PROVIDER,
        "call": call_id,
        "people": orjson.dumps(delivered["people"]).decode(),
    }
    connection.execute(statement("enrichment", "give_phones"), values)
    calls.settle(connection, tenant_id, call_id, "confirmed", before=["confirmed"], phones_state="delivered")
    # Where the answer did not say what it cost, the account's counter tells of both together.
    more = None if call.credits is None else Decimal(delivered["credits"])
    still = call.credits_reserved if call.credits is None else Decimal(0)
    budget.book(connection, tenant_id, call_id, more=more, still_reserved=still)


def _kept(delivery: Delivery) -> dict[str, Any]:
    """A delivery as it is kept until its answer is there: of each person with numbers the field, and what it cost."""
    people = [
        {
            "person_id": person_id,
            "value": field.value,
            "status": field.status,
            "numbers": delivery.phone_numbers[person_id],
        }
        for person_id, field in delivery.phones.items()
        if field is not None
    ]
    cost = PHONE_CREDITS * len(people) if delivery.credits is None else delivery.credits
    return {"credits": str(cost), "people": people}


def _call(connection: psycopg.Connection, tenant_id: str, call_id: UUID) -> _Call | None:
    with connection.cursor(row_factory=class_row(_Call)) as cursor:
        query = (
            "SELECT state, phones_state, phone_secret_hash, credits, credits_reserved FROM enrichment.provider_call"
            " WHERE tenant_id = %s AND call_id = %s"
        )
        return cursor.execute(query, [tenant_id, call_id]).fetchone()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
