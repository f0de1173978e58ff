"""Apollo's API for people, as `https://api.apollo.io` answers it, and the addresses by which tests prepare and judge.

- `POST /api/v1/people/bulk_match` finds up to ten people, and `POST /api/v1/people/match` one; `people.py` says
  whom.
- `GET /api/v1/auth/health` tells whether a key is known.
- `POST /api/v1/usage_stats/api_usage_stats` and `.../credit_usage_stats` tell what was used of limits and credits.

A key has to be known (401), to be allowed for the endpoint (403) and to be within the limits (429); only then is the
body looked at. Demographics or an address cost one credit of the type `lead_credit`.

Without authorization:

- `GET /_calls` and `GET /_charges` list all requests for people, and what each person cost. `DELETE /_calls` forgets
  them, and opens the limits again.
- `GET` and `PUT /_settings`: `settings.py` has what can be set. `DELETE` sets everything as it was at first.

Told to distort an answer (see `faults.py`), it does and charges its work, and then answers with the people in another
order (`wrong_order`), without the last (`short`), with two in each other's place (`swapped_people`), without the counts
(`no_counts`), or with a page of HTML (`html`; with the rule's `status`, or 200). With `fractional`, each person costs
0.35 credits, in the answer as on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cdp_sandbox.apollo import refusals
from cdp_sandbox.apollo.enrichment import distorted, enrich, read
from cdp_sandbox.apollo.limits import Windows
from cdp_sandbox.apollo.refusals import RefusalError
from cdp_sandbox.apollo.settings import API_STATS, BULK_MATCH, CREDIT_STATS, MATCH, Settings
from cdp_sandbox.apollo.store import Call, Store, credits_of
from cdp_sandbox.faults import RULE, Receive, Rule, Send

DISTORTIONS = frozenset({"wrong_order", "short", "swapped_people", "no_counts", "fractional", "html"})

_HTML = "<!doctype html><html><head><title>apollo.io</title></head><body><h1>One moment, please.</h1></body></html>"

_Work = Callable[[Request], Awaitable[Response]]


class ApolloServer:
    """The stand-in as one ASGI application."""

    def __init__(self, state_dir: Path) -> None:
        self._store = Store(state_dir / "apollo.sqlite")
        self._windows = Windows()
        api = {
            BULK_MATCH: self._people,
            MATCH: self._people,
            API_STATS: self._api_stats,
            CREDIT_STATS: self._credit_stats,
        }
        self._app = Starlette(
            routes=[
                Route("/api/v1/auth/health", self._health),
                *(
                    Route(f"/api/v1/{name}", self._admitting(name, work), methods=["POST"])
                    for name, work in api.items()
                ),
                Route("/_calls", self._calls, methods=["GET", "DELETE"]),
                Route("/_charges", self._charges),
                Route("/_settings", self._settings, methods=["GET", "PUT", "DELETE"]),
            ]
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of calls by endpoint and status, and the credits of each type."""
        return self._store.counts()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _admitting(self, endpoint: str, work: _Work) -> _Work:
        """The endpoint that does this work for those whose key may ask, within the limits."""

        async def answer(request: Request) -> Response:
            request.state.endpoint, request.state.asked = endpoint, 0
            limits = self._store.settings.limits_of(endpoint)
            try:
                self._admit(request, endpoint)
                response = await work(request)
            except RefusalError as refusal:
                if endpoint in {BULK_MATCH, MATCH}:
                    asked = request.state.asked
                    self._store.note_refusal(
                        Call(
                            endpoint, _hash(request), asked, refusal.status, error=refusal.reason, fault=_fault(request)
                        )
                    )
                response = refusal.response()
                if refusal.status in {401, 403}:
                    return response
            response.headers.update(self._windows.headers(endpoint, limits))
            return response

        return answer

    def _admit(self, request: Request, endpoint: str) -> None:
        settings = self._store.settings
        allowed = settings.keys.get(request.headers.get("x-api-key", ""))
        if allowed is None:
            raise refusals.bad_key()
        if not {"*", endpoint} & set(allowed):
            raise refusals.inaccessible(endpoint)
        if full := self._windows.take(endpoint, settings.limits_of(endpoint)):
            raise refusals.too_many_requests(endpoint, *full)

    async def _people(self, request: Request) -> Response:
        endpoint, fault, rule = request.state.endpoint, _fault(request), _rule(request)
        asked = read(endpoint, dict(request.query_params), await request.body())
        request.state.asked = len(asked.people)
        await asyncio.sleep(self._store.settings.latency_seconds)
        answer = enrich(self._store, asked, _hash(request), fault=fault)
        if fault == "html" and rule is not None:
            return HTMLResponse(_HTML, rule.status or 200)
        return _json(distorted(answer, fault) if endpoint == BULK_MATCH else answer)

    async def _health(self, request: Request) -> Response:
        known = request.headers.get("x-api-key", "") in self._store.settings.keys
        return _json({"healthy": True, "is_logged_in": known})

    async def _api_stats(self, _request: Request) -> Response:
        stats = {}
        for endpoint in (BULK_MATCH, MATCH, API_STATS, CREDIT_STATS):
            folder, _, action = endpoint.rpartition("/")
            name = orjson.dumps([f"api/v1/{folder}", action]).decode().replace(",", ", ")
            stats[name] = self._windows.stats(endpoint, self._store.settings.limits_of(endpoint))
        return _json(stats)

    async def _credit_stats(self, _request: Request) -> Response:
        allowed, consumed = self._store.settings.credits, self._store.consumed()
        return _json(
            {
                kind: {
                    "limit": allowed[kind],
                    "consumed": credits_of(consumed[kind]),
                    "left_over": credits_of(100 * allowed[kind] - consumed[kind]),
                }
                for kind in allowed
            }
        )

    async def _calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._store.clear()
            self._windows.clear()
        return _json(self._store.calls())

    async def _charges(self, _request: Request) -> Response:
        return _json(self._store.charges())

    async def _settings(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._store.change_settings(Settings())
        elif request.method == "PUT":
            try:
                self._store.change_settings(self._store.settings.changed(orjson.loads(await request.body())))
            except ValueError as error:
                return _json({"error": str(error)}, 400)
        return _json(self._store.settings)


def _hash(request: Request) -> str:
    return hashlib.sha256(request.headers.get("x-api-key", "").encode()).hexdigest()[:12]


def _rule(request: Request) -> Rule | None:
    return request.scope.get("state", {}).get(RULE)


def _fault(request: Request) -> str:
    rule = _rule(request)
    return (rule.how or rule.action) if rule else ""


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
