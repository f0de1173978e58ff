"""Pages of recipients: opting out, preferences, and the confirmation of consent.

A GET shows a page and changes nothing, because mail systems and scanners open every link. A POST acts before it
answers, without cookie or redirect, as one-click unsubscription asks for (RFC 8058).

A token that is forged, or whose person was erased, gets the same words after the same time: a page tells nobody whether
somebody is known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

import psycopg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_platform.campaigns import choices
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.links import Kind, Linked, Links
from cdp_platform.errors import BusyError, UnavailableError
from cdp_platform.web import pages
from cdp_platform.web.bodies import body_of
from cdp_platform.web.database import Database

# Longer than a choice takes in the warehouse, so that the time says nothing.
_EVEN_SECONDS = 0.15
_MOST_BYTES = 64 * 1024


def routes(database: Database, links: Links, channels: Mapping[str, Channel], journal: Journal | None) -> list[Route]:
    """The routes of all pages."""

    async def act(request: Request, kind: Kind, work: Callable[[psycopg.Connection, Linked], None]) -> bool:
        """Do what a page is for; returns False where the warehouse does not answer."""
        until = time.monotonic() + _EVEN_SECONDS
        linked = links.read(kind, request.path_params["token"])
        try:
            await database.run(lambda connection: work(connection, linked) if linked else _nothing(connection))
        except (UnavailableError, BusyError):
            return False
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        return True

    async def stop(request: Request) -> Response:
        await body_of(request, at_most=_MOST_BYTES)
        token = request.path_params["token"]
        done = await act(request, "choose", lambda connection, linked: choices.stop(connection, linked, journal))
        return pages.stopped(token) if done else pages.trouble()

    async def choose(request: Request) -> Response:
        wanted = _wanted(await body_of(request, at_most=_MOST_BYTES))
        done = await act(
            request,
            "choose",
            lambda connection, linked: choices.choose(connection, linked, wanted, channels, journal),
        )
        return pages.saved() if done else pages.trouble()

    async def confirm(request: Request) -> Response:
        await body_of(request, at_most=_MOST_BYTES)
        done = await act(request, "confirm", choices.confirm)
        return pages.confirmed() if done else pages.trouble()

    return [
        *_page("/u/{token}", lambda request: pages.stop(request.path_params["token"]), stop),
        *_page("/p/{token}", lambda _: pages.preferences(channels), choose),
        *_page("/c/{token}", lambda _: pages.confirm(), confirm),
    ]


def _page(path: str, show: Callable[[Request], Response], act: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    async def shown(request: Request) -> Response:
        return show(request)

    return [Route(path, shown, methods=["GET"]), Route(path, act, methods=["POST"])]


def _nothing(connection: psycopg.Connection) -> None:
    connection.execute("SELECT")


def _wanted(body: bytes) -> dict[str, bool]:
    """The channels of a form, each with whether it is wanted; those that are left as they are, left out."""
    fields = parse_qsl(body.decode("utf-8", "replace"))
    return {
        name.removeprefix(pages.FIELD): pages.WANTED[value]
        for name, value in fields
        if name.startswith(pages.FIELD) and value in pages.WANTED
    }
