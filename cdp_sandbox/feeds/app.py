"""The web server of the shops: documents with `ETag` and `Last-Modified`, answers to conditions, and gzip.

`POST /feeds/_generation` publishes the next generation (see `shops.py`), `DELETE` goes back to the first, and `GET`
tells the present one with what is in it. It is kept over restarts.

Told to distort an answer (see `faults.py`), it cuts the document in the middle and sends what is left as if it was
whole (`cut`), adds blanks until it is larger than a shard may be (`oversized`), sends a list of another type
(`wrong_type`), says that it was published later than it was (`moved`), or packs 128 MB of blanks behind it
(`bomb`).
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import MutableMapping
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdp_sandbox.faults import DISTORTION, Receive, Send
from cdp_sandbox.feeds import REGISTRY
from cdp_sandbox.feeds.documents import counts, feeds, published_at, registry

DISTORTIONS = frozenset({"cut", "oversized", "wrong_type", "moved", "bomb"})

_MORE_THAN_A_SHARD = 6 * 1024 * 1024
_BLANKS = 128 * 1024 * 1024
_JSON_LD = "application/ld+json"


class FeedServer:
    """The stand-in as one ASGI application.

    Attributes:
        generation: Of the documents that it serves.
    """

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self.generation = int(state_file.read_text()) if state_file.exists() else 1
        self._app = Starlette(
            routes=[
                Route("/_generation", self._control, methods=["GET", "POST", "DELETE"]),
                Route("/{path:path}", self._document),
            ]
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of groups and products of each organization."""
        return counts(self.generation)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        if request.method != "GET":
            self.generation = self.generation + 1 if request.method == "POST" else 1
            self._state_file.write_text(str(self.generation))
        return JSONResponse({"generation": self.generation, "published": self.counts()})

    async def _document(self, request: Request) -> Response:
        path = request.path_params["path"]
        base_url = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}/"
        content = await run_in_threadpool(self._content, path, base_url)
        if content is None:
            return Response("There is no such document.", 404, media_type="text/plain")
        generation = 1 if path == REGISTRY else self.generation
        if how := request.scope.get("state", {}).get(DISTORTION, ""):
            return _distorted(content, how)
        published = published_at(generation)
        etag = f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
        headers = {"etag": etag, "last-modified": format_datetime(published, usegmt=True)}
        if _is_known(request, etag, headers["last-modified"]):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            content = await run_in_threadpool(gzip.compress, content, 1, mtime=0)
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        return Response(content, headers=headers, media_type=_JSON_LD)

    def _content(self, path: str, base_url: str) -> bytes | None:
        return registry(base_url) if path == REGISTRY else _published(self.generation).get(path)


@lru_cache(maxsize=2)
def _published(generation: int) -> dict[str, bytes]:
    return feeds(generation)


def _is_known(request: Request, etag: str, last_modified: str) -> bool:
    # A tag goes before a date (RFC 9110, 13.2.2).
    if (tags := request.headers.get("if-none-match")) is not None:
        return etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return request.headers.get("if-modified-since") == last_modified


def _distorted(content: bytes, how: str) -> Response:
    match how:
        case "cut":
            content = content[: len(content) // 2]
        case "oversized":
            content += b" " * _MORE_THAN_A_SHARD
        case "bomb":
            return Response(_bomb(content), headers={"content-encoding": "gzip"}, media_type=_JSON_LD)
        case _:
            document = orjson.loads(content)
            changed = {"@type": "Thing"} if how == "wrong_type" else {"lastUpdated": published_at(10_000).isoformat()}
            content = orjson.dumps(document | changed if isinstance(document, dict) else document)
    return Response(content, media_type=_JSON_LD)


@lru_cache(maxsize=1)
def _bomb(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    blanks = b" " * (1 << 20)
    packed = [packer.compress(content), *(packer.compress(blanks) for _ in range(_BLANKS >> 20)), packer.flush()]
    return b"".join(packed)
