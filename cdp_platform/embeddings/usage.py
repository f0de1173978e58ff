"""The cost of embedding: tokens per tenant, model and day (UTC), and the tenant's budget in US dollars.

``embeddings.usage`` has what providers counted. Money is in ``embeddings.spend`` (`cdp_platform.ops.spend`): for a
model with a price, it is reserved by an estimate before a request and corrected when the answer is stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from cdp_platform.embeddings.models import Model
from cdp_platform.ops.spend import Spend
from cdp_platform.warehouse.statements import statement

# A token is four bytes of English, and hardly more than two bytes of Vietnamese.
_BYTES_PER_TOKEN = 3
_MILLION = 1_000_000


@dataclass
class Sent:
    """Requests to one model.

    Attributes:
        calls: number of requests.
        texts: number of texts that were answered.
        tokens: as counted in answers; an estimate where an answer was lost.
        reserved: tokens whose cost was reserved for these requests.
    """

    calls: int = 0
    texts: int = 0
    tokens: int = 0
    reserved: int = 0


def estimate(contents: Iterable[str]) -> int:
    """Number of tokens that these texts are likely to have."""
    return sum(-(-len(content.encode()) // _BYTES_PER_TOKEN) for content in contents)


def cost(model: Model, tokens: int) -> Decimal:
    """US dollars."""
    return model.price_per_million_tokens * tokens / _MILLION


def spend(tenant_id: str, day: date) -> Spend:
    """The money of a tenant and day, for all models together, since they share the budget."""
    return Spend("embeddings", tenant_id, account="all models", unit="USD", day=day)


def note(connection: psycopg.Connection, tenant_id: str, model: Model, day: date, sent: Sent) -> None:
    """Add what was sent to the figures of a day, and correct the money, inside the tenant's transaction."""
    names = {"tenant_id": tenant_id, "model_id": model.model_id, "day": day}
    connection.execute(statement("embeddings", "note_usage"), {**names, **vars(sent)})
    if model.price_per_million_tokens:
        spend(tenant_id, day).correct(connection, cost(model, sent.tokens - sent.reserved))
