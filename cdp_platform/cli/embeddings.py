"""Commands on vectors of texts: `embeddings`, `search`."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import psycopg

from cdp_platform import settings
from cdp_platform.cli.printing import duration, json_option, say, show, show_json
from cdp_platform.cli.runs import materialize, show_result
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.embeddings.kinds import KINDS, Kind
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.embeddings.coverage import Coverage
    from cdp_platform.embeddings.models import Model

_KINDS = click.Choice(KINDS)

# Columns of the table at the end of a run, as `show_result` takes them.
EMBEDDED = {"embedded": "embedded", "unchanged": "unchanged", "refused": "failed", "waiting": "waiting"}


@click.group()
def embeddings() -> None:
    """Vectors of texts: which texts have them, and of which model."""


@embeddings.command("text")
@tenant_option
@click.option("--kind", type=_KINDS, default="profile", show_default=True, help="What it is the text of.")
@click.option("--id", "entity_id", metavar="ID", required=True, help="Its key, such as a profile's in the CDP.")
@json_option
def embeddings_text(tenant_id: str, *, kind: Kind, entity_id: str, as_json: bool) -> None:
    """Print the very text that is embedded, with its length and hash."""
    from cdp_platform.embeddings import models, texts

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        _ensure_model(connection)
        found = texts.read(connection, tenant_id, kind, entity_id, models.active(connection))
    if found is None:
        raise ConfigurationError(f"{tenant_id} has no {kind} {entity_id}. Is the id right, and was it synced?")
    if as_json:
        show_json(found)
    elif found.content is None:
        say(f"This {kind} has no text, so it is not embedded: it is closed, or says nothing of itself.")
    else:
        say(found.content)
        cut = f", cut from {found.characters:,}" if found.characters > len(found.content) else ""
        say(f"{len(found.content):,} characters{cut}, SHA-256 {found.content_hash}", style="dim")


@embeddings.command("update")
@tenant_option
@click.option("--reconcile", is_flag=True, help="First compare all texts with their vectors.")
@json_option
def embeddings_update(tenant_id: str, *, reconcile: bool, as_json: bool) -> None:
    """Embed the waiting texts of one tenant, in this process.

    `cdp up` and a deployed daemon do this by themselves, seconds after a text changed. Exit code 1 if a step fails.
    """
    from cdp_platform.embeddings import models
    from cdp_platform.embeddings.defs import assets
    from cdp_platform.health import looks

    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
        _ensure_model(connection)
        providers = {model.provider for model in models.live(connection)}
    require_active(known)
    for provider in providers:
        looks.embeddings_server(provider)
    ops = {asset.op.name: {"config": {"reconcile": reconcile}} for asset in assets.EMBEDDINGS.values()}
    outcome = materialize([known], "embeddings_update", ops)
    if as_json:
        show_json(outcome)
    else:
        show_result(outcome, EMBEDDED)
    if not outcome.success:
        raise click.exceptions.Exit(1)


@embeddings.command("status")
@click.option("--tenant", "tenant_id", metavar="ID", help="Only this tenant; all active ones if not given.")
@json_option
def embeddings_status(*, tenant_id: str | None, as_json: bool) -> None:
    """Show which texts have vectors, what waits, and today's cost."""
    from cdp_platform.embeddings import models, status

    configured = settings.embeddings()
    with connect(settings.postgres()) as connection:
        asked = [tenants.get(connection, tenant_id).tenant_id] if tenant_id else _active_tenants(connection)
        _ensure_model(connection)
        active = models.active(connection)
        found = status.of_texts(connection, asked, active)
        sent = status.sent_today(connection, asked, models.known(connection))
        paused = status.pauses(connection, models.live(connection))
    budget = configured.embed_daily_budget
    if as_json:
        show_json(
            {
                "model": active,
                "texts": [{**dataclasses.asdict(each), "share": round(each.share, 4)} for each in found],
                "paused": paused,
                "today": sent,
                "daily_budget": budget,
            }
        )
        return
    show(
        f"Texts, and vectors of {active.label}",
        ["tenant", "kind", "texts", "vectors", "%", "pending", "processing", "failed", "dead", "oldest waits"],
        [
            (
                *(each.tenant_id, each.kind, each.texts, each.vectors, _percent(each.vectors, each.texts)),
                *(each.pending, each.processing, each.failed, each.dead),
                duration(datetime.now(UTC) - each.oldest_waiting_at) if each.oldest_waiting_at else None,
            )
            for each in found
        ],
        empty="No texts yet: they come with the rows of `cdp sync`.",
    )
    for each in paused:
        until = datetime.now(UTC) + timedelta(seconds=each.seconds)
        say(
            f"{each.model.label} until {until:%H:%M:%S} UTC: {each.reason or 'no reason given'}",
            label="paused:",
            style="yellow",
        )
    for each in found:
        for reason, count in each.refusals.items():
            say(f"{count:,} of {each.tenant_id}, {each.kind}: {reason}", label="refused:", style="red")
    if sent:
        show(
            "Sent today (UTC)",
            ["tenant", "model", "requests", "texts", "tokens", "US dollars", "of budget"],
            [
                (
                    *(each.tenant_id, each.model_id, each.calls, each.texts, each.tokens, f"{each.cost:.4f}"),
                    f"{budget:.2f}" if budget is not None else "no limit",
                )
                for each in sent
            ],
            empty="",
        )


@embeddings.command("retry")
@tenant_option
@click.option("--kind", type=_KINDS, help="Only texts of this kind; of all kinds if not given.")
@json_option
def embeddings_retry(tenant_id: str, *, kind: Kind | None, as_json: bool) -> None:
    """Put texts that failed or were put off back into the queue.

    Dead ones too, and those that wait for tomorrow's budget.
    """
    from cdp_platform.embeddings import jobs

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            count = sum(jobs.retry(connection, tenant_id, each) for each in KINDS if kind in {None, each})
    if as_json:
        show_json({"tenant": tenant_id, "queued": count})
    else:
        say(f"{count:,} texts of {tenant_id} are in the queue again." if count else "No text failed.")


@embeddings.group("model")
def embeddings_model() -> None:
    """The models that texts are embedded with.

    To change to another: `add` it, wait until it has a vector of every text, `activate` it, `retire` the old one.
    Searches use the active model all the time.
    """


@embeddings_model.command("add")
@click.option(
    "--provider",
    type=click.Choice(["local", "openai", "sentence-transformers"]),
    required=True,
    help="Who makes the vectors.",
)
@click.option("--name", required=True, help="The model, as its provider calls it.")
@click.option("--dimensions", type=click.IntRange(1, 4000), help="Of its vectors; its own if not given.")
@click.option(
    "--price", type=click.FloatRange(min=0), help="US dollars per million tokens; its list price if not given."
)
@json_option
def embeddings_model_add(
    *, provider: str, name: str, dimensions: int | None, price: float | None, as_json: bool
) -> None:
    """Build the vectors of another model beside the active one."""
    from cdp_platform.embeddings import choosing, models
    from cdp_platform.embeddings.providers import opener
    from cdp_platform.embeddings.reconcile import enqueue_missing
    from cdp_platform.health import looks

    configured = settings.embeddings()
    choice = choosing.choose(
        configured,
        provider,
        name,
        dimensions=dimensions,
        price=None if price is None else Decimal(str(price)),
        open_provider=opener(configured),
        look=lambda: looks.embeddings_server(provider),
    )
    with connect(settings.postgres()) as connection:
        _ensure_model(connection)
        model = models.add(connection, choice)
        count = enqueue_missing(connection, _active_tenants(connection))
    if as_json:
        show_json({"model": model, "queued": count})
        return
    say(
        f"Model {model.model_id}, {model.label}, is building; {count:,} texts are in the queue for it."
        " `cdp embeddings model status` shows how far it is."
    )


@embeddings_model.command("status")
@json_option
def embeddings_model_status(*, as_json: bool) -> None:
    """Show the models, and how many texts have vectors of each."""
    from cdp_platform.embeddings import models
    from cdp_platform.embeddings.coverage import coverage

    with connect(settings.postgres()) as connection:
        _ensure_model(connection)
        known = models.known(connection)
        covered = coverage(connection, _active_tenants(connection))
    if as_json:
        rows = [{**dataclasses.asdict(each), "missing": each.missing} for each in covered]
        show_json({"models": known, "progress": rows})
        return
    show(
        "Models",
        ["id", "provider", "name", "dimensions", "state", "$ / 1M tokens", "texts", "vectors", "missing", "failed"],
        [
            (
                *(str(model.model_id), model.provider, model.name, str(model.dimensions), model.state),
                f"{model.price_per_million_tokens:.3f}",
                *(_sum(model, covered, figure) for figure in ("texts", "done", "missing", "given_up")),
            )
            for model in known
        ],
        empty="",
    )


@embeddings_model.command("activate")
@click.argument("model_id", type=int, metavar="ID")
@json_option
def embeddings_model_activate(model_id: int, *, as_json: bool) -> None:
    """Let searches use the model that is building. Refused while texts wait for their vectors."""
    from cdp_platform.embeddings import models

    with connect(settings.postgres()) as connection:
        model = models.activate(connection, model_id, _active_tenants(connection))
    if as_json:
        show_json({"model": model})
        return
    say(
        f"Searches use model {model.model_id}, {model.label}, from now on. The one before keeps its vectors"
        " until `cdp embeddings model retire`."
    )


@embeddings_model.command("retire")
@click.argument("model_id", type=int, metavar="ID")
@json_option
def embeddings_model_retire(model_id: int, *, as_json: bool) -> None:
    """Stop embedding with a model, and delete its vectors and indexes. Refused for the active one."""
    from cdp_platform.embeddings import models

    with connect(settings.postgres()) as connection:
        deleted = models.retire(connection, model_id)
    if as_json:
        show_json({"model_id": model_id, "deleted_vectors": deleted})
    else:
        say(f"Retired model {model_id}; {deleted:,} vectors deleted.")


@click.command()
@click.argument("words", nargs=-1, required=True)
@tenant_option
@click.option("--kind", type=_KINDS, default="profile", show_default=True, help="What to find.")
@click.option("-k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@json_option
def search(words: tuple[str, ...], tenant_id: str, *, kind: Kind, k: int, as_json: bool) -> None:
    """Find texts that are like WORDS, and say why.

    Searches by meaning, and by the words themselves.
    """
    from cdp_platform.embeddings import models, texts
    from cdp_platform.embeddings import search as room
    from cdp_platform.embeddings.providers import opener
    from cdp_platform.health import looks

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        _ensure_model(connection)
        looks.embeddings_server(models.active(connection).provider)
        hits = room.find(connection, opener(settings.embeddings()), tenant_id, kind, " ".join(words), k=k)
        waiting = hits or texts.any_of(connection, tenant_id, kind)
    if as_json:
        show_json(hits)
        return
    show(
        f"Like “{' '.join(words)}”",
        ["rank", kind, "score", "similarity", "words", "text"],
        [
            (
                *(hit.rank, hit.entity_id, f"{hit.score:.4f}"),
                f"{hit.similarity:.2f}" if hit.similarity is not None else None,
                *(", ".join(hit.words) or None, hit.snippet),
            )
            for hit in hits
        ],
        empty=(
            f"No {kind} of {tenant_id} has a vector yet: `cdp embeddings status` says what waits."
            if waiting
            else f"Nothing to find: {tenant_id} has no {kind} with a text."
        ),
    )


def _ensure_model(connection: psycopg.Connection) -> None:
    from cdp_platform.embeddings import models
    from cdp_platform.embeddings.providers import opener

    configured = settings.embeddings()
    models.ensure_default(connection, configured, opener(configured))


def _active_tenants(connection: psycopg.Connection) -> list[str]:
    return [tenant.tenant_id for tenant in tenants.registered(connection) if tenant.active]


def _sum(model: "Model", covered: "list[Coverage]", figure: str) -> int | None:
    """Over all tenants and kinds; None for a retired model."""
    if model.state == "retired":
        return None
    return sum(getattr(each, figure) for each in covered if each.model_id == model.model_id)


def _percent(part: int, whole: int) -> str | None:
    # Rounded down, so that 100 means all.
    return f"{part * 100 // whole}" if whole else None
