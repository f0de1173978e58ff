"""The kinds of entities that have texts."""

from collections.abc import Mapping
from typing import Literal, get_args

from psycopg import sql

# The values of the column `kind`. A kind has texts when a branch of the view `embeddings.entity_text` selects them.
Kind = Literal["profile", "transaction", "event", "product"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SOURCES: Mapping[Kind, tuple[sql.Identifier, sql.Identifier]] = {
    "profile": (sql.Identifier("customers", "cdp_profiles"), sql.Identifier("profile_id")),
    "transaction": (sql.Identifier("customers", "transactions"), sql.Identifier("line_id")),
    "event": (sql.Identifier("campaigns", "marketing_event"), sql.Identifier("event_id")),
    "product": (sql.Identifier("catalog", "product"), sql.Identifier("product_key")),
}
"""The table whose rows the texts are made of, and the column that is the entity's id, as in `embeddings.follow`."""


def texts_of(kind: Kind) -> sql.Identifier:
    """The view of the texts of one kind."""
    return sql.Identifier("embeddings", f"{kind}_texts")
