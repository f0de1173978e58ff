"""The life of a model: building, active, retired.

Grain of ``embeddings.embedding_model``: one row per model, for all tenants. One model is active and serves searches,
and at most one is building to replace it. Every text gets a vector of both (they are live), so searches work at every
moment of a change: add a model, wait until it has all vectors, activate it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import psycopg
from psycopg.rows import class_row

from cdp_platform.embeddings import indexes
from cdp_platform.embeddings.choosing import default_model, with_dimensions
from cdp_platform.embeddings.coverage import coverage
from cdp_platform.embeddings.kinds import KINDS
from cdp_platform.embeddings.providers import ModelChoice, Opener
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Model:
    """One row of ``embeddings.embedding_model``.

    Attributes:
        model_id: is stored with each vector.
        provider: local, openai or sentence-transformers.
        name: as the provider calls it.
        dimensions: of its vectors.
        max_characters: a longer text is cut to this before it is hashed and sent.
        price_per_million_tokens: US dollars; 0 for a model that runs on this machine.
        state: building, active or retired.
    """

    model_id: int
    provider: str
    name: str
    dimensions: int
    max_characters: int
    price_per_million_tokens: Decimal
    state: str

    @property
    def label(self) -> str:
        """Provider, name and dimensions, for people."""
        return f"{self.provider}:{self.name} ({self.dimensions})"


def known(connection: psycopg.Connection) -> list[Model]:
    """All models, the active one first, then the building one, then retired ones."""
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(statement("embeddings", "models")).fetchall()


def live(connection: psycopg.Connection) -> list[Model]:
    """The models that every text gets a vector of: the active one, then the building one."""
    return [model for model in known(connection) if model.state != "retired"]


def active(connection: psycopg.Connection) -> Model:
    """The model that searches use.

    Raises:
        ConfigurationError: no model is active, so nothing was ever embedded.
    """
    for model in live(connection):
        if model.state == "active":
            return model
    raise ConfigurationError("No embedding model is active: `cdp embeddings status` registers the configured one.")


def get(connection: psycopg.Connection, model_id: int) -> Model:
    """The model with this id.

    Raises:
        ConfigurationError: there is no such model.
    """
    for model in known(connection):
        if model.model_id == model_id:
            return model
    raise ConfigurationError(f"There is no embedding model {model_id}: `cdp embeddings model status` lists all models.")


def ensure_default(connection: psycopg.Connection, settings: EmbeddingSettings, open_provider: Opener) -> None:
    """Register the model that the settings ask for as active, if no model is live.

    Raises:
        PlatformError: there is no such model, or its provider was asked for its dimensions and did not answer.
    """
    if live(connection):
        return
    choice = with_dimensions(default_model(settings), open_provider)
    # Of several processes that do this at once, one registers it.
    connection.execute(statement("embeddings", "register_model"), vars(choice))


def add(connection: psycopg.Connection, choice: ModelChoice) -> Model:
    """Register a model as building; one that was retired comes back with the vectors that it still has.

    Args:
        connection: of the platform's role.
        choice: with its dimensions (see `choosing`).

    Raises:
        ConfigurationError: it is live already, or another one is building.
    """
    for model in live(connection):
        if (model.provider, model.name, model.dimensions) == (choice.provider, choice.name, choice.dimensions):
            raise ConfigurationError(f"Model {model.model_id}, {model.label}, is {model.state} already.")
        if model.state == "building":
            raise ConfigurationError(_one_at_a_time(model))
    try:
        row = connection.execute(statement("embeddings", "add_model"), vars(choice)).fetchone()
    except psycopg.errors.UniqueViolation:
        (other,) = (model for model in live(connection) if model.state == "building")
        raise ConfigurationError(_one_at_a_time(other)) from None
    assert row is not None  # noqa: S101 (one row is always returned)
    return get(connection, row[0])


def activate(connection: psycopg.Connection, model_id: int, tenant_ids: Iterable[str]) -> Model:
    """Let searches use the building model from now on; the active one is retired and keeps its vectors until `retire`.

    Texts whose embedding failed do not block it: searches find them by their words.

    Args:
        connection: of the platform's role.
        model_id: the building model.
        tenant_ids: whose texts must have vectors.

    Raises:
        ConfigurationError: it is not building, or texts wait for their vectors; says how many, and of whom.
    """
    model = get(connection, model_id)
    if model.state != "building":
        raise ConfigurationError(
            f"Model {model_id} is {model.state}; only a model that is building can be activated"
            + (", so `cdp embeddings model add` it again." if model.state == "retired" else ".")
        )
    missing = {}
    for each in coverage(connection, tenant_ids):
        if each.model_id == model_id and each.missing:
            missing[each.tenant_id] = missing.get(each.tenant_id, 0) + each.missing
    if missing:
        raise ConfigurationError(
            f"Model {model_id} cannot take over yet, texts wait for their vectors: "
            + ", ".join(f"{count:,} of {tenant_id}" for tenant_id, count in missing.items())
            + ". `cdp embeddings model status` shows how far it is."
        )
    with connection.transaction():
        # In this order, since a unique index allows one active model.
        connection.execute(
            "UPDATE embeddings.embedding_model SET state = 'retired', retired_at = now() WHERE state = 'active'"
        )
        done = connection.execute(
            "UPDATE embeddings.embedding_model SET state = 'active', activated_at = now()"
            " WHERE model_id = %s AND state = 'building'",
            [model_id],
        )
        if not done.rowcount:
            raise ConfigurationError(f"Model {model_id} was changed by another process just now; nothing was done.")
    return get(connection, model_id)


def retire(connection: psycopg.Connection, model_id: int) -> int:
    """Stop embedding with a model, and delete its vectors and indexes; returns how many vectors there were.

    Raises:
        ConfigurationError: no such model, or it is the active one.
    """
    model = get(connection, model_id)
    retired = connection.execute(
        "UPDATE embeddings.embedding_model SET state = 'retired', retired_at = coalesce(retired_at, now())"
        " WHERE model_id = %s AND state <> 'active'",
        [model_id],
    )
    if not retired.rowcount:
        raise ConfigurationError(
            f"Model {model_id}, {model.label}, serves searches: activate another one first, which retires it."
        )
    # Writers of vectors lock the model's row and read its state, so none adds a vector after this update.
    for kind in KINDS:
        indexes.drop(connection, kind, model_id)
    (deleted,) = connection.execute("SELECT embeddings.delete_vectors(%s)", [model_id]).fetchone() or (0,)
    return deleted


def _one_at_a_time(model: Model) -> str:
    return (
        f"Model {model.model_id}, {model.label}, is building, and one at a time is enough: activate it, or retire it"
        f" (`cdp embeddings model retire {model.model_id}`)."
    )
