"""Providers make vectors of texts: a small model of this installation, OpenAI's protocol, or sentence-transformers.

All return the same (`Embedded`), and raise the same four errors: `RefusedTextError` (send another batch), `PacedError`
(wait as long as it says), `UnavailableError` (try again later) and `ConfigurationError` (a person must change
something). None tries again by itself.
"""

from collections.abc import Callable
from typing import Protocol

from cdp_platform.embeddings.providers.contract import (
    Embedded,
    Provider,
    Purpose,
    RefusedTextError,
)
from cdp_platform.embeddings.providers.known import ModelChoice, known_model, usual_model
from cdp_platform.settings import EmbeddingSettings

__all__ = [
    "Embedded",
    "ModelChoice",
    "NamedModel",
    "Opener",
    "Provider",
    "Purpose",
    "RefusedTextError",
    "known_model",
    "open_provider",
    "opener",
    "probe",
    "usual_model",
]

# A busy service takes some seconds for a full batch of long texts.
REQUEST_TIMEOUT_SECONDS = 60.0


class NamedModel(Protocol):
    """A model of the warehouse, or a `ModelChoice`."""

    @property
    def provider(self) -> str:
        """Is local, openai or sentence-transformers."""

    @property
    def name(self) -> str:
        """Its name at the provider."""

    @property
    def dimensions(self) -> int | None:
        """Numbers per vector; None if the provider is to say."""


Opener = Callable[[NamedModel], Provider]
"""Opens the provider of a model; see `open_provider`."""


def opener(settings: EmbeddingSettings) -> Opener:
    """The opener of all models, for these settings."""
    return lambda model: open_provider(model.provider, model.name, settings, dimensions=model.dimensions)


def open_provider(
    provider: str,
    model: str,
    settings: EmbeddingSettings,
    *,
    dimensions: int | None = None,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> Provider:
    """A provider, ready to embed. It sends nothing before the first text; a model on this machine is loaded now.

    Args:
        provider: local, openai or sentence-transformers.
        model: its name at the provider.
        settings: address and key of the service.
        dimensions: numbers per vector. A model that can be shortened gives vectors of this length; for any other model,
            vectors of another length are an error. If left out, that of the model, or of the first answer.
        timeout_seconds: longest silence of a service.

    Raises:
        ConfigurationError: there is no such provider or model here, its package is not installed, or the key is
            missing.
    """
    choice = known_model(provider, model)
    match provider:
        case "local":
            from cdp_platform.embeddings.providers.local import LocalProvider  # noqa: PLC0415

            return LocalProvider(choice, dimensions=dimensions)
        case "openai":
            from cdp_platform.embeddings.providers.openai_protocol import OpenAIProvider  # noqa: PLC0415

            return OpenAIProvider(choice, settings, dimensions=dimensions, timeout_seconds=timeout_seconds)
        case _:
            from cdp_platform.embeddings.providers.transformers import TransformerProvider  # noqa: PLC0415

            return TransformerProvider(choice, dimensions=dimensions)


def probe(provider: Provider) -> int:
    """Embed one word, and return how many dimensions its vector has. Raises what `embed` raises."""
    return provider.embed(["probe"], purpose="query").vectors.shape[1]
