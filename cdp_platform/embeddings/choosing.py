"""Choosing a model: what the settings or a person ask for, with what is known of it or its provider says."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from cdp_platform.embeddings.providers import ModelChoice, Opener, known_model, probe, usual_model
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings


def default_model(settings: EmbeddingSettings) -> ModelChoice:
    """The model that the settings ask for.

    Raises:
        ConfigurationError: its provider cannot have it; or a budget is set, and its price is not known.
    """
    provider = settings.embedding_provider
    choice = known_model(provider, settings.embed_model_id or usual_model(provider))
    if settings.embed_daily_budget is not None and not choice.has_known_price:
        raise ConfigurationError(
            f"EMBED_DAILY_BUDGET cannot be kept: the price of {choice.name} is not known. "
            "Leave it empty, or use a model of OpenAI's text-embedding-3 series."
        )
    return choice


def with_dimensions(choice: ModelChoice, open_provider: Opener) -> ModelChoice:
    """A choice with its dimensions, for which the provider is asked if the model is not known by name.

    Raises:
        PlatformError: the provider was asked and did not answer (see `providers`).
    """
    if choice.dimensions is not None:
        return choice
    return replace(choice, dimensions=probe(open_provider(choice)))


def choose(
    settings: EmbeddingSettings,
    provider: str,
    name: str,
    *,
    dimensions: int | None,
    price: Decimal | None,
    open_provider: Opener,
    look: Callable[[], None] = lambda: None,
) -> ModelChoice:
    """A model by its name, with what is known of it unless it is given. Its provider is asked for one vector.

    Args:
        settings: have the budget.
        provider: local, openai or sentence-transformers.
        name: as the provider calls it.
        dimensions: of its vectors, where the model lets one choose.
        price: US dollars per million tokens.
        open_provider: opens the provider.
        look: called before the provider is asked; raises if it is not there.

    Raises:
        ConfigurationError: the model has no such dimensions; or a budget is set and its price is not known.
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
            raise ConfigurationError(f"A price of {price} US dollars is not possible: give 0 or more.")
        choice = replace(choice, price_per_million_tokens=price)
    elif settings.embed_daily_budget is not None and not choice.has_known_price:
        raise ConfigurationError(
            f"The price of {name} is not known, so EMBED_DAILY_BUDGET cannot be kept: say it with --price."
        )
    look()
    # A person who adds a model learns at once that it cannot be used, and not from the runs.
    return replace(choice, dimensions=probe(open_provider(choice)))
