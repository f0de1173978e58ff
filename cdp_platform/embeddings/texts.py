"""The very text that is embedded, of one entity. How it is made is in the schema: `embeddings.entity_text`."""

from dataclasses import dataclass

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class EntityText:
    """The text of one entity, as a model gets it.

    Attributes:
        entity_id: whose; unique within tenant and kind.
        content: cut to what the model reads; None if there is nothing to embed.
        characters: of the whole text.
        content_hash: SHA-256 of ``content``, as hexadecimal digits; what tells whether a vector is of this text.
    """

    entity_id: str
    content: str | None
    characters: int
    content_hash: str | None


def any_of(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> bool:
    """Whether the tenant has a text of this kind, embedded or not."""
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM embeddings.entity_text"
            " WHERE tenant_id = %s AND kind = %s AND content IS NOT NULL)",
            [tenant_id, kind],
        ).fetchone()
    return bool(row and row[0])


def read(connection: psycopg.Connection, tenant_id: str, kind: Kind, entity_id: str, model: Model) -> EntityText | None:
    """The text of an entity, as this model gets it; None if there is no such entity."""
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            """
            SELECT entity_id, left(content, %(max_characters)s), coalesce(length(content), 0),
                   encode(embeddings.text_hash(content, %(max_characters)s), 'hex')
            FROM embeddings.entity_text
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = %(entity_id)s
            """,
            {
                "tenant_id": tenant_id,
                "kind": kind,
                "entity_id": entity_id,
                "max_characters": model.max_characters,
            },
        ).fetchone()
    return EntityText(*row) if row else None
