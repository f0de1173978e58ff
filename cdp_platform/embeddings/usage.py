"""What embedding costs, per tenant, model and day (UTC), and the tenant's budget for a day.

Of a model with a price, the tokens of a request are estimated and noted before it is sent, and corrected when its
answer is stored. A worker that dies in between leaves the estimate: a cost is counted too often rather than never.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.statements import statement

# A token is four bytes of English, and hardly more than two of Vietnamese.
_BYTES_PER_TOKEN = 3
_MILLION = 1_000_000


@dataclass
class Spent:
    """What was sent to one model.

    Attributes:
        calls: requests.
        texts: those that were answered.
        tokens: as counted in answers; an estimate where an answer was lost.
        noted: tokens that were noted ahead of the requests.
    """

    calls: int = 0
    texts: int = 0
    tokens: int = 0
    noted: int = 0


def estimate(content: str) -> int:
    """Tokens that a text is likely to have."""
    return -(-len(content.encode()) // _BYTES_PER_TOKEN)


def cost(model: Model, tokens: int) -> Decimal:
    """US dollars."""
    return model.price_per_million_tokens * tokens / _MILLION


def note(
    connection: psycopg.Connection,
    tenant_id: str,
    model: Model,
    day: date,
    *,
    calls: int = 0,
    texts: int = 0,
    tokens: int = 0,
) -> None:
    """Add to a day's figures, inside the tenant's transaction; a correction may be negative."""
    connection.execute(
        statement("embeddings", "note_usage"),
        {
            "tenant_id": tenant_id,
            "model_id": model.model_id,
            "day": day,
            "calls": calls,
            "texts": texts,
            "tokens": tokens,
            "cost": cost(model, tokens),
        },
    )


def spent_on(connection: psycopg.Connection, tenant_id: str, models: Iterable[Model], day: date) -> Decimal:
    """US dollars that the tenant spent on a day, over all models.

    The figures of these models stay as they are until the caller's transaction ends, so that two workers do not spend
    the same rest of a budget.
    """
    for model in models:
        note(connection, tenant_id, model, day)
    row = connection.execute(
        "SELECT coalesce(sum(cost), 0) FROM embeddings.usage WHERE tenant_id = %s AND day = %s", [tenant_id, day]
    ).fetchone()
    return row[0] if row else Decimal(0)
