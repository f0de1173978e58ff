"""The ArangoDB stand-in as one ASGI application: paths, credentials, threads.

Here belongs the way of a request to its handler and of the answer back. What a request means is in the handlers'
modules.

It answers what python-arango needs to store, import and query documents. It is a stand-in and says so in
`/_api/version?details=true`. What it cannot do right it refuses with 501 and error number 9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from cdp_sandbox.arango import (
    collections,
    databases,
    documents,
    graphs,
    imports,
    index_requests,
    information,
    jobs,
    query_requests,
    refusals,
    users,
)
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.state import ServerState
from cdp_sandbox.arango.store import SYSTEM_DATABASE
from cdp_sandbox.arango.wire import STANDARD_HEADERS, Reply, failure

_log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HANDLERS: dict[tuple[str, str], Callable[[Call], Reply]] = {
    ("_api", "collection"): collections.handle,
    ("_api", "cursor"): query_requests.handle_cursor,
    ("_api", "database"): databases.handle,
    ("_api", "document"): documents.handle,
    ("_api", "edges"): query_requests.handle_edges,
    ("_api", "explain"): query_requests.handle_explain,
    ("_api", "gharial"): graphs.handle,
    ("_api", "import"): imports.handle,
    ("_api", "index"): index_requests.handle,
    ("_api", "job"): jobs.handle,
    ("_api", "query"): query_requests.handle_query,
    ("_api", "query-cache"): query_requests.handle_cache,
    ("_api", "tasks"): jobs.handle_tasks,
    ("_api", "user"): users.handle,
    **information.HANDLERS,
}

# Known to a real server, and refused here.
# fmt: off
_REFUSED = {("_api", name) for name in (
    "analyzer", "aqlfunction", "backup", "batch", "cluster", "control_pregel", "foxx", "replication",
    "simple", "token", "transaction", "traversal", "ttl", "view", "wal",
)}
# fmt: on


class ArangoServer(ServerState):
    """One stand-in server."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        body = await _whole_body(receive)
        if body is None:
            return
        # A query can take seconds. Meanwhile the event loop answers others.
        answer = await asyncio.to_thread(self._answer, scope, body)
        headers = {**STANDARD_HEADERS, **answer.headers, "content-length": str(len(answer.body))}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Reply:
        with self.store.lock:
            try:
                return self._dispatch(scope, body)
            except ArangoError as error:
                return failure(error)
            except RecursionError:
                return failure(refusals.bad_json("Too deep nesting in Array/Object"))
            except Exception:
                _log.exception("%s %s failed", scope["method"], scope["path"])
                return failure(ArangoError(500, 4, "internal error"))

    def _dispatch(self, scope: MutableMapping[str, Any], body: bytes) -> Reply:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        name, path = _split_database(scope["path"])
        if path == "/_open/auth" and scope["method"] == "POST":
            return self.users.open_session(body)
        user = self.users.authenticate(headers)
        self.expiry.remove_expired()
        if not self.users.may_use(user, name):
            raise refusals.not_authorized()
        database = self.store.databases.get(name)
        if database is None:
            raise refusals.database_not_found()
        top, area, *rest = [*path.strip("/").split("/"), ""]
        handler = _HANDLERS.get((top, area))
        if handler is None:
            raise refusals.not_implemented(path) if (top, area) in _REFUSED else refusals.unknown_path(path)
        _refuse_other_worlds(headers)
        call = Call(
            server=self,
            database=database,
            user=user,
            method=scope["method"],
            path=path,
            segments=tuple(segment for segment in rest if segment),
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=headers,
            body=body,
        )
        return handler(call)


def _split_database(path: str) -> tuple[str, str]:
    if not path.startswith("/_db/"):
        return SYSTEM_DATABASE, path
    name, _, rest = path.removeprefix("/_db/").partition("/")
    return name, f"/{rest}"


def _refuse_other_worlds(headers: dict[str, str]) -> None:
    if headers.get("x-arango-async", "false") != "false":
        raise refusals.not_implemented("asynchronous execution")
    if transaction := headers.get("x-arango-trx-id"):
        raise refusals.transaction_not_found(transaction)


async def _whole_body(receive: Receive) -> bytes | None:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
