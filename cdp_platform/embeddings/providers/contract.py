"""What every provider gives, how it fails, and the rule for vectors that are fit to be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cdp_platform.errors import ConfigurationError, PlatformError, SourceError

if TYPE_CHECKING:
    import numpy as np

Purpose = Literal["document", "query"]


@dataclass(frozen=True)
class Embedded:
    """The vectors of one batch.

    Attributes:
        vectors: float32, one row per text in the order of the texts, each of length 1.
        tokens: as the provider counted them; 0 where it does not, and charges nothing.
    """

    vectors: np.ndarray
    tokens: int


class Provider(Protocol):
    """Makes vectors of texts.

    Attributes:
        dimensions: Numbers per vector; 0 as long as nobody said, before the first answer.
        max_characters: Texts are cut to this before they come here.
    """

    dimensions: int
    max_characters: int

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Embed all texts in one request.

        Raises:
            RefusedTextError: Another batch may work.
            PacedError: The same batch works later; the provider says when.
            ProviderUnavailableError: The same batch may work later.
            ProviderUnusableError: A person has to act first.
        """
        ...


class RefusedTextError(PlatformError):
    """The request was refused, or its answer cannot be used: one of its texts may be why.

    Attributes:
        indexes: Positions in the batch of the texts that are at fault, where that is known; the other texts are fine.
            Empty where it is not known: splitting the batch tells.
    """

    def __init__(self, message: str, *, indexes: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.indexes = indexes

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors of worker processes travel pickled."""
        return partial(type(self), indexes=self.indexes), self.args


class ProviderUnavailableError(SourceError):
    """The provider did not answer, or failed by itself. No text is at fault.

    Attributes:
        retry_after_seconds: If the provider said when to come back; at most an hour.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, transient=True)
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors of worker processes travel pickled."""
        return partial(type(self), retry_after_seconds=self.retry_after_seconds), self.args


class PacedError(SourceError):
    """The provider takes no more for now.

    Attributes:
        retry_after_seconds: When to come back: 0 to 3600.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message, transient=True)
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors of worker processes travel pickled."""
        return partial(type(self), retry_after_seconds=self.retry_after_seconds), self.args


class ProviderUnusableError(ConfigurationError):
    """Key, model, quota or installation is not right. A person has to act, and the message says how."""


def require_dimensions(got: int, expected: int, model: str) -> None:
    """Raise ProviderUnusableError unless vectors are as long as the table that is to take them expects."""
    if expected and got != expected:
        raise ProviderUnusableError(
            f"The model {model} gives vectors of {got} dimensions where {expected} are expected. "
            "Are EMBEDDING_PROVIDER and EMBED_MODEL_ID those that the stored vectors were made with?"
        )


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors as float32 of length 1.

    Raises:
        RefusedTextError: Some are NaN, infinite or zero; it says which.
    """
    import numpy as np  # noqa: PLC0415

    # In float32, the squares of large numbers overflow.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    unusable = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if unusable.size:
        raise RefusedTextError(
            f"{unusable.size} of {len(vectors)} vectors are zero, infinite or not numbers",
            indexes=tuple(unusable.tolist()),
        )
    return (vectors / lengths[:, None]).astype(np.float32)


def require_encodable(texts: Sequence[str]) -> None:
    """Raise RefusedTextError that says which texts cannot be sent, for half a surrogate pair in them."""
    if indexes := tuple(index for index, text in enumerate(texts) if not _is_encodable(text)):
        raise RefusedTextError(f"{len(indexes)} of {len(texts)} texts are not valid Unicode", indexes=indexes)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
