"""What arrived: requests to stand-ins that want it, as they came in and whatever became of them.

Here belongs the note of requests, for every stand-in. It stands in front of the faults, so that requests that were
dropped or refused on demand are in it too.

`GET /_sandbox/requests` shows them in the order of their arrival, each with `method`, `path` and `body` (its JSON
value, or null if it has none); only the latest 10,000 are kept, and of those only 64 MiB. `DELETE` forgets them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from cdp_sandbox.faults import App, Receive, Send, buffered

PATH = "/_sandbox/requests"

_KEPT = 10_000
_KEPT_BYTES = 64 * 1024 * 1024


class ArrivalLog:
    """Notes requests and passes them on."""

    def __init__(self, app: App, prefixes: tuple[str, ...]) -> None:
        self._app = app
        self._prefixes = prefixes
        self._arrived: deque[tuple[str, str, bytes]] = deque()
        self._bytes = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer what is asked about the log, note what belongs in it, and pass on all the rest."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._control(Request(scope, receive))(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"].startswith(self._prefixes):
            body, receive = await buffered(receive)
            self._note(scope["method"], scope["path"], body)
        await self._app(scope, receive, send)

    def _note(self, method: str, path: str, body: bytes) -> None:
        self._arrived.append((method, path, body))
        self._bytes += len(body)
        while len(self._arrived) > _KEPT or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._arrived.popleft()[2])

    def _control(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._arrived.clear()
            self._bytes = 0
        shown = [{"method": method, "path": path, "body": _json(body)} for method, path, body in self._arrived]
        return Response(orjson.dumps(shown), media_type="application/json")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
