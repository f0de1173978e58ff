"""ArangoDB, read only, through python-arango.

What python-arango does not do by itself and this module makes sure of: a lost response loses no batch, bytes are parsed
as UTF-8 without guessing, and a failed read is an error that says what to do, never an empty result.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

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

# A sorted read of a large collection without a fitting index answers its first batch late.
REQUEST_TIMEOUT_SECONDS = 300.0
# A server that is there takes a connection at once.
_CONNECT_TIMEOUT_SECONDS = 5.0
# How long the server keeps a cursor for a reader that is busy with a batch.
CURSOR_TTL_SECONDS = 600
# Larger pages are no faster to read, and a batch of them no longer fits the caches on either side.
BATCH_SIZE = 2000

# ArangoDB's error numbers that a person can do something about.
_COLLECTION_NOT_FOUND = 1203
_DATABASE_NOT_FOUND = 1228
_CURSOR_NOT_FOUND = 1600
_HTTP_UNAUTHORIZED = 401
_HTTP_FORBIDDEN = 403


@dataclass(frozen=True)
class Bookmark:
    """Where the reading of a query stands: enough for another process to go on with it.

    Attributes:
        cursor_id: of the server; None where the first batch was all and the server keeps nothing.
        next_batch: number of the batch to ask for next.
        has_more: whether there is one.
    """

    cursor_id: str | None
    next_batch: str | None
    has_more: bool


class ArangoDatabase:
    """One database of the server. Every error comes out as SourceError, saying where and what to do."""

    def __init__(self, database: "StandardDatabase", where: str, user: str, failures: list[Exception]) -> None:
        self._database = database
        self._where = where
        self._user = user
        self._failures = failures

    def stream(self, query: str, bind_vars: Mapping[str, Any], *, batch_size: int = BATCH_SIZE) -> Generator[list[Any]]:
        """Yield the result of a query batch by batch, as one snapshot of the data."""
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
    ) -> tuple[list[Any], Bookmark]:
        """The first batch of a query's result, and where to go on; whoever begins sees to it that it is ended.

        With ``allow_retry`` the server keeps the latest batch until the next one is asked for by its number. Without it
        a response that is lost on the way is lost for good, because python-arango sends the request again and gets the
        batch after it.
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

    def resume(self, bookmark: Bookmark) -> tuple[list[Any], Bookmark]:
        """The next batch, and where to go on then."""
        from arango.cursor import Cursor  # noqa: PLC0415

        with self._explained():
            cursor = Cursor(self._database.conn, _cursor_data(bookmark), allow_retry=True)
            cursor.fetch()
            return _taken(cursor)

    def end(self, bookmark: Bookmark) -> None:
        """Free what the server keeps of a query; nothing happens where it keeps nothing any more."""
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
            # python-arango's own error after its attempts does not say why they failed.
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
    """A database of the server, ready to query; each request may take so long. Nothing is sent before the first."""
    from arango import ArangoClient  # noqa: PLC0415 (heavy; definitions load without it)

    failures: list[Exception] = []
    client = ArangoClient(
        hosts=server.host,
        http_client=_http_client(timeout_seconds, failures),
        serializer=lambda document: orjson.dumps(document).decode(),
        deserializer=_parse,
        request_timeout=timeout_seconds,
    )
    try:
        database = client.db(name, username=server.user, password=server.password.get_secret_value())
        where = f"ArangoDB at {shown_address(server.host)}, database {name}"
        yield ArangoDatabase(database, where, server.user, failures)
    finally:
        client.close()


def _named(bind_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a query, with collections by their names on this server."""
    names = settings.collections().names
    return {
        # AQL binds a collection as @@collection, and its name for DOCUMENT() as @name.
        variable: names.get(value, value) if variable.startswith("@") or variable == "name" else value
        for variable, value in bind_vars.items()
    }


def _taken(cursor: "Cursor") -> tuple[list[Any], Bookmark]:
    # python-arango has no public name for the number of the next batch.
    return list(cursor.batch() or ()), Bookmark(cursor.id, cursor._next_batch_id, bool(cursor.has_more()))


def _cursor_data(bookmark: Bookmark) -> dict[str, Any]:
    """What python-arango makes a cursor of: the answer that had the batch before."""
    data = {"id": bookmark.cursor_id, "hasMore": bookmark.has_more, "result": []}
    return data | ({"nextBatchId": bookmark.next_batch} if bookmark.next_batch is not None else {})


def _parse(body: bytes | str) -> Any:
    from requests.exceptions import InvalidJSONError  # noqa: PLC0415

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        # Half a surrogate pair, NaN or 1e400 somewhere in the page: the lenient parser reads them, and the mapping
        # rejects just the documents that hold them.
        return json.loads(body)
    except ValueError:
        # A proxy's page, or half an answer. Not a ValueError: python-arango would take that for a text.
        raise InvalidJSONError("the answer is not JSON") from None


def _http_client(timeout_seconds: float, failures: list[Exception]) -> "HTTPClient":
    """A client that also keeps the errors of its requests: python-arango forgets them."""
    from arango.http import DefaultHTTPClient  # noqa: PLC0415
    from arango.response import Response  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    class BytesHTTPClient(DefaultHTTPClient):
        """Hands the body over as it came.

        The server declares no charset, and `requests` would guess one from the bytes of every page: slow, and a guess.
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

    # No retries of its own: python-arango sends again at once, and then the run's retry policy has its turn. With them
    # a server that is away is noticed after 18 seconds instead of at once.
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
