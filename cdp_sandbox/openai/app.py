"""`POST /v1/embeddings` and `GET /v1/models` as OpenAI answers them: shapes, limits and the words of its errors.

The vectors are those of `vectors.py`, and tokens are counted as it says. Inputs that are tokens already are refused
with 501: which text they stand for is not known here.

Told to distort an answer (see `faults.py`), it leaves out the last vector (`fewer_vectors`), gives vectors one
dimension too short (`wrong_dimensions`), makes the first one NaN (`nan`) or zero (`zero`), sends them in another order
with their right indexes (`shuffled`), gives two the same index (`duplicate_index`), or none (`no_index`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.faults import DISTORTION, Receive, Send
from cdp_sandbox.openai import KEY
from cdp_sandbox.openai.vectors import count_tokens, embed

DISTORTIONS = frozenset({
    "fewer_vectors", "wrong_dimensions", "nan", "zero", "shuffled", "duplicate_index", "no_index",
})  # fmt: skip

_MODELS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
# When each was made, in seconds since 1970, as `GET /v1/models` says it.
_CREATED = {
    "text-embedding-3-small": 1705948997,
    "text-embedding-3-large": 1705953180,
    "text-embedding-ada-002": 1671217299,
}
_FIELDS = frozenset({"input", "model", "encoding_format", "dimensions", "user"})
_CAN_BE_SHORTENED = "text-embedding-3"
_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_MOST_TOKENS_OF_A_REQUEST = 300_000


class _RefusalError(Exception):
    """A refusal in the words of the real server."""

    def __init__(self, status: int, message: str, *, kind: str = "", param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}


class EmbeddingsServer:
    """The stand-in as one ASGI application. It keeps nothing."""

    def __init__(self) -> None:
        self._app = Starlette(
            routes=[
                Route("/v1/embeddings", _embeddings, methods=["POST"]),
                Route("/v1/models", _models, methods=["GET"]),
                Route("/v1/models/{model}", _models, methods=["GET"]),
                Route("/{path:path}", _unknown, methods=["GET", "POST", "PUT", "DELETE"]),
            ]
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return nothing: there is nothing that it keeps."""
        return {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


async def _embeddings(request: Request) -> Response:
    body = await request.body()
    distortion = request.scope.get("state", {}).get(DISTORTION, "")
    try:
        _require_key(request.headers.get("authorization", ""))
        return await run_in_threadpool(_answer, body, distortion)
    except _RefusalError as refusal:
        return _json({"error": refusal.error}, refusal.status)


async def _models(request: Request) -> Response:
    wanted = request.path_params.get("model")
    try:
        _require_key(request.headers.get("authorization", ""))
        if wanted is None:
            return _json({"object": "list", "data": [_described(model) for model in _MODELS]}, 200)
        if wanted not in _MODELS:
            message = f"The model '{wanted}' does not exist"
            raise _RefusalError(404, message, param="model", code="model_not_found")
        return _json(_described(wanted), 200)
    except _RefusalError as refusal:
        return _json({"error": refusal.error}, refusal.status)


def _described(model: str) -> dict[str, Any]:
    owner = "openai-internal" if model == "text-embedding-ada-002" else "system"
    return {"id": model, "object": "model", "created": _CREATED[model], "owned_by": owner}


async def _unknown(request: Request) -> Response:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    message = f"Unknown request URL: {request.method} {path}. Please check the URL for typos."
    return _json({"error": _RefusalError(404, message, code="unknown_url").error}, 404)


def _require_key(authorization: str) -> None:
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer" or not key:
        raise _RefusalError(401, "You didn't provide an API key. Provide it in an Authorization header (Bearer KEY).")
    if key != KEY:
        shown = key if len(key) < 12 else f"{key[:4]}{'*' * (len(key) - 8)}{key[-4:]}"
        raise _RefusalError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def _answer(body: bytes, distortion: str) -> Response:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        asked = None
    if not isinstance(asked, dict):
        raise _RefusalError(400, "We could not parse the JSON body of your request.")
    if unknown := [name for name in asked if name not in _FIELDS]:
        argument = "argument" if len(unknown) == 1 else "arguments"
        raise _RefusalError(400, f"Unrecognized request {argument} supplied: {', '.join(unknown)}")
    model, dimensions = _model(asked)
    texts = _texts(asked.get("input"))
    encoding = "float" if asked.get("encoding_format") is None else asked["encoding_format"]
    if encoding not in ("float", "base64"):
        raise _RefusalError(400, f"Invalid 'encoding_format': {encoding!r}.", param="encoding_format")
    if not isinstance(asked.get("user"), str | None):
        raise _RefusalError(400, "Invalid type for 'user': expected a string.", param="user", code="invalid_type")
    tokens = _tokens(texts)
    rows = [embed(text, dimensions) for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(row, encoding)}
        for index, row in enumerate(_distorted_rows(rows, distortion))
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": _distorted_data(data, distortion), "model": model, "usage": usage}, 200)


def _model(asked: dict[str, Any]) -> tuple[str, int]:
    model, dimensions = asked.get("model"), asked.get("dimensions")
    if not isinstance(model, str) or not model:
        raise _RefusalError(400, "you must provide a model parameter")
    if model not in _MODELS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise _RefusalError(404, message, code="model_not_found")
    if dimensions is None:
        return model, _MODELS[model]
    if not model.startswith(_CAN_BE_SHORTENED):
        raise _RefusalError(400, "This model does not support specifying dimensions.")
    if type(dimensions) is not int or not 1 <= dimensions <= _MODELS[model]:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be from 1 to {_MODELS[model]}."
        raise _RefusalError(400, message, param="dimensions")
    return model, dimensions


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _RefusalError(400, "'$.input' is invalid. Please check the API reference.", param="input")
    if len(texts) > _MOST_INPUTS:
        message = (
            f"Invalid 'input': array too long. Expected an array with maximum length {_MOST_INPUTS}, "
            f"but got an array with length {len(texts)} instead."
        )
        raise _RefusalError(400, message, param="input", code="array_above_max_length")
    if all(type(text) is int or _is_tokens(text) for text in texts):
        raise _RefusalError(501, "The stand-in takes texts, and no tokens.", kind="not_implemented", param="input")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise _RefusalError(400, "'$.input' is invalid. Please check the API reference.", param="input")
        if not text:
            raise _RefusalError(400, f"Invalid 'input[{index}]': input cannot be an empty string.", param="input")
    return texts


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(token) is int for token in given)


def _tokens(texts: list[str]) -> int:
    counts = [count_tokens(text) for text in texts]
    for index, count in enumerate(counts):
        if count > _MOST_TOKENS:
            message = f"Invalid 'input[{index}]': maximum input length is {_MOST_TOKENS} tokens."
            raise _RefusalError(400, message, param="input")
    if sum(counts) > _MOST_TOKENS_OF_A_REQUEST:
        message = f"Requested {sum(counts)} tokens, max {_MOST_TOKENS_OF_A_REQUEST} tokens per request"
        raise _RefusalError(400, message, kind="max_tokens_per_request", code="max_tokens_per_request")
    return sum(counts)


def _distorted_rows(rows: list[np.ndarray], distortion: str) -> list[np.ndarray]:
    match distortion:
        case "wrong_dimensions":
            return [row[:-1] for row in rows]
        case "nan":
            return [np.full_like(rows[0], np.nan), *rows[1:]]
        case "zero":
            return [np.zeros_like(rows[0]), *rows[1:]]
        case _:
            return rows


def _distorted_data(data: list[dict[str, Any]], distortion: str) -> list[dict[str, Any]]:
    match distortion:
        case "fewer_vectors":
            return data[:-1]
        case "shuffled":
            return data[1::2][::-1] + data[::2]
        case "duplicate_index":
            return [*data[:-1], {**data[-1], "index": 0}] if len(data) > 1 else data * 2
        case "no_index":
            return [{name: value for name, value in item.items() if name != "index"} for item in data]
        case _:
            return data


def _encoded(row: np.ndarray, encoding: str) -> str | list[float]:
    return base64.b64encode(row.tobytes()).decode() if encoding == "base64" else row.tolist()


def _json(value: Any, status: int) -> Response:
    # Writes NaN as such, as servers do that were not written with care.
    return Response(json.dumps(value), status, media_type="application/json")
