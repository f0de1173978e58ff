"""The text of an entity, as it is embedded. How it is made is in the schema: `embeddings.entity_text`."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

PASSAGE_CHARACTERS = 20_000
"""A passage, which is searched by its words, has at most this many characters of a text."""


@dataclass(frozen=True)
class EntityText:
    """The text of one entity, as a model gets it.

    Attributes:
        entity_id: unique within tenant and kind.
        content: cut to the characters that the model reads; None if there is nothing to embed.
        characters: of the whole text.
        content_hash: SHA-256 of ``content``, as hexadecimal digits. A vector with the same hash is of this text.
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
    names = {"tenant_id": tenant_id, "kind": kind, "entity_id": entity_id, "max_characters": model.max_characters}
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(statement("embeddings", "text"), names).fetchone()
    return EntityText(*row) if row else None


def write_passages(connection: psycopg.Connection, tenant_id: str, kind: Kind, contents: Mapping[str, str]) -> None:
    """Upsert the passages of entities from their texts, inside the tenant's transaction."""
    if not contents:
        return
    connection.execute(
        statement("embeddings", "write_passages"),
        {
            "tenant_id": tenant_id,
            "kind": kind,
            "passage": PASSAGE_CHARACTERS,
            "ids": list(contents),
            "contents": list(contents.values()),
        },
    )
