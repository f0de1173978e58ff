"""The outbox over HTTP: webhooks that take messages, the list of messages for programs, and the pages for people.

- `POST /webhook/CHANNEL` takes a message: JSON with `to` and `text`, and whatever else the sender knows, below an
  `Idempotency-Key`. It is signed as `reports.py` says, within five minutes. A key is honoured for 24 hours: a second
  request under it gets the first one's answer, with `Idempotent-Replayed: true`, and nothing more is delivered.
- `GET /webhook/CHANNEL/KEY` tells whether the channel took a message under a key: 200, or 404.
- `GET /messages` lists all messages, the oldest first, and `GET /messages/NUMBER` is one as it came. `DELETE /messages`
  forgets them, and their keys.
- `PUT /report_to` with `{"url": ...}` says where bounces are reported.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.faults import RULE, Faults, Receive, Send
from cdp_sandbox.outbox import CERTIFICATE_FILE, pages
from cdp_sandbox.outbox.certificate import tls_context
from cdp_sandbox.outbox.reports import Reporter, signature
from cdp_sandbox.outbox.smtp import SmtpServer
from cdp_sandbox.outbox.store import Message, Store

_HONOURED = timedelta(hours=24)
_FRESH_SECONDS = 300
_MOST_BYTES = 1024 * 1024
_SUBJECT = 80


class OutboxServer:
    """The stand-in: one ASGI application, and an SMTP server beside it."""

    def __init__(self, state_dir: Path, smtp_port: int, faults: Faults, *, report_to: str, secret: str) -> None:
        """Open the outbox and start the SMTP server.

        Args:
            state_dir: Where messages and the certificate are kept.
            smtp_port: Port of 127.0.0.1 for the SMTP server.
            faults: The rules to obey.
            report_to: Base address of the web app that is told of bounces.
            secret: Signs webhooks and reports.
        """
        self._store = Store(state_dir / "outbox.sqlite")
        self._reporter = Reporter(report_to, secret)
        self._secret = secret
        self._smtp = SmtpServer(
            smtp_port, tls_context(state_dir / CERTIFICATE_FILE), self._store, faults, self._reporter
        )
        self._smtp.start()
        self._app = Starlette(
            routes=[
                Route("/webhook/{channel}", self._take, methods=["POST"]),
                Route("/webhook/{channel}/{key}", self._state),
                Route("/messages", self._messages, methods=["GET", "DELETE"]),
                Route("/messages/{number:int}", self._raw),
                Route("/report_to", self._report_to, methods=["PUT"]),
                *pages.routes(self._store),
            ]
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of messages of each channel, accepted and refused ones."""
        return self._store.counts()

    def close(self) -> None:
        """End the SMTP server and close the files."""
        self._smtp.stop()
        self._store.close()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > _MOST_BYTES:
            return _refusal(413, "The message is too large.")
        if not self._is_signed(request, body):
            return _refusal(401, "The signature is missing, wrong, or older than five minutes.")
        try:
            fields = orjson.loads(body)
            to, text = fields["to"], fields["text"]
            if not (isinstance(to, str) and isinstance(text, str) and to and text):
                raise TypeError
        except (ValueError, LookupError, TypeError):
            return _refusal(422, "`to` and `text` have to be texts that are not empty.")
        key = request.headers.get("idempotency-key", "")
        if not key:
            return _refusal(400, "Idempotency-Key is missing.")
        kept, is_new = await run_in_threadpool(
            self._store.keep_once,
            channel=request.path_params["channel"],
            key=key,
            address=to,
            subject=" ".join(text.split())[:_SUBJECT],
            content=body,
            honoured=_HONOURED,
        )
        rule = request.scope.get("state", {}).get(RULE)
        if rule is not None and rule.how and is_new:
            self._reporter.later(kept, body, rule)
        return _json(_told(kept), headers={} if is_new else {"idempotent-replayed": "true"})

    def _is_signed(self, request: Request, body: bytes) -> bool:
        stamp, given = (request.headers.get(f"x-cdp-{name}", "") for name in ("timestamp", "signature"))
        if not (stamp.isascii() and stamp.isdigit()) or abs(time.time() - int(stamp)) > _FRESH_SECONDS:
            return False
        return hmac.compare_digest(given.encode(), signature(self._secret, stamp, body).encode())

    def _state(self, request: Request) -> Response:
        found = self._store.under(request.path_params["channel"], request.path_params["key"])
        return _json(_told(found)) if found else _refusal(404, "No message came under this key.")

    def _messages(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._store.clear()
        return _json([vars(message) for message in self._store.listed()])

    def _raw(self, request: Request) -> Response:
        content = self._store.content(request.path_params["number"])
        if content is None:
            return _refusal(404, "There is no such message.")
        return Response(content, media_type="text/plain; charset=utf-8", headers={"x-content-type-options": "nosniff"})

    async def _report_to(self, request: Request) -> Response:
        self._reporter.url = str(orjson.loads(await request.body())["url"]).rstrip("/")
        return _json({"url": self._reporter.url})


def _told(message: Message) -> dict[str, Any]:
    return {"key": message.key, "state": "accepted", "at": message.at, "number": message.number}


def _refusal(status: int, words: str) -> Response:
    return _json({"error": words}, status)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
