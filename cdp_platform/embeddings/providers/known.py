"""The models that are known by name: their dimensions, how much text they read, and what they cost.

Prices are US dollars per million tokens, from OpenAI's price list (https://platform.openai.com/docs/pricing).
"""

from dataclasses import dataclass
from decimal import Decimal

from cdp_platform.errors import ConfigurationError

# OpenAI's models read 8192 tokens. A token is four characters of English, and two or three of Vietnamese. The service
# refuses a text that is still too long, and then only that text fails.
_OPENAI_CHARACTERS = 8000
# Models of this kind read 512 tokens, and ignore the rest of a text.
_TRANSFORMER_CHARACTERS = 2000


@dataclass(frozen=True)
class ModelChoice:
    """A model, and what is known of it.

    Attributes:
        provider: local, openai or sentence-transformers.
        name: as the provider calls it.
        dimensions: numbers per vector; None if it is not known here, and `probe` asks the provider.
        max_characters: longer texts are cut to this.
        price_per_million_tokens: US dollars; 0 for a model on this machine, or if the price is not known here.
        can_be_shortened: whether it gives vectors of fewer dimensions if asked.
    """

    provider: str
    name: str
    dimensions: int | None
    max_characters: int
    price_per_million_tokens: Decimal = Decimal(0)
    can_be_shortened: bool = False

    @property
    def has_known_price(self) -> bool:
        """Whether the price is one that is charged; a model of OpenAI's protocol that is not known by name has none."""
        return self.provider != "openai" or self.price_per_million_tokens > 0


# The first one of each provider is its usual one.
_KNOWN = (
    ModelChoice("local", "wordllama-l2-supercat-256", 256, 8000),
    ModelChoice("openai", "text-embedding-3-small", 1536, _OPENAI_CHARACTERS, Decimal("0.02"), can_be_shortened=True),
    ModelChoice("openai", "text-embedding-3-large", 3072, _OPENAI_CHARACTERS, Decimal("0.13"), can_be_shortened=True),
    ModelChoice("sentence-transformers", "intfloat/multilingual-e5-base", 768, _TRANSFORMER_CHARACTERS),
)


def known_model(provider: str, name: str) -> ModelChoice:
    """The known facts about a model; for an unknown one, those about all models of its provider.

    Raises:
        ConfigurationError: there is no such provider, or it cannot have this model.
    """
    if choice := next((one for one in _KNOWN if (one.provider, one.name) == (provider, name)), None):
        return choice
    match provider:
        case "openai":
            return ModelChoice(provider, name, None, _OPENAI_CHARACTERS)
        case "sentence-transformers":
            return ModelChoice(provider, name, None, _TRANSFORMER_CHARACTERS)
        case "local":
            raise ConfigurationError(
                f"The local provider has the model {_KNOWN[0].name} and no other: leave EMBED_MODEL_ID empty, "
                "or set EMBEDDING_PROVIDER to the one that has it."
            )
        case _:
            raise ConfigurationError(
                f"There is no provider {provider}: EMBEDDING_PROVIDER is local, openai or sentence-transformers."
            )


def usual_model(provider: str) -> str:
    """The name of the model that a provider is used with if no other is asked for."""
    return next(one.name for one in _KNOWN if one.provider == provider)
