"""Misbehaviour on demand: rules that make the sandbox drop, delay, cut or refuse answers.

Here belongs everything about faults, for every stand-in: the middleware stands in front of all of them and knows none.

Rules are given as a JSON list to `POST /_sandbox/faults` and stand behind the ones that are there. `GET` shows them
with how often each has matched and fired, so that a test can prove that its fault happened. `DELETE` clears them. A
rule:

    {"match": {"method": "POST", "path_regex": "/_api/cursor/", "after": 1}, "times": 1, "action": "drop_after"}

- `match`: `method` (any if left out), `path_regex` (searched in the decoded path) and `contains` (a text somewhere in
  the body) choose requests; the first `after` of them (0 if left out) pass unharmed.
- `times`: how often the rule fires, 1 if left out, null for always.
- `action`:
  - `drop_before`: the connection is closed; nothing was done.
  - `drop_after`: the request is done whole; then the connection is closed without an answer.
  - `truncate`: the request is done whole; the answer breaks off in the middle of its body.
  - `delay`: the request waits `seconds` first.
  - `status`: nothing is done; the answer is `status` (500 if left out), with `retry_after` (seconds) as `Retry-After`,
    further `headers`, and `body` (a text, or any JSON value).
  - `distort`: the stand-in does its work and spoils its own answer in the way that `how` says. Each says in its module
    which ways it knows.

The first rule that fires decides. A rule counts a match only if no rule before it fired. `/healthz` and the rules' own
address never fail. The commands of SMTP are requests as well: `outbox/smtp.py` says under which method and path.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PATH = "/_sandbox/faults"
ACTIONS = ("drop_before", "drop_after", "truncate", "delay", "status", "distort")
# The names in a request's state under which a stand-in finds how to spoil its answer, and the rule that fires.
DISTORTION = "sandbox_distortion"
RULE = "sandbox_rule"

_TRANSPORT = "sandbox_transport"


class TransportProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that tells the application its transport, so that a connection can be dropped."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note the transport in the state that each request of this connection gets."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


@dataclass
class Rule:
    """One rule, and what became of it.

    Attributes:
        matched: Requests that it matched so far.
        fired: Requests that it spoiled so far.
    """

    path: re.Pattern[str]
    action: str
    method: str | None = None
    contains: str = ""
    after: int = 0
    times: int | None = 1
    seconds: float = 0.0
    status: int | None = None
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = ""
    how: str = ""
    matched: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    @classmethod
    def from_json(cls, given: Any, distortions: Collection[str]) -> Rule:
        """Make a rule of what a test sent. `distortions` are the ways in which some stand-in can spoil its answers.

        Raises:
            ValueError: It says something that no rule can say.
        """
        if not isinstance(given, dict) or not isinstance(given.get("match", {}), dict):
            raise ValueError("a rule is an object with a match object")
        options = {name: value for name, value in given.items() if name != "match"}
        match = dict(given.get("match", {}))
        pattern, method = match.pop("path_regex", ""), match.pop("method", None)
        known = {"action", "times", "seconds", "status", "retry_after", "headers", "body", "how"}
        if unknown := (options.keys() - known) | (match.keys() - {"after", "contains"}):
            raise ValueError(f"unknown in a rule: {', '.join(sorted(unknown))}")
        if options.get("action") not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
        if options["action"] == "distort" and options.get("how") not in distortions:
            raise ValueError(f"how must be one of {', '.join(sorted(distortions))}")
        try:
            path = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"path_regex: {error}") from error
        return cls(path=path, method=method and method.upper(), **match, **options)

    def describe(self) -> dict[str, Any]:
        """Return the rule and its counts."""
        match = {"method": self.method, "path_regex": self.path.pattern, "contains": self.contains, "after": self.after}
        counted = {"matched": self.matched, "fired": self.fired}
        return {"match": match, "action": self.action, "times": self.times, **counted}

    def fires(self, method: str, path: str, body: bytes) -> bool:
        """Count a request if it matches, and tell whether it is to be spoiled."""
        if self.method not in {None, method} or not self.path.search(path) or self.contains.encode() not in body:
            return False
        self.matched += 1
        if self.matched <= self.after or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True


class Faults:
    """The rules of all stand-ins, in the order in which they were given."""

    def __init__(self, distortions: Collection[str] = ()) -> None:
        """Hold no rules yet. `distortions` are the ways in which some stand-in can spoil its answers."""
        self._distortions = distortions
        # Stand-ins that speak another protocol than HTTP ask from a thread of their own.
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, given: Any) -> None:
        """Add a rule, or a list of rules, as JSON says it.

        Raises:
            ValueError: One says something that no rule can say. None was added.
        """
        made = [Rule.from_json(one, self._distortions) for one in (given if isinstance(given, list) else [given])]
        with self._lock:
            self._rules += made

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules = []

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules and their counts."""
        with self._lock:
            return [rule.describe() for rule in self._rules]

    def look_into_bodies(self) -> bool:
        """Tell whether a rule asks for a text in the body."""
        return any(rule.contains for rule in self._rules)

    def fires(self, method: str, path: str, body: bytes = b"") -> Rule | None:
        """Count a request, and return the rule that spoils it, if one does."""
        with self._lock:
            return next((rule for rule in self._rules if rule.fires(method, path, body)), None)


class FaultMiddleware:
    """Stands in front of an application and spoils what the rules say."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer, or don't."""
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
        elif scope["path"] == PATH:
            answer = await self._control(Request(scope, receive))
            await answer(scope, receive, send)
        else:
            body = b""
            if self._faults.look_into_bodies():
                body, receive = await buffered(receive)
            if rule := self._faults.fires(scope["method"], scope["path"], body):
                await self._spoil(rule, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            try:
                self._faults.add(orjson.loads(await request.body()))
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        elif request.method != "GET":
            return JSONResponse({"error": "GET, POST or DELETE"}, 405)
        return JSONResponse(self._faults.describe())

    async def _spoil(self, rule: Rule, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        transport = cast("asyncio.Transport", scope["state"][_TRANSPORT])
        scope["state"][RULE] = rule
        match rule.action:
            case "delay":
                await asyncio.sleep(rule.seconds)
                await self._app(scope, receive, send)
            case "distort":
                scope["state"][DISTORTION] = rule.how
                await self._app(scope, receive, send)
            case "status":
                await _read_whole(receive)
                await _refusal(rule)(scope, receive, send)
            case "drop_before":
                await _read_whole(receive)
                transport.abort()
                await _gone(receive)
            case "drop_after":
                await self._answered(scope, receive)
                transport.abort()
                await _gone(receive)
            case "truncate":
                start, body = await self._answered(scope, receive)
                await send(start)
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                # Unlike `abort`, this sends what was written before it closes.
                transport.close()
                await _gone(receive)

    async def _answered(self, scope: MutableMapping[str, Any], receive: Receive) -> tuple[Message, bytes]:
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, keep)
        return start, bytes(body)


async def buffered(receive: Receive) -> tuple[bytes, Receive]:
    """Read a request's body, and return it with what gives all of the request once more."""
    messages = deque[Message]()
    more = True
    while more:
        messages.append(await receive())
        more = messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False)

    async def again() -> Message:
        return messages.popleft() if messages else await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def _refusal(rule: Rule) -> Response:
    headers, status = dict(rule.headers), rule.status or 500
    if rule.retry_after is not None:
        headers["retry-after"] = f"{rule.retry_after:g}"
    if isinstance(rule.body, str):
        return Response(rule.body, status, headers, media_type="text/plain")
    return JSONResponse(rule.body, status, headers)


async def _read_whole(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


async def _gone(receive: Receive) -> None:
    # Returning before the server knows that the connection is gone would make it write an answer of its own.
    while (await receive())["type"] != "http.disconnect":
        pass
