"""Version 4 of Google's Sheets API, the token endpoint, and the addresses by which tests and people prepare things.

`/v4/spreadsheets...` answers as `https://sheets.googleapis.com/v4/spreadsheets...` does, `/drive/v3/files...` and
`/upload/drive/v2/files...` are the little of Drive that goes with it, and `/token` gives tokens to service accounts.
Without authorization:

- `GET /_spreadsheets` lists spreadsheets. `PUT /_spreadsheets/{id}` with `{"title": ..., "shared_with": [email, ...]}`,
  or `"everybody"`, makes one, or sets title and sharing of the one that is there; `DELETE` removes it.
- `POST /_accounts` with `{"name": ...}` answers the key of an account of that name, which is made if there is none.
- `GET` and `PUT /_quota`: `{"writes": 60, "reads": 60}`, per user and minute; null is no limit.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.faults import Receive, Send
from cdp_sandbox.sheets import PATH, drive, pages, service
from cdp_sandbox.sheets.accounts import Accounts, GrantError
from cdp_sandbox.sheets.errors import RefusalError, known
from cdp_sandbox.sheets.grid import EVERYBODY
from cdp_sandbox.sheets.quotas import Quotas
from cdp_sandbox.sheets.service import Call
from cdp_sandbox.sheets.store import Sheet, Spreadsheet, Store

_MOST_BYTES = 10_485_760


class SheetsServer:
    """The stand-in as one ASGI application.

    Attributes:
        store: What it holds.
    """

    def __init__(self, file: Path, key_file: Path, base_url: str) -> None:
        """Open the store, and write the key of the first account for a server at `base_url`."""
        self.store = Store(file)
        self._accounts = Accounts(self.store, key_file)
        self._accounts.write_first_key(f"{base_url}{PATH}/token")
        self._quotas = Quotas(self.store)
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        self._app = Starlette(
            routes=[
                Route("/token", self._token, methods=["POST"]),
                Route("/_spreadsheets", self._control(self._list)),
                Route("/_spreadsheets/{id}", self._control(self._make), methods=["PUT"]),
                Route("/_spreadsheets/{id}", self._control(self._remove), methods=["DELETE"]),
                Route("/_accounts", self._control(self._account), methods=["POST"]),
                Route("/_quota", self._control(self._quota), methods=["GET", "PUT"]),
                Route("/v4/{path:path}", self._api(service.answer), methods=every),
                Route("/drive/v3/{path:path}", self._api(drive.answer), methods=every),
                Route("/upload/drive/v2/{path:path}", self._api(drive.upload), methods=["PUT"]),
                *pages.routes(self.store),
            ]
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of rows of each sheet."""
        return {one.title: {sheet.title: len(sheet.rows) for sheet in one.sheets} for one in self.store.spreadsheets()}

    def close(self) -> None:
        """Give the file free."""
        self.store.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def _api(self, answer: Callable[[Store, Call], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._answer, answer, request, await request.body())

        return endpoint

    def _answer(self, answer: Callable[[Store, Call], Any], request: Request, body: bytes) -> Response:
        try:
            if len(body) > _MOST_BYTES:
                raise RefusalError(f"Request payload size exceeds the limit: {_MOST_BYTES} bytes.", 413)
            writes = request.method != "GET"
            user = self._accounts.caller(request.headers.get("authorization", ""), writes=writes)
            # Drive has quotas of its own, which nobody who works on spreadsheets comes near.
            if answer is service.answer:
                self._quotas.take(user, "writes" if writes else "reads")
            is_csv = request.headers.get("content-type", "").startswith("text/csv")
            call = Call(
                request.method,
                request.path_params["path"],
                request.query_params,
                body if is_csv else _read(body),
                user,
                _base(request),
            )
            reply = answer(self.store, call)
            if reply is None:
                return Response(status_code=204)
            return Response(reply, media_type="text/csv") if isinstance(reply, bytes) else _json(reply)
        except RefusalError as refusal:
            return _json(refusal.body(), refusal.code)

    def _control(self, do: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                return _json(await run_in_threadpool(do, request, _read(body)))
            except RefusalError as refusal:
                return _json(refusal.body(), refusal.code)

        return endpoint

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        try:
            return _json(await run_in_threadpool(self._accounts.grant, form, f"{_base(request)}/token"))
        except GrantError as refusal:
            return _json(refusal.body, 400)

    def _list(self, request: Request, body: Any) -> Any:
        return [_told(one) for one in self.store.spreadsheets()]

    def _make(self, request: Request, body: Any) -> Any:
        said = known(body or {}, "body", "title", "shared_with")
        identity = request.path_params["id"]
        if self.store.find(identity) is None:
            sheet = Sheet(self.store.new_number(), 0, "Sheet1")
            self.store.create(Spreadsheet(identity, identity, [], sheets=[sheet]))
        with self.store.change(identity) as draft:
            draft.title = str(said.get("title", draft.title))
            shared_with = said.get("shared_with", draft.shared_with)
            if shared_with != EVERYBODY and not isinstance(shared_with, list):
                raise RefusalError("shared_with is a list of e-mail addresses, or 'everybody'.")
            draft.shared_with = shared_with
        return _told(draft)

    def _remove(self, request: Request, body: Any) -> Any:
        self.store.delete(request.path_params["id"])
        return {}

    def _account(self, request: Request, body: Any) -> Any:
        said = known(body, "body", "name")
        return self._accounts.key(str(said.get("name", "")), f"{_base(request)}/token")

    def _quota(self, request: Request, body: Any) -> Any:
        if request.method == "PUT":
            self._quotas.set(body)
        return self._quotas.limits


def _told(spreadsheet: Spreadsheet) -> dict[str, Any]:
    return {
        "id": spreadsheet.id,
        "title": spreadsheet.title,
        "shared_with": spreadsheet.shared_with,
        "sheets": [sheet.title for sheet in spreadsheet.sheets],
        "last_change": spreadsheet.last_change,
    }


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


def _read(body: bytes) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusalError(f"Invalid JSON payload received. {error}") from error


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json; charset=UTF-8")
