"""`GET /metrics`, for Prometheus: read at most every 15 seconds, and never waited for longer than a scrape takes."""

import asyncio
import hmac
import ipaddress
import time
from functools import partial

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cdp_platform.errors import BusyError, UnavailableError
from cdp_platform.health import metrics
from cdp_platform.settings import MetricsSettings
from cdp_platform.web.database import Database

KEPT_SECONDS = 15.0
# A scraper gives up after ten seconds, and has to hear of a warehouse that is away before that.
_WAIT_SECONDS = 5.0
# So old may the answer be that is given while a slow reading goes on.
_OLDEST_SECONDS = 60.0
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


def routes(database: Database, settings: MetricsSettings, dagster: str | None, *, has_proxy: bool) -> list[Route]:
    """The route of ``/metrics``.

    Args:
        database: the warehouse.
        settings: the token, and how many tenants are named.
        dagster: conninfo of Dagster's database; None if it is not known.
        has_proxy: whether a proxy stands in front, so that everybody seems to come from this machine.
    """
    read = _Kept(database, partial(metrics.render, dagster=dagster, most_tenants=settings.cdp_metrics_tenants))
    token = settings.cdp_metrics_token.get_secret_value()

    async def answer(request: Request) -> Response:
        if not _may(request, token, has_proxy=has_proxy):
            words = "Give the token of CDP_METRICS_TOKEN as a bearer token. Without one, only this machine may ask.\n"
            return PlainTextResponse(words, 401, {"WWW-Authenticate": "Bearer"})
        try:
            content = await read.get()
        except (UnavailableError, BusyError, TimeoutError):
            return PlainTextResponse("The warehouse does not answer.\n", 503, {"Retry-After": "15"})
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", answer)]


class _Kept:
    """The text, kept for a while. Whoever asks while it is read waits for the same reading."""

    def __init__(self, database: Database, render: partial[bytes]) -> None:
        self._database = database
        self._render = render
        self._content = b""
        self._read_at = float("-inf")
        self._reading: asyncio.Task[bytes] | None = None

    async def get(self) -> bytes:
        """The text.

        Raises:
            UnavailableError, BusyError: the warehouse does not answer.
            TimeoutError: it takes too long, and there is no recent one; the reading goes on.
        """
        if time.monotonic() - self._read_at < KEPT_SECONDS:
            return self._content
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        reading = self._reading
        # Not wait_for, which would wait for the thread to end.
        done, _ = await asyncio.wait({reading}, timeout=_WAIT_SECONDS)
        if not done:
            if time.monotonic() - self._read_at < _OLDEST_SECONDS:
                return self._content
            raise TimeoutError
        return reading.result()

    async def _read(self) -> bytes:
        self._content = await self._database.run(self._render)
        self._read_at = time.monotonic()
        return self._content


def _may(request: Request, token: str, *, has_proxy: bool) -> bool:
    """Whether this caller may see the names of tenants."""
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
    if has_proxy or request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
