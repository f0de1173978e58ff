"""Apollo's API for people, as `https://api.apollo.io` answers it, and the addresses by which tests prepare and judge.

- `POST /api/v1/people/bulk_match` finds up to ten people, and `POST /api/v1/people/match` one; `people.py` says
  whom.
- `GET /api/v1/webhook_result/REQUEST_ID` tells the phone numbers that a request asked for, once they are due.
- `GET /api/v1/auth/health` tells whether a key is known.
- `POST /api/v1/usage_stats/api_usage_stats` and `.../credit_usage_stats` tell what was used of limits and credits.

A key has to be known (401), to be allowed for the endpoint (403) and to be within the limits (429); only then is the
body looked at.

Demographics or an address cost one credit of the type `lead_credit`. With `reveal_phone_number`, no phone number is in
the answer: they are posted to `webhook_url` later. A mobile phone costs 8 credits of the type `direct_dial_credit`
more. They are charged when the request is accepted, and are in `credits_consumed` of the delivery, not of the answer.
A person whose phone numbers are still to be delivered to the same key is `skipped`, and costs nothing more.

Without authorization:

- `GET /_calls`, `/_charges` and `/_deliveries` list all requests for people, what each person cost, and deliveries.
  `DELETE /_calls` forgets them, and opens the limits again. `POST /_deliveries/CALL` posts one once more.
- `GET` and `PUT /_settings`: `settings.py` has what can be set. `DELETE` sets everything as it was at first.

Told to distort an answer (see `faults.py`), it does and charges its work, and then answers with the people in another
order (`wrong_order`), without the last (`short`), with two in each other's place (`swapped_people`), without the counts
(`no_counts`), or with a page of HTML (`html`; with the rule's `status`, or 200). With `fractional`, each person costs
0.35 credits, in the answer as on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cdp_sandbox.apollo import pages, refusals
from cdp_sandbox.apollo.deliveries import Deliverer
from cdp_sandbox.apollo.enrichment import distorted, enrich, read
from cdp_sandbox.apollo.limits import Windows
from cdp_sandbox.apollo.refusals import RefusalError
from cdp_sandbox.apollo.settings import API_STATS, BULK_MATCH, CREDIT_STATS, MATCH, RESULT, Settings
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
        self._deliverer = Deliverer(self._store)
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
                Route("/api/v1/webhook_result/{request_id}", self._admitting(RESULT, self._result)),
                Route("/_calls", self._calls, methods=["GET", "DELETE"]),
                Route("/_charges", self._charges),
                Route("/_deliveries", self._deliveries),
                Route("/_deliveries/{call:int}", self._deliver, methods=["POST"]),
                Route("/_settings", self._settings, methods=["GET", "PUT", "DELETE"]),
                *pages.routes(self._store),
            ]
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of calls by endpoint and status, and the credits of each type."""
        return self._store.counts()

    def close(self) -> None:
        """End deliveries and close the file."""
        self._deliverer.close()
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
        answer, delivery = enrich(self._store, asked, _hash(request), fault=fault)
        if delivery is not None:
            self._deliverer.later(delivery)
        if fault == "html" and rule is not None:
            return HTMLResponse(_HTML, rule.status or 200)
        return _json(distorted(answer, fault) if endpoint == BULK_MATCH else answer)

    async def _result(self, request: Request) -> Response:
        text, now = request.path_params["request_id"], datetime.now(UTC)
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
            raise refusals.no_result(400, "invalid_request_id")
        found = self._store.delivery_of(int(text))
        if found is None:
            raise refusals.no_result(404, "request_id_unknown")
        if now < found.due:
            seconds = math.ceil((found.due - now).total_seconds())
            raise refusals.no_result(404, "result_pending", retry_after_seconds=seconds)
        if now >= found.due + timedelta(days=self._store.settings.result_days):
            raise refusals.no_result(410, "request_id_expired")
        return _json(
            {
                "request_id": text,
                "webhook_status": "success",
                "request_type": "phone",
                "last_dispatched_at": found.due,
                "failure_reason": None,
                "webhook_result": orjson.Fragment(found.body),
            }
        )

    async def _health(self, request: Request) -> Response:
        known = request.headers.get("x-api-key", "") in self._store.settings.keys
        return _json({"healthy": True, "is_logged_in": known})

    async def _api_stats(self, _request: Request) -> Response:
        stats = {}
        for endpoint in (BULK_MATCH, MATCH, RESULT, API_STATS, CREDIT_STATS):
            folder, _, action = endpoint.rpartition("/")
            name = orjson.dumps([f"api/v1/{folder}", action]).decode().replace(",", ", ")
            stats[name] = self._windows.stats(endpoint, self._store.settings.limits_of(endpoint))
        return _json(stats)

    async def _credit_stats(self, _request: Request) -> Response:
        allowed, consumed = self._store.settings.credits, self._store.consumed()
        stats = {
            kind: {
                "limit": allowed[kind],
                "consumed": credits_of(consumed[kind]),
                "left_over": credits_of(100 * allowed[kind] - consumed[kind]),
            }
            for kind in allowed
        }
        # One billing cycle without an end: all that was ever charged counts.
        cycle = {"start_date": "2026-01-01T00:00:00.000Z", "end_date": "2036-01-01T00:00:00.000Z"}
        return _json({"credit_usage_stats": stats, "current_credit_cycle": cycle})

    async def _calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._deliverer.cancel()
            self._store.clear()
            self._windows.clear()
        return _json(self._store.calls())

    async def _charges(self, _request: Request) -> Response:
        return _json(self._store.charges())

    async def _deliveries(self, _request: Request) -> Response:
        return _json([{**vars(one), "body": orjson.loads(one.body)} for one in self._store.deliveries()])

    async def _deliver(self, request: Request) -> Response:
        for delivery in self._store.deliveries("WHERE call = ?", request.path_params["call"]):
            await run_in_threadpool(self._deliverer.post, delivery)
        return await self._deliveries(request)

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
