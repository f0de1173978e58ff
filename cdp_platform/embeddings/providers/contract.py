"""Results and errors of every provider, and the rule which vectors may be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from cdp_platform.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    import numpy as np

Purpose = Literal["document", "query"]


@dataclass(frozen=True)
class Embedded:
    """The vectors of one batch.

    Attributes:
        vectors: float32, one row per text in the order of the texts, each of length 1.
        tokens: as the provider counted them; 0 if it does not count and charges nothing.
    """

    vectors: np.ndarray
    tokens: int


class Provider(Protocol):
    """Makes vectors of texts.

    Attributes:
        dimensions: numbers per vector; 0 before the first answer if no number was asked for.
        max_characters: texts are cut to this before they come here.
    """

    dimensions: int
    max_characters: int

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Embed all texts in one request.

        Raises:
            RefusedTextError: another batch may work.
            PacedError: the same batch works later; the provider says when.
            UnavailableError: the same batch may work later.
            ConfigurationError: a person must change something first.
        """
        ...


class RefusedTextError(RefusedError):
    """The provider refused the request, or its answer cannot be used: one of the texts may be why.

    Attributes:
        indexes: positions in the batch of the texts at fault, where they are known; the other texts are fine. If empty,
            split the batch to find them.
    """

    def __init__(self, message: str, *, indexes: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.indexes = indexes


def require_dimensions(got: int, expected: int, model: str) -> None:
    """Raise ConfigurationError unless vectors have the expected length; 0 expects none."""
    if expected and got != expected:
        raise ConfigurationError(
            f"The model {model} gives vectors of {got} dimensions where {expected} are expected. "
            "Are EMBEDDING_PROVIDER and EMBED_MODEL_ID those that the stored vectors were made with?"
        )


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors as float32 of length 1.

    Raises:
        RefusedTextError: some are NaN, infinite or zero; it says which.
    """
    import numpy as np  # noqa: PLC0415

    # The squares of large numbers overflow in float32.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    unusable = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if unusable.size:
        raise RefusedTextError(
            f"{unusable.size} of {len(vectors)} vectors are zero, infinite or not numbers",
            indexes=tuple(unusable.tolist()),
        )
    return (vectors / lengths[:, None]).astype(np.float32)


def require_encodable(texts: Sequence[str]) -> None:
    """Raise RefusedTextError for texts that cannot be sent, since they have half a surrogate pair; it says which."""
    if indexes := tuple(index for index, text in enumerate(texts) if not _is_encodable(text)):
        raise RefusedTextError(f"{len(indexes)} of {len(texts)} texts are not valid Unicode", indexes=indexes)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
