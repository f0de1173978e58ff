"""OpenAI's `/v1/embeddings`, at OpenAI or at any server that speaks its protocol.

This module adds to the official client: it puts answers in the order of the texts, checks each answer, and maps each
error to one of the four that providers raise. The client's own retries are off, since they would bypass the gate.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import orjson

from cdp_platform.embeddings.providers.contract import (
    Embedded,
    Purpose,
    RefusedTextError,
    normalised,
    require_dimensions,
    require_encodable,
)
from cdp_platform.embeddings.providers.known import ModelChoice
from cdp_platform.errors import ConfigurationError, PacedError, UnavailableError, shown_address
from cdp_platform.resources import network, outside
from cdp_platform.resources.outside import Verdict
from cdp_platform.settings import EmbeddingSettings

if TYPE_CHECKING:
    import numpy as np
    import openai

# A running server accepts a connection at once.
_CONNECT_TIMEOUT_SECONDS = 5.0
_DEFAULT_PACE_SECONDS = 5.0
_LONGEST_PACE_SECONDS = 3600.0

_UNAUTHORIZED = 401
_PAYMENT_REQUIRED = 402
_FORBIDDEN = 403
_NOT_FOUND = 404

# Codes and types of OpenAI's error object. They are checked before the status, in which servers differ.
_KEY_CODES = {"invalid_api_key"}
_MODEL_CODES = {"model_not_found"}
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit_balance_exhausted"}

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
_NUMBER = re.compile(r"\d+(\.\d+)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|s)")


class OpenAIProvider:
    """Embeds by requests to a service, documents and queries in the same way."""

    def __init__(
        self, choice: ModelChoice, settings: EmbeddingSettings, *, dimensions: int | None, timeout_seconds: float
    ) -> None:
        import openai  # noqa: PLC0415 (heavy; definitions load without it)

        self._model = choice.name
        self.dimensions = dimensions or choice.dimensions or 0
        self.max_characters = choice.max_characters
        shortened = choice.can_be_shortened and self.dimensions != choice.dimensions
        self._asked_dimensions = self.dimensions if shortened else openai.omit
        self._where = f"Embeddings at {shown_address(settings.openai_base_url)}"
        self._client = openai.OpenAI(
            api_key=self._key(settings),
            base_url=settings.openai_base_url,
            max_retries=0,
            timeout=openai.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_TIMEOUT_SECONDS)),
        )

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Embed all texts in one request; see `Provider.embed` for what it raises."""
        import numpy as np  # noqa: PLC0415
        import openai  # noqa: PLC0415

        if not texts:
            return Embedded(np.zeros((0, self.dimensions), np.float32), 0)
        require_encodable(texts)
        # No error has the client's error as its cause, which holds the request and so the texts.
        try:
            answer = self._client.embeddings.with_raw_response.create(
                model=self._model,
                input=list(texts),
                dimensions=self._asked_dimensions,
                # A quarter of the size. The client asks for this by default, so servers know it or answer with numbers.
                encoding_format="base64",
            )
        except openai.APIStatusError as error:
            self._explain(error, texts)
        except openai.APIConnectionError as error:
            raise UnavailableError(
                f"{self._where}: no answer: {network.reason(error)}. Is it running, and is OPENAI_BASE_URL right?"
            ) from None
        document = _parsed(answer.content)
        if not isinstance(document, dict) or not isinstance(document.get("data"), list):
            raise UnavailableError(f"{self._where}: the answer is not one of /v1/embeddings. Is OPENAI_BASE_URL right?")
        vectors = normalised(self._matrix(_ordered(document["data"], len(texts))))
        self.dimensions = vectors.shape[1]
        return Embedded(vectors, _tokens(document))

    def _key(self, settings: EmbeddingSettings) -> str:
        key = settings.openai_api_key.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("OPENAI_API_KEY has characters that no key has: set it to the key alone.")
        if not key and urlsplit(settings.openai_base_url).hostname == "api.openai.com":
            raise ConfigurationError(
                "EMBEDDING_PROVIDER is openai and OPENAI_API_KEY is empty: set it, or OPENAI_BASE_URL to a server "
                "that needs none."
            )
        # The client refuses an empty key.
        return key or "none"

    def _matrix(self, rows: list[np.ndarray]) -> np.ndarray:
        import numpy as np  # noqa: PLC0415

        lengths = [row.size for row in rows]
        expected = self.dimensions or max(lengths)
        odd = tuple(index for index, length in enumerate(lengths) if length != expected)
        if len(odd) == len(rows):
            require_dimensions(lengths[0], expected, self._model)
        if odd:
            raise RefusedTextError(
                f"{self._where}: {len(odd)} of {len(rows)} vectors are too short or long", indexes=odd
            )
        return np.stack(rows)

    def _explain(self, error: openai.APIStatusError, texts: Sequence[str]) -> NoReturn:
        status, names = error.status_code, {str(error.code), str(error.type)}
        words = _words(error.body, texts)
        said = f"HTTP {status}" + (f": {words}" if words else "")
        if status in {_UNAUTHORIZED, _FORBIDDEN} or names & _KEY_CODES:
            # Messages about a wrong key quote parts of it.
            reason = said if status == _FORBIDDEN else f"HTTP {status}"
            raise ConfigurationError(
                f"{self._where}: not let in ({reason}). Check OPENAI_API_KEY, and that it may use {self._model}."
            ) from None
        if status == _PAYMENT_REQUIRED or names & _QUOTA_CODES:
            raise ConfigurationError(
                f"{self._where}: the account's quota is used up ({said}). Add credit or raise its limit there."
            ) from None
        if status == _NOT_FOUND or names & _MODEL_CODES:
            raise ConfigurationError(
                f"{self._where}: no model {self._model} ({said}). Check EMBED_MODEL_ID and OPENAI_BASE_URL."
            ) from None
        verdict = outside.verdict(status)
        # Waiting does not help a batch that is larger than the limit per minute.
        if verdict is Verdict.REFUSED or (verdict is Verdict.WAIT and words.startswith("Request too large")):
            raise RefusedTextError(f"{self._where}: refused ({said})") from None
        pause = _pause_seconds(error.response.headers)
        if verdict is Verdict.WAIT:
            raise PacedError(
                f"{self._where}: no more for now ({said})",
                retry_after_seconds=_DEFAULT_PACE_SECONDS if pause is None else pause,
            ) from None
        if verdict.passes:
            raise UnavailableError(f"{self._where}: failed ({said})", retry_after_seconds=pause) from None
        raise ConfigurationError(f"{self._where}: {said}. Is OPENAI_BASE_URL right?") from None


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        # Accepts NaN, which then only makes one text fail.
        return json.loads(content)
    except ValueError:
        return None


def _ordered(data: list[Any], count: int) -> list[np.ndarray]:
    """The vectors in the order of the texts. Only `index` says which text a vector is of."""
    if len(data) != count:
        raise RefusedTextError(f"{len(data)} vectors came back for {count} texts")
    rows: dict[int, np.ndarray] = {}
    for item in data:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or index in rows:
            raise RefusedTextError("vectors came back with an index that is missing, wrong or there twice")
        rows[index] = _decoded(item.get("embedding"), index)
    return [rows[index] for index in range(count)]


def _decoded(embedding: Any, index: int) -> np.ndarray:
    import numpy as np  # noqa: PLC0415

    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
        return np.asarray(embedding, np.float64).reshape(-1)
    except (ValueError, TypeError):
        raise RefusedTextError("a vector that came back is neither numbers nor base64", indexes=(index,)) from None


def _tokens(document: dict[str, Any]) -> int:
    usage = document.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0


def _words(body: Any, texts: Sequence[str]) -> str:
    """The provider's message, without the texts that it may quote.

    OpenAI's error object has a message. FastAPI's has a detail: a text, or a list of objects that each have a message
    and the input.
    """
    if isinstance(body, dict):
        said = body.get("message") or body.get("detail") or ""
        if isinstance(said, list):
            said = "; ".join(str(one.get("msg", "")) for one in said if isinstance(one, dict))
    else:
        said = body
    return outside.without_quotes(said, texts) if isinstance(said, str) else ""


def _pause_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, at most an hour; None if it does not say.

    `retry-after-ms` and `Retry-After` are meant for this. `x-ratelimit-reset-*` say when the full limits are available
    again.
    """
    pause = None
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        pause = milliseconds / 1000
    else:
        pause = outside.retry_after_seconds(headers.get("retry-after"))
    if pause is None:
        resets = (_duration(headers.get(f"x-ratelimit-reset-{kind}")) for kind in ("requests", "tokens"))
        pause = max((one for one in resets if one is not None), default=None)
    return None if pause is None else min(max(pause, 0.0), _LONGEST_PACE_SECONDS)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _duration(text: str | None) -> float | None:
    """Seconds of a duration such as `6m0s`, `1.5s`, `12ms`, or a plain number of seconds."""
    if text is None:
        return None
    parts = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text.strip():
        return _number(text)
    return sum(float(count) * _UNIT_SECONDS[unit] for count, unit in parts)
