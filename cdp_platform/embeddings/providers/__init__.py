"""Who makes vectors of texts: a small model of this installation, OpenAI's protocol, or sentence-transformers.

All of them give the same thing (`Embedded`) and fail in the same four ways, which differ in what helps:
another batch (`RefusedTextError`), waiting as long as told (`PacedError`), trying again later
(`ProviderUnavailableError`), or a person (`ProviderUnusableError`). None tries again by itself.
"""

from cdp_platform.embeddings.providers.contract import (
    Embedded,
    PacedError,
    Provider,
    ProviderUnavailableError,
    ProviderUnusableError,
    Purpose,
    RefusedTextError,
)
from cdp_platform.embeddings.providers.models import ModelChoice, default_model, known_model
from cdp_platform.settings import EmbeddingSettings

__all__ = [
    "Embedded",
    "ModelChoice",
    "PacedError",
    "Provider",
    "ProviderUnavailableError",
    "ProviderUnusableError",
    "Purpose",
    "RefusedTextError",
    "default_model",
    "open_provider",
    "probe",
]

# A full batch of long texts takes a busy service some seconds.
REQUEST_TIMEOUT_SECONDS = 60.0


def open_provider(
    provider: str,
    model: str,
    settings: EmbeddingSettings,
    *,
    dimensions: int | None = None,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> Provider:
    """A provider, ready to embed. Nothing is sent before the first text; a model on this machine is loaded now.

    Args:
        provider: ``local``, ``openai`` or ``sentence-transformers``.
        model: Its name at the provider.
        settings: Where the service is, and the key.
        dimensions: How many numbers a vector has. A model that can be shortened is; of any other, vectors of another
            length are refused. If left out, that of the model, or what the first answer has.
        timeout_seconds: How long a service may stay silent.

    Raises:
        ProviderUnusableError: There is no such provider or model here, its package is not installed, or the key is
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
