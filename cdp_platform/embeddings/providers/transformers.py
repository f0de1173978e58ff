"""Models of sentence-transformers, on this machine. The package is an extra, since it installs PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cdp_platform.embeddings.providers.contract import (
    Embedded,
    Purpose,
    normalised,
    require_dimensions,
    require_encodable,
)
from cdp_platform.embeddings.providers.known import ModelChoice
from cdp_platform.errors import ConfigurationError

# The E5 family was trained with these in front of every text (https://arxiv.org/abs/2402.05672). Its models do not
# define them as prompts of their own.
_E5_PREFIXES: dict[Purpose, str] = {"query": "query: ", "document": "passage: "}


class TransformerProvider:
    """Embeds in this process. It counts no tokens, since it charges nothing."""

    def __init__(self, choice: ModelChoice, *, dimensions: int | None) -> None:
        self._model = load_transformer(choice.name)
        self._name = choice.name
        name = Path(choice.name).name.lower()
        # Models of the family that follow instructions define their prompts.
        self._is_e5 = "e5-" in name and "instruct" not in name
        self.dimensions = dimensions or choice.dimensions or 0
        self.max_characters = choice.max_characters

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Embed all texts. Raises ConfigurationError if the vectors are not as long as expected."""
        import numpy as np  # noqa: PLC0415

        if not texts:
            return Embedded(np.zeros((0, self.dimensions), np.float32), 0)
        require_encodable(texts)
        if self._is_e5:
            encode, given = self._model.encode, [_E5_PREFIXES[purpose] + text for text in texts]
        else:
            encode = self._model.encode_query if purpose == "query" else self._model.encode_document
            given = list(texts)
        vectors = encode(given, convert_to_numpy=True, show_progress_bar=False)
        require_dimensions(vectors.shape[1], self.dimensions, self._name)
        self.dimensions = int(vectors.shape[1])
        return Embedded(normalised(vectors), 0)


@lru_cache(maxsize=1)
def load_transformer(name: str) -> Any:
    """The model, downloaded if it is not on this machine yet. The last loaded model stays in memory.

    Raises:
        ConfigurationError: the package is not installed, or the model can be neither found nor downloaded.
    """
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # ty: ignore[import-not-found]
    except ImportError as error:
        raise ConfigurationError(
            "EMBEDDING_PROVIDER is sentence-transformers, and that is not installed: "
            "run `pip install 'cdp-platform[sentence-transformers]'`."
        ) from error
    try:
        return SentenceTransformer(name)
    except (OSError, ValueError) as error:
        cache = os.environ.get("HF_HOME") or "~/.cache/huggingface"
        raise ConfigurationError(
            f"The model {name} is not in {cache} and could not be fetched ({type(error).__name__}). Connect this "
            "machine once, copy the model there, or set EMBED_MODEL_ID to a folder that holds it."
        ) from error
