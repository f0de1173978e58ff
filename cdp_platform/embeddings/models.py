"""The models that texts are embedded with: one active, which serves searches, and at most one building to replace it.

A model is one row of ``embeddings.embedding_model``, for all tenants. Every live model (active or building) gets a
vector of every text, so a change of model has no moment without search: add, wait until it has all, activate.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from cdp_platform.embeddings import indexes
from cdp_platform.embeddings.kinds import KINDS, Kind
from cdp_platform.embeddings.providers import ModelChoice, Provider, default_model, open_provider, probe
from cdp_platform.embeddings.providers.models import known_model
from cdp_platform.embeddings.reconcile import reconcile
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import tenant_transaction

_COLUMNS: LiteralString = """
model_id, provider, name, dimensions, max_characters, price_per_million_tokens, state, paused_until, pauses,
pause_reason
"""


@dataclass(frozen=True)
class Model:
    """One row of ``embeddings.embedding_model``.

    Attributes:
        model_id: what vectors carry.
        provider: local, openai or sentence-transformers.
        name: as the provider calls it.
        dimensions: of its vectors.
        max_characters: a longer text is cut here before it is hashed and sent.
        price_per_million_tokens: in US dollars; 0 for a model that runs here.
        state: building, active or retired.
        paused_until: nothing is sent before; None or past if nothing is the matter.
        pauses: how often in a row the provider was away or asked for patience.
        pause_reason: its words, of the last pause.
    """

    model_id: int
    provider: str
    name: str
    dimensions: int
    max_characters: int
    price_per_million_tokens: Decimal
    state: str
    paused_until: datetime | None
    pauses: int
    pause_reason: str | None

    @property
    def label(self) -> str:
        """How people tell it from others."""
        return f"{self.provider}:{self.name} ({self.dimensions})"

    @property
    def pause_seconds(self) -> float:
        """How long its provider is not to be called yet; 0 or less if it may be."""
        return (self.paused_until - datetime.now(UTC)).total_seconds() if self.paused_until else 0.0

    def open(self, settings: EmbeddingSettings) -> Provider:
        """Its provider; see `providers.open_provider`."""
        return open_provider(self.provider, self.name, settings, dimensions=self.dimensions)


@dataclass(frozen=True)
class Progress:
    """How far one model is with one tenant's texts of one kind.

    Attributes:
        texts: how many there are.
        done: those that have a vector, be it of an older version of the text.
        given_up: those without one whose job is failed or dead.
    """

    tenant_id: str
    kind: Kind
    model_id: int
    texts: int
    done: int
    given_up: int

    @property
    def missing(self) -> int:
        """Texts that wait for their first vector."""
        return self.texts - self.done - self.given_up


def known(connection: psycopg.Connection) -> list[Model]:
    """All models, the active one first, then the building one, then retired ones."""
    return _models(connection, "true")


def live(connection: psycopg.Connection) -> list[Model]:
    """The models that every text gets a vector of: the active one, then the building one."""
    return _models(connection, "state <> 'retired'")


def active(connection: psycopg.Connection) -> Model:
    """The model that searches use.

    Raises:
        ConfigurationError: there is none, so nothing was ever embedded.
    """
    for model in live(connection):
        if model.state == "active":
            return model
    raise ConfigurationError("No embedding model is active: `cdp embeddings status` registers the configured one.")


def get(connection: psycopg.Connection, model_id: int) -> Model:
    """The model of this id.

    Raises:
        ConfigurationError: no such model.
    """
    for model in known(connection):
        if model.model_id == model_id:
            return model
    raise ConfigurationError(
        f"There is no embedding model {model_id}: `cdp embeddings model status` shows those there are."
    )


def choose(
    settings: EmbeddingSettings,
    provider: str,
    name: str,
    *,
    dimensions: int | None,
    price: Decimal | None,
    look: Callable[[], None] = lambda: None,
) -> ModelChoice:
    """A model by its name, with what is known of it unless it is given; its provider has been asked and can be used.

    Args:
        settings: where the provider is.
        provider: local, openai or sentence-transformers.
        name: as the provider calls it.
        dimensions: of its vectors, where the model lets one choose.
        price: US dollars per million tokens.
        look: called before the provider is asked; raises if it is not there.

    Raises:
        ConfigurationError: it has no such dimensions; or a budget is set and its price is not known.
        PlatformError: there is no such model, or its provider does not embed with it (see `providers`).
    """
    choice = known_model(provider, name)
    if dimensions is not None:
        own = choice.dimensions
        if own is not None and dimensions != own and not (choice.can_be_shortened and dimensions < own):
            raise ConfigurationError(f"{name} has vectors of {own} dimensions, and cannot be asked for {dimensions}.")
        choice = replace(choice, dimensions=dimensions)
    if price is not None:
        if not price.is_finite() or price < 0:
            raise ConfigurationError(f"A price of {price} US dollars is none.")
        choice = replace(choice, price_per_million_tokens=price)
    elif provider == "openai" and not choice.price_per_million_tokens and settings.embed_daily_budget is not None:
        raise ConfigurationError(
            f"The price of {name} is not known, so EMBED_DAILY_BUDGET cannot be kept: say it with --price."
        )
    look()
    # Asked for one word now: what cannot be used is better told to a person here than found out by every run.
    opened = open_provider(provider, name, settings, dimensions=choice.dimensions)
    return replace(choice, dimensions=probe(opened))


def complete(choice: ModelChoice, settings: EmbeddingSettings) -> ModelChoice:
    """A choice with its dimensions, which of a model that is not known by name only the provider can tell.

    Raises:
        PlatformError: the provider was asked, and could not be (see `providers`).
    """
    if choice.dimensions is not None:
        return choice
    return replace(choice, dimensions=probe(open_provider(choice.provider, choice.name, settings)))


def ensure_default(connection: psycopg.Connection, settings: EmbeddingSettings) -> None:
    """Register the model that the settings ask for as active, if there is no live model at all.

    Raises:
        PlatformError: there is no such model, or its provider had to be asked for its dimensions and could not be.
    """
    if live(connection):
        return
    choice = complete(default_model(settings), settings)
    # Whoever else does the same at this moment is first or finds it done.
    connection.execute(
        """
        INSERT INTO embeddings.embedding_model
            (provider, name, dimensions, max_characters, price_per_million_tokens, state, activated_at)
        VALUES (%s, %s, %s, %s, %s, 'active', now()) ON CONFLICT DO NOTHING
        """,
        _values(choice),
    )


def pause(connection: psycopg.Connection, model_id: int, seconds: float | None, reason: str) -> None:
    """Send nothing to this model's provider for a while.

    Args:
        connection: of the platform's role.
        model_id: which model.
        seconds: what the provider asked for. None if it said nothing: 5 seconds, and with each pause in a row twice as
            long, up to 5 minutes; those who find the same outage at the same time make one pause.
        reason: the provider's words, without a text in them.
    """
    if seconds is None:
        connection.execute(
            """
            UPDATE embeddings.embedding_model
            SET paused_until = now() + least(5 * 2 ^ least(pauses, 10), 300) * interval '1 second',
                pauses = pauses + 1, pause_reason = %s
            WHERE model_id = %s AND (paused_until IS NULL OR paused_until <= now())
            """,
            [reason, model_id],
        )
    else:
        connection.execute(
            """
            UPDATE embeddings.embedding_model
            SET paused_until = greatest(paused_until, now() + %s * interval '1 second'),
                pauses = pauses + 1, pause_reason = %s
            WHERE model_id = %s
            """,
            [seconds, reason, model_id],
        )


def resume(connection: psycopg.Connection, model_id: int) -> None:
    """The provider answered: forget its pauses. Writes nothing where there is nothing to forget."""
    connection.execute(
        """
        UPDATE embeddings.embedding_model SET paused_until = NULL, pauses = 0, pause_reason = NULL
        WHERE model_id = %s AND (pauses > 0 OR paused_until IS NOT NULL)
        """,
        [model_id],
    )


def add(connection: psycopg.Connection, choice: ModelChoice) -> Model:
    """Register a model as building; one that was retired comes back with the vectors that it still has.

    Args:
        connection: of the platform's role.
        choice: with its dimensions (see `choose`).

    Raises:
        ConfigurationError: it is live already, or another one is building.
    """
    for model in live(connection):
        if (model.provider, model.name, model.dimensions) == (choice.provider, choice.name, choice.dimensions):
            raise ConfigurationError(f"Model {model.model_id}, {model.label}, is {model.state} already.")
        if model.state == "building":
            raise ConfigurationError(_one_at_a_time(model))
    try:
        with connection.cursor(row_factory=class_row(Model)) as cursor:
            cursor.execute(
                f"""
                INSERT INTO embeddings.embedding_model
                    (provider, name, dimensions, max_characters, price_per_million_tokens, state)
                VALUES (%s, %s, %s, %s, %s, 'building')
                ON CONFLICT (provider, name, dimensions) DO UPDATE
                SET state = 'building', max_characters = excluded.max_characters, activated_at = NULL,
                    price_per_million_tokens = excluded.price_per_million_tokens, retired_at = NULL
                RETURNING {_COLUMNS}
                """,  # noqa: S608 (names of columns)
                _values(choice),
            )
            (added,) = cursor.fetchall()
    except psycopg.errors.UniqueViolation:
        (other,) = (model for model in live(connection) if model.state == "building")
        raise ConfigurationError(_one_at_a_time(other)) from None
    return added


def enqueue_missing(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> int:
    """Put every text into the queue that lacks a vector of a live model; returns how many that are."""
    return sum(reconcile(connection, tenant_id, kind).enqueued for tenant_id in tenant_ids for kind in KINDS)


def progress(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> list[Progress]:
    """How far each live model is, per tenant and kind that has texts."""
    found = []
    for tenant_id in tenant_ids:
        with tenant_transaction(connection, tenant_id):
            # Row-level security hides from the planner how many rows there are; a nested loop over texts takes hours.
            connection.execute("SET LOCAL enable_nestloop = off")
            rows = connection.execute(
                """
                SELECT t.kind, m.model_id, count(*), count(e.entity_id),
                       count(*) FILTER (WHERE e.entity_id IS NULL AND j.status IN ('failed', 'dead'))
                FROM embeddings.entity_text AS t
                CROSS JOIN embeddings.embedding_model AS m
                LEFT JOIN embeddings.embedding AS e
                    ON e.tenant_id = %(tenant_id)s AND e.kind = t.kind AND e.entity_id = t.entity_id
                    AND e.model_id = m.model_id
                LEFT JOIN embeddings.embedding_job AS j
                    ON j.tenant_id = %(tenant_id)s AND j.kind = t.kind AND j.entity_id = t.entity_id
                WHERE t.tenant_id = %(tenant_id)s AND t.content IS NOT NULL AND m.state <> 'retired'
                GROUP BY t.kind, m.model_id, m.state ORDER BY t.kind, m.state
                """,
                {"tenant_id": tenant_id},
            ).fetchall()
        found += [Progress(tenant_id, *row) for row in rows]
    return found


def activate(connection: psycopg.Connection, model_id: int, tenant_ids: Iterable[str]) -> Model:
    """Let searches use the building model from now on; the active one is retired and keeps its vectors until `retire`.

    Texts whose embedding failed do not hold it up: they are found by their words.

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
    for each in progress(connection, tenant_ids):
        if each.model_id == model_id and each.missing:
            missing[each.tenant_id] = missing.get(each.tenant_id, 0) + each.missing
    if missing:
        raise ConfigurationError(
            f"Model {model_id} cannot take over yet, texts wait for their vectors: "
            + ", ".join(f"{count:,} of {tenant_id}" for tenant_id, count in missing.items())
            + ". `cdp embeddings model status` shows how far it is."
        )
    with connection.transaction():
        # In this order: there is never more than one active model, and who reads sees both changes or none.
        connection.execute(
            "UPDATE embeddings.embedding_model SET state = 'retired', retired_at = now() WHERE state = 'active'"
        )
        done = connection.execute(
            "UPDATE embeddings.embedding_model SET state = 'active', activated_at = now()"
            " WHERE model_id = %s AND state = 'building'",
            [model_id],
        )
        if not done.rowcount:
            raise ConfigurationError(f"Model {model_id} was changed by somebody else just now; nothing was done.")
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
    # Whoever writes vectors holds the model's row and looks at its state: after the update nobody adds any.
    for kind in KINDS:
        indexes.drop(connection, kind, model_id)
    (deleted,) = connection.execute("SELECT embeddings.delete_vectors(%s)", [model_id]).fetchone() or (0,)
    return deleted


def _models(connection: psycopg.Connection, condition: LiteralString) -> list[Model]:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM embeddings.embedding_model WHERE {condition}"  # noqa: S608 (words of this module)
            " ORDER BY array_position(ARRAY['active', 'building', 'retired'], state), model_id"
        ).fetchall()


def _values(choice: ModelChoice) -> list[object]:
    return [
        choice.provider,
        choice.name,
        choice.dimensions,
        choice.max_characters,
        choice.price_per_million_tokens,
    ]


def _one_at_a_time(model: Model) -> str:
    return (
        f"Model {model.model_id}, {model.label}, is building, and one at a time is enough: activate it, or retire it"
        f" (`cdp embeddings model retire {model.model_id}`)."
    )
