"""ArangoDB, read only, through python-arango.

This module adds what python-arango lacks: a lost response loses no batch, bytes are parsed as UTF-8 without guessing,
and a failed read is an error that says what to do, never an empty result. The rows of a result stay the JSON that the
server sent, so that each reader decodes only what it needs of them.
"""

import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
import orjson

from cdp_platform import settings
from cdp_platform.errors import MissingCollectionError, SourceError, shown_address
from cdp_platform.resources import outside
from cdp_platform.resources.network import reason
from cdp_platform.settings import ArangoSettings

if TYPE_CHECKING:
    from arango.cursor import Cursor
    from arango.database import StandardDatabase
    from arango.http import HTTPClient

# The first batch of a sorted read takes long if the collection is large and has no fitting index.
REQUEST_TIMEOUT_SECONDS = 300.0
# A running server accepts a connection at once.
_CONNECT_TIMEOUT_SECONDS = 5.0
# How long the server keeps a cursor while the reader works on a batch.
CURSOR_TTL_SECONDS = 600
# Documents per batch. Larger batches are no faster, and do not fit the processors' caches.
BATCH_SIZE = 2000

# Error numbers of ArangoDB for which a message says what to do.
_COLLECTION_NOT_FOUND = 1203
_DATABASE_NOT_FOUND = 1228
_CURSOR_NOT_FOUND = 1600
_HTTP_UNAUTHORIZED = 401
_HTTP_FORBIDDEN = 403


@dataclass(frozen=True)
class Bookmark:
    """A position in the result of a query, from which another process can go on.

    Attributes:
        cursor_id: the server's cursor; None if the first batch was the whole result and the server keeps no cursor.
        next_batch: number of the batch to ask for next.
        has_more: whether there is a next batch.
    """

    cursor_id: str | None
    next_batch: str | None
    has_more: bool


class ArangoDatabase:
    """One database of the server. Every error is raised as a SourceError that says where it happened and what to do."""

    def __init__(self, database: "StandardDatabase", where: str, user: str, failures: list[Exception]) -> None:
        self._database = database
        self._where = where
        self._user = user
        self._failures = failures

    def stream(self, query: str, bind_vars: Mapping[str, Any]) -> Generator[list[Any]]:
        """Yield the result of a query batch by batch, as one snapshot of the data."""
        with closing(self.stream_json(query, bind_vars)) as batches:
            for batch in batches:
                yield [parsed(row) for row in batch]

    def stream_json(
        self, query: str, bind_vars: Mapping[str, Any], *, batch_size: int = BATCH_SIZE
    ) -> Generator[list[bytes]]:
        """Yield the same as JSON, a row each."""
        batch, bookmark = self.begin(query, bind_vars, batch_size=batch_size)
        try:
            while True:
                if batch:
                    yield batch
                if not bookmark.has_more:
                    break
                batch, bookmark = self.resume(bookmark)
        finally:
            self.end(bookmark)

    def begin(
        self, query: str, bind_vars: Mapping[str, Any], *, batch_size: int = BATCH_SIZE
    ) -> tuple[list[bytes], Bookmark]:
        """The first batch of a query's result as JSON, and where to go on. The caller calls `end` in any case.

        With ``allow_retry`` the server keeps the latest batch until the next one is asked for by its number. Without it
        a response that is lost on the way is never read, because python-arango repeats the request and gets the batch
        after it.
        """
        with self._explained():
            result = self._database.aql.execute(
                query,
                bind_vars=_named(bind_vars),
                batch_size=batch_size,
                ttl=cast("Any", CURSOR_TTL_SECONDS),
                stream=True,
                allow_retry=True,
                fill_block_cache=False,
            )
            return _taken(cast("Cursor", result))

    def resume(self, bookmark: Bookmark) -> tuple[list[bytes], Bookmark]:
        """The next batch, and where to go on then."""
        from arango.cursor import Cursor  # noqa: PLC0415

        with self._explained():
            cursor = Cursor(self._database.conn, _cursor_data(bookmark), allow_retry=True)
            cursor.fetch()
            return _taken(cursor)

    def end(self, bookmark: Bookmark) -> None:
        """Release the server's cursor; does nothing if the server has none any more."""
        from arango.cursor import Cursor  # noqa: PLC0415

        if bookmark.cursor_id is not None:
            with self._explained():
                Cursor(self._database.conn, _cursor_data(bookmark)).close(ignore_missing=True)

    def query(self, query: str, bind_vars: Mapping[str, Any] | None = None) -> list[Any]:
        """The whole result of a query that is known to be small."""
        return [row for batch in self.stream(query, bind_vars or {}) for row in batch]

    def version(self) -> str:
        """The server's version."""
        with self._explained():
            return str(self._database.version())

    def indexed_fields(self, collection: str) -> list[tuple[str, ...]]:
        """The fields of each index of a collection that a sorted range can use."""
        with self._explained():
            name = settings.collections().names.get(collection, collection)
            indexes = cast("list[dict[str, Any]]", self._database.collection(name).indexes())
        return [tuple(index["fields"]) for index in indexes if index["type"] == "persistent" and not index["sparse"]]

    @contextmanager
    def _explained(self) -> Generator[None]:
        from arango.exceptions import ArangoError, ArangoServerError  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        try:
            yield
        except ArangoServerError as error:
            raise _source_error(error, self._where, self._user) from error
        except (ArangoError, RequestException, ConnectionError) as error:
            # python-arango's own error does not say why its attempts failed.
            why = reason(self._failures[-1] if self._failures else error)
            raise SourceError(
                f"{self._where}: no usable answer: {why}. Is it running, and is ARANGO_HOST right?",
                transient=True,
            ) from error
        finally:
            self._failures.clear()


@contextmanager
def open_database(
    server: ArangoSettings, name: str, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
) -> Generator[ArangoDatabase]:
    """A database of the server, ready to query. Each request may take ``timeout_seconds``; none is sent here."""
    with open_server(server, timeout_seconds=timeout_seconds) as database:
        yield database(name)


@contextmanager
def open_server(
    server: ArangoSettings, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
) -> Generator[Callable[[str], ArangoDatabase]]:
    """Databases of the server by their names, which share a connection. One thread may use them."""
    from arango import ArangoClient  # noqa: PLC0415 (heavy; definitions load without it)

    failures: list[Exception] = []
    client = ArangoClient(
        hosts=server.host,
        http_client=_http_client(timeout_seconds, failures),
        serializer=lambda document: orjson.dumps(document).decode(),
        # It is given bytes by the client above.
        deserializer=cast("Any", _parse),
        request_timeout=timeout_seconds,
    )

    def database(name: str) -> ArangoDatabase:
        opened = client.db(name, username=server.user, password=server.password.get_secret_value())
        return ArangoDatabase(
            opened, f"ArangoDB at {shown_address(server.host)}, database {name}", server.user, failures
        )

    try:
        yield database
    finally:
        client.close()


def _named(bind_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a query, with the names that collections have on this server."""
    names = settings.collections().names
    return {
        # AQL binds a collection as @@collection, and its name for DOCUMENT() as @name.
        variable: names.get(value, value) if variable.startswith("@") or variable == "name" else value
        for variable, value in bind_vars.items()
    }


def parsed(row: bytes) -> Any:
    """The value of a row.

    Raises:
        SourceError: it is not JSON in UTF-8.
    """
    try:
        return orjson.loads(row)
    except orjson.JSONDecodeError:
        pass
    try:
        # Half a surrogate pair, NaN or 1e400: the lenient parser reads them, and the mapping rejects the document.
        return json.loads(row)
    except ValueError:
        raise SourceError("ArangoDB sent a row that is not JSON in UTF-8.", transient=True) from None


def _taken(cursor: "Cursor") -> tuple[list[bytes], Bookmark]:
    # python-arango has no public name for the number of the next batch.
    return [bytes(row) for row in cursor.batch() or ()], Bookmark(
        cursor.id, cursor._next_batch_id, bool(cursor.has_more())
    )


def _cursor_data(bookmark: Bookmark) -> dict[str, Any]:
    """The answer with the previous batch, from which python-arango makes a cursor."""
    data = {"id": bookmark.cursor_id, "hasMore": bookmark.has_more, "result": []}
    return data | ({"nextBatchId": bookmark.next_batch} if bookmark.next_batch is not None else {})


class _Page(msgspec.Struct):
    """The answer with a batch, as far as python-arango needs it."""

    result: list[msgspec.Raw]
    hasMore: bool  # noqa: N815 (the server's name)
    id: str | None = None
    nextBatchId: str | None = None  # noqa: N815

    def as_answer(self) -> dict[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


_PAGE = msgspec.json.Decoder(_Page)
_RESULT = re.compile(r'"result"\s*:\s*\[\s*')
_COMMA = re.compile(r"\s*,?\s*")


def _parse(body: bytes) -> Any:
    from requests.exceptions import InvalidJSONError  # noqa: PLC0415

    try:
        return _PAGE.decode(body).as_answer()
    except (msgspec.MsgspecError, RecursionError):
        # Another answer than a batch, or one with a value that only the lenient parser reads.
        pass
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        # A proxy's page, or half an answer. Not raised as a ValueError, since python-arango would then treat the answer
        # as text.
        raise InvalidJSONError("the answer is not JSON") from None
    if isinstance(answer, dict) and "hasMore" in answer:
        answer["result"] = list(_rows(body.decode()))
    return answer


def _rows(text: str) -> Generator[bytes]:
    """The rows of a batch as the server sent them, found by the lenient parser."""
    decoder = json.JSONDecoder()
    begin = _RESULT.search(text)
    at = begin.end() if begin else len(text)
    while text[at : at + 1] not in {"]", ""}:
        _, end = decoder.raw_decode(text, at)
        yield text[at:end].encode()
        separator = _COMMA.match(text, end)
        at = separator.end() if separator else len(text)


def _http_client(timeout_seconds: float, failures: list[Exception]) -> "HTTPClient":
    """A client that also keeps the errors of its requests, which python-arango drops."""
    from arango.http import DefaultHTTPClient  # noqa: PLC0415
    from arango.response import Response  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    class BytesHTTPClient(DefaultHTTPClient):
        """Returns the body as bytes.

        The server declares no charset, and `requests` would guess one from the bytes of every page, slowly.
        """

        def send_request(  # noqa: PLR0917 (python-arango's signature)
            self,
            session: Any,
            method: str,
            url: str,
            headers: Any = None,
            params: Any = None,
            data: Any = None,
            auth: Any = None,
        ) -> Response:
            try:
                answer = session.request(
                    method=method,
                    url=url,
                    params=params,
                    data=data,
                    headers=headers,
                    auth=auth,
                    timeout=(min(_CONNECT_TIMEOUT_SECONDS, timeout_seconds), timeout_seconds),
                )
            except RequestException as error:
                failures.append(error)
                raise
            return Response(
                method=method,
                url=answer.url,
                headers=answer.headers,
                status_code=answer.status_code,
                status_text=answer.reason,
                raw_body=answer.content,
            )

    # Without retries in the client: python-arango and the run's retry policy repeat requests. With them a server that
    # is away would be noticed after 18 seconds instead of at once.
    return BytesHTTPClient(request_timeout=timeout_seconds, retry_attempts=0)


def _source_error(error: Any, where: str, user: str) -> SourceError:
    status, number = error.http_code, error.error_code
    if status in {_HTTP_UNAUTHORIZED, _HTTP_FORBIDDEN}:
        return SourceError(
            f"{where}: {user} is not let in. Check ARANGO_USER and ARANGO_PASSWORD, and that the user may read it.",
            transient=False,
        )
    if number == _DATABASE_NOT_FOUND:
        return SourceError(
            f"{where}: there is no such database. Correct its name where it stands: a tenant's with `cdp tenant add ID"
            " --database NAME`, the default for new tenants in ARANGO_DB.",
            transient=False,
        )
    if number == _COLLECTION_NOT_FOUND:
        return MissingCollectionError(f"{where}: {error.error_message}. Is this a LEO CDP database?", transient=False)
    if number == _CURSOR_NOT_FOUND:
        return SourceError(
            f"{where}: the cursor expired before its next batch was asked for. A new run goes on from the watermark.",
            transient=True,
        )
    return SourceError(
        f"{where}: HTTP {status}, error {number}: {error.error_message}",
        transient=outside.verdict(status).passes,
    )
