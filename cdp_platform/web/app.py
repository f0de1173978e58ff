"""The web app: its routes, and what holds for all of them."""

import json
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cdp_platform.errors import BusyError, UnavailableError
from cdp_platform.web import pages
from cdp_platform.web.database import Database

# The first part of the path of each page, and of those that programs call.
_FOR_PROGRAMS = {"outcomes", "dsn", "payments", "phones", "metrics"}
_PAGES = {"u", "p", "c", "previews", "healthz"} | _FOR_PROGRAMS

_log = logging.getLogger(__name__)
access_log = logging.getLogger("cdp_platform.web.access")
"""One line of JSON per request, without what is secret in its address."""


def app(database: Database, routes: Sequence[Route]) -> Starlette:
    """The web app.

    Args:
        database: the warehouse.
        routes: of what is served, made by the other modules; ``/healthz`` is always served.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        database.close()

    async def healthz(_: Request) -> Response:
        try:
            await database.run(_look)
        except (UnavailableError, BusyError) as error:
            return JSONResponse({"warehouse": str(error)}, 503)
        return JSONResponse({"warehouse": "ok"})

    return Starlette(
        routes=[Route("/healthz", healthz), *routes],
        middleware=[Middleware(_Logged)],
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )


def _look(connection: psycopg.Connection) -> None:
    connection.execute("SELECT FROM campaigns.delivery_log LIMIT 1")


async def _refused(request: Request, error: Exception) -> Response:
    """A page for people, and JSON for programs."""
    assert isinstance(error, HTTPException)  # noqa: S101 (what this handler is for)
    if _first(request.scope) in _FOR_PROGRAMS or pages.wants_json(request):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    return pages.absent(error.status_code)


def _first(scope: Scope) -> str:
    """The first part of a path. It says which page it is, and is the same for everybody."""
    return scope["path"].split("/", 2)[1]


class _Logged:
    """Logs each request, adds the headers of `pages.HEADERS` to each answer, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in pages.HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            # Without its message, which can repeat what somebody sent.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s\n%s", type(error).__name__, where)
            if status:
                raise
            is_program = _first(scope) in _FOR_PROGRAMS or pages.wants_json(Request(scope))
            await (JSONResponse(*pages.AGAIN) if is_program else pages.trouble())(scope, receive, answer)
        finally:
            first = _first(scope)
            line = {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "method": scope["method"],
                "page": f"/{first}" if first in _PAGES else "elsewhere",
                "status": status,
                "ms": round((time.perf_counter() - began) * 1000, 1),
            }
            access_log.info(json.dumps(line))
