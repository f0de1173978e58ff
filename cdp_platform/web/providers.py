"""Addresses that providers report to: outcomes as JSON, and bounces and complaints as mail systems write them.

A report is signed with the secret of its channel and fresh (`signatures`). All of a request that was not taken may be
sent again: each report counts once.
"""

import logging
from collections.abc import Mapping

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp_platform.campaigns import bounces, outcomes, reports
from cdp_platform.campaigns.channels.entry import ChannelEntry
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.reports import Report
from cdp_platform.errors import BusyError, QueryError, UnavailableError
from cdp_platform.ops import signatures
from cdp_platform.web.bodies import body_of
from cdp_platform.web.database import Database

MOST_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def routes(database: Database, channels: Mapping[str, ChannelEntry], journal: Journal | None) -> list[Route]:
    """The routes of all reports."""

    async def signed(request: Request, name: str) -> tuple[ChannelEntry, bytes]:
        body = await body_of(request, at_most=MOST_BYTES)
        channel = channels.get(name)
        secret = channel.outcome_secret.get_secret_value() if channel else ""
        given = [request.headers.get(header, "") for header in (signatures.MOMENT_HEADER, signatures.SIGNATURE_HEADER)]
        # An unknown channel and one without a secret are told from a wrong signature by nobody.
        if not signatures.is_signed(secret, *given, body) or channel is None or not secret:
            raise HTTPException(401, "The report is not signed with the secret of this channel, or not fresh.")
        return channel, body

    async def take(channel: ChannelEntry, found: list[Report]) -> outcomes.OutcomesResult:
        def work(connection: psycopg.Connection) -> outcomes.OutcomesResult:
            result = outcomes.take(connection, channel.name, found, journal)
            outcomes.keep_unknown(connection, channel.name, result.unknown)
            return result

        try:
            return await database.run(work)
        except (UnavailableError, BusyError):
            raise HTTPException(503, "Try again in a minute.", {"Retry-After": "60"}) from None

    async def outcomes_(request: Request) -> JSONResponse:
        channel, body = await signed(request, request.path_params["channel"])
        try:
            found, unreadable = reports.from_json(body)
        except QueryError as error:
            raise HTTPException(400, str(error)) from None
        if unreadable:
            _log.warning("%s: %d reports of a provider cannot be read", channel.name, len(unreadable))
        return _answer(await take(channel, found), unreadable)

    async def dsn(request: Request) -> JSONResponse:
        channel, body = await signed(request, request.query_params.get("channel", ""))
        try:
            # Tens of milliseconds for the largest report; a hostile one takes a second or two.
            found = await run_in_threadpool(bounces.from_message, body)
        except QueryError as error:
            raise HTTPException(422, str(error)) from None
        return _answer(await take(channel, found), [])

    return [
        Route("/outcomes/{channel}", outcomes_, methods=["POST"]),
        Route("/dsn", dsn, methods=["POST"]),
    ]


def _answer(result: outcomes.OutcomesResult, unreadable: list[reports.Unreadable]) -> JSONResponse:
    return JSONResponse(
        {
            "taken": result.taken,
            "known": result.known,
            "unknown": len(result.unknown),
            "unreadable": [{"place": each.place, "problem": each.problem} for each in unreadable],
        }
    )
