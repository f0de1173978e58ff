"""The model that is part of the installation: wordllama, 256 dimensions, without a service and without a download.

A vector is the mean of the vectors of its tokens. wordllama's own `embed` pads every text to the longest of its batch.
Adding up only the tokens of each text gives the same vectors in less than half the time, and a long text does not slow
down the others of its batch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cdp_platform.embeddings.providers.contract import (
    Embedded,
    Purpose,
    normalised,
    require_dimensions,
    require_encodable,
)
from cdp_platform.embeddings.providers.known import ModelChoice
from cdp_platform.errors import ConfigurationError

if TYPE_CHECKING:
    from wordllama.inference import WordLlamaInference


class LocalProvider:
    """Embeds in this process, documents and queries in the same way."""

    def __init__(self, choice: ModelChoice, *, dimensions: int | None) -> None:
        self._model = _model()
        self.dimensions = int(self._model.embedding.shape[1])
        self.max_characters = choice.max_characters
        require_dimensions(self.dimensions, dimensions or 0, choice.name)

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Embed all texts. Raises RefusedTextError with the positions of texts that have no vector."""
        import numpy as np  # noqa: PLC0415

        require_encodable(texts)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        tokens = 0
        encoded = self._model.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row, encoding in enumerate(encoded):
            if ids := encoding.ids:
                np.add.reduce(self._model.embedding.take(ids, axis=0), axis=0, out=vectors[row])
                vectors[row] /= len(ids)
                tokens += len(ids)
        return Embedded(normalised(vectors), tokens)


@cache
def _model() -> WordLlamaInference:
    root = logging.getLogger()
    # wordllama sets up the logging of the whole program when it is imported, unless there is a handler already.
    already_set_up = logging.NullHandler()
    root.addHandler(already_set_up)
    try:
        import wordllama  # noqa: PLC0415

        model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    except (ImportError, FileNotFoundError) as error:
        raise ConfigurationError(
            "The local model is not complete in this installation: run `pip install --force-reinstall wordllama`, "
            "or set EMBEDDING_PROVIDER."
        ) from error
    finally:
        root.removeHandler(already_set_up)
    model.tokenizer.no_padding()
    return model
