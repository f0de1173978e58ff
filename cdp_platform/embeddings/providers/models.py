"""The models that are known by name: their dimensions, how much text they read, and what they cost.

Prices are US dollars per million tokens, from OpenAI's price list (https://platform.openai.com/docs/pricing).
"""

from dataclasses import dataclass
from decimal import Decimal

from cdp_platform.embeddings.providers.contract import ProviderUnusableError
from cdp_platform.settings import EmbeddingSettings

# OpenAI's models read 8192 tokens. A token is four characters of English and two or three of Vietnamese; what is still
# too long is refused by the service, and then is one text's fault and not its batch's.
_OPENAI_CHARACTERS = 8000
# Models of this kind read 512 tokens and leave out the rest.
_TRANSFORMER_CHARACTERS = 2000


@dataclass(frozen=True)
class ModelChoice:
    """A model, and what is known of it.

    Attributes:
        provider: ``local``, ``openai`` or ``sentence-transformers``.
        name: Its name at the provider.
        dimensions: Numbers per vector; None if it is not known here, and `probe` finds it out.
        max_characters: Longer texts are to be cut.
        price_per_million_tokens: US dollars; 0 for what runs on this machine, or has no price known here.
        can_be_shortened: Whether it gives vectors of fewer dimensions if asked.
    """

    provider: str
    name: str
    dimensions: int | None
    max_characters: int
    price_per_million_tokens: Decimal = Decimal(0)
    can_be_shortened: bool = False


# The first of each provider is its usual one.
_KNOWN = (
    ModelChoice("local", "wordllama-l2-supercat-256", 256, 8000),
    ModelChoice("openai", "text-embedding-3-small", 1536, _OPENAI_CHARACTERS, Decimal("0.02"), can_be_shortened=True),
    ModelChoice("openai", "text-embedding-3-large", 3072, _OPENAI_CHARACTERS, Decimal("0.13"), can_be_shortened=True),
    ModelChoice("sentence-transformers", "intfloat/multilingual-e5-base", 768, _TRANSFORMER_CHARACTERS),
)


def known_model(provider: str, name: str) -> ModelChoice:
    """What is known of a model; of an unknown one, what holds for its provider.

    Raises:
        ProviderUnusableError: No such provider, or a model that it cannot have.
    """
    if choice := next((one for one in _KNOWN if (one.provider, one.name) == (provider, name)), None):
        return choice
    match provider:
        case "openai":
            return ModelChoice(provider, name, None, _OPENAI_CHARACTERS)
        case "sentence-transformers":
            return ModelChoice(provider, name, None, _TRANSFORMER_CHARACTERS)
        case "local":
            raise ProviderUnusableError(
                f"The local provider has the model {_KNOWN[0].name} and no other: leave EMBED_MODEL_ID empty, "
                "or set EMBEDDING_PROVIDER to the one that has it."
            )
        case _:
            raise ProviderUnusableError(
                f"There is no provider {provider}: EMBEDDING_PROVIDER is local, openai or sentence-transformers."
            )


def default_model(settings: EmbeddingSettings) -> ModelChoice:
    """The model that the settings ask for.

    Raises:
        ProviderUnusableError: The provider cannot have it; or a budget is set, and its price is not known.
    """
    provider = settings.embedding_provider
    usual = next(one for one in _KNOWN if one.provider == provider)
    choice = known_model(provider, settings.embed_model_id or usual.name)
    if provider == "openai" and choice not in _KNOWN and settings.embed_daily_budget is not None:
        raise ProviderUnusableError(
            f"EMBED_DAILY_BUDGET cannot be kept: the price of {choice.name} is not known. "
            "Leave it empty, or use a model of OpenAI's text-embedding-3 series."
        )
    return choice
