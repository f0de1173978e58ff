"""A source that is never the bottleneck: answers the platform's queries with documents that are encoded already.

It speaks as much of ArangoDB's protocol as python-arango needs to read, and knows the platform's queries by their text;
any other gets error 1501. A database named `documents_N` has N documents in each collection. Of these the first hundred
change each time that somebody asks what changed.
"""

import multiprocessing
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from operator import itemgetter
from typing import Any

import orjson
import requests

from benchmarks.documents import CONVERSIONS, PROFILES, document, touchpoint
from cdp_platform.customers.source import aql
from cdp_platform.resources.arango import BATCH_SIZE

_QUERY_PARSE_ERROR = 1501
CHANGES = 100


def database_of(documents: int) -> str:
    """The name of the database that has so many documents in each collection."""
    return f"documents_{documents}"


def documents_of(database: str) -> int:
    """How many documents each collection of a database has."""
    return int(database.removeprefix("documents_"))


@contextmanager
def running_stub(documents: int) -> Generator[str]:
    """Run the stub in a process of its own, the first so many documents encoded beforehand; yields its URL."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(documents, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def read_pages(
    url: str, database: str, collection: str, *, batch_size: int = BATCH_SIZE
) -> Generator[list[dict[str, Any]]]:
    """All documents of a collection in batches, as a program reads them that has no ArangoDB client."""
    with requests.Session() as session:
        cursors = f"{url}/_db/{database}/_api/cursor"
        query = {"query": aql("all_documents"), "bindVars": {"@collection": collection}, "batchSize": batch_size}
        answer = session.post(cursors, data=orjson.dumps(query), timeout=60)
        while True:
            page = orjson.loads(answer.content)
            yield page["result"]
            if not page["hasMore"]:
                return
            answer = session.post(f"{cursors}/{page['id']}/{page['nextBatchId']}", timeout=60)


def _encode(collection: str, begin: int, end: int) -> bytes:
    """The documents from one number to before another, with commas between."""
    return b",".join(orjson.dumps(document(collection, number)) for number in range(begin, end))


_encoded = cache(_encode)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Documents up to this number are kept encoded. A larger collection, of which only memory is measured, is not kept.
    kept = 0
    # With Nagle's algorithm the body of a small answer would wait until its headers are acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(200, b'{"server":"arango","license":"community","version":"3.11.14"}')

    def do_DELETE(self) -> None:
        self._answer(202, b'{"error":false,"code":202}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # /_db/DATABASE/_api/cursor[/COLLECTION.BATCHSIZE/BATCH]
        parts = self.path.strip("/").split("/")
        total = documents_of(parts[1])
        if len(parts) > 4:
            collection, _, batch_size = parts[4].partition(".")
            self._batch(collection, total, int(batch_size), int(parts[5]))
            return
        asked = orjson.loads(body)
        query, bind_vars = asked["query"], asked.get("bindVars", {})
        if query == aql("all_documents"):
            self._batch(bind_vars["@collection"], total, asked["batchSize"], 1)
        elif query == aql("changed_documents"):
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            is_now = bind_vars["begin"] <= stamp and (bind_vars["end"] is None or stamp < bind_vars["end"])
            changed = [
                document(bind_vars["@collection"], number) | {"updatedAt": stamp, "totalEvent": time.time_ns()}
                for number in range(CHANGES if is_now else 0)
            ]
            self._result(sorted(changed, key=itemgetter("_key")))
        elif query == aql("scattered_documents"):
            self._result([])
        elif query == aql("touchpoints"):
            self._result([touchpoint(key) for key in bind_vars["keys"]])
        elif query == "RETURN LENGTH(@@collection)":
            self._result([total])
        elif query == "RETURN DATE_NOW()":
            self._result([int(time.time() * 1000)])
        else:
            message = f"the stub does not know this query: {query}"
            error = {"error": True, "code": 400, "errorNum": _QUERY_PARSE_ERROR, "errorMessage": message}
            self._answer(400, orjson.dumps(error))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that is overridden)
        pass

    def _batch(self, collection: str, total: int, batch_size: int, batch: int) -> None:
        begin = (batch - 1) * batch_size
        end = min(begin + batch_size, total)
        more = f',"id":"{collection}.{batch_size}","nextBatchId":"{batch + 1}"' if end < total else ""
        head = f'{{"error":false,"code":201,"cached":false,"hasMore":{str(end < total).lower()}{more},"result":['
        encode = _encoded if end <= self.kept else _encode
        self._answer(201, head.encode(), encode(collection, begin, end), b"]}")

    def _result(self, rows: list[Any]) -> None:
        page = {"error": False, "code": 201, "cached": False, "hasMore": False, "result": rows}
        self._answer(201, orjson.dumps(page))

    def _answer(self, status: int, *body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(sum(map(len, body))))
        self.end_headers()
        for part in body:
            self.wfile.write(part)


def _serve(documents: int, ready: Connection) -> None:
    for collection in (PROFILES, CONVERSIONS):
        for begin in range(0, documents, BATCH_SIZE):
            _encoded(collection, begin, min(begin + BATCH_SIZE, documents))
    _Handler.kept = documents
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        ready.send(server.server_port)
        server.serve_forever()
