"""Requests about the server itself: version, engine, availability.

Here belongs what a client asks before it does anything, and where the stand-in says that it is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.indexes import ACCEPTED_TYPES
from cdp_sandbox.arango.wire import Reply, reply, success

VERSION = "3.11.14"
"""The server version whose API is answered."""

LICENSE = "community"


def _version(call: Call) -> Reply:
    shown: dict[str, object] = {"server": "arango", "license": LICENSE, "version": VERSION}
    if call.flag("details"):
        shown["details"] = {
            "build-repository": "cdp_sandbox",
            "cdp-sandbox": "stand-in",
            "license": LICENSE,
            "mode": "server",
            "server-version": VERSION,
        }
    return reply(shown)


def _engine(call: Call) -> Reply:
    aliases = {"indexes": {"hash": "persistent", "skiplist": "persistent"}}
    supported = {"dfdb": False, "indexes": ACCEPTED_TYPES, "aliases": aliases}
    return reply({"name": "rocksdb", "supports": supported})


def _server(call: Call) -> Reply:
    if call.segments == ("tls",):
        return _tls(call)
    if call.method not in {"GET", "HEAD"}:
        raise refusals.method_not_supported()
    match call.segments:
        case ("availability",):
            return success({"mode": "default"})
        case ("mode",):
            return success({"mode": "default"})
        case ("role",):
            return success({"role": "SINGLE", "mode": "default"})
    raise refusals.not_implemented(call.path)


def _status(call: Call) -> Reply:
    shown = {"server": "arango", "license": LICENSE, "version": VERSION, "mode": "server", "operationMode": "server"}
    return reply({**shown, "host": "localhost", "serverInfo": {"role": "SINGLE", "maintenance": False}})


def _time(call: Call) -> Reply:
    return success({"time": time.time()})


def _tls(call: Call) -> Reply:
    if call.method not in {"GET", "POST"}:
        raise refusals.method_not_supported()
    # What a server without certificates has to tell of them, and to load again.
    return success({"result": {}})


def _get_only(handler: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    def handle(call: Call) -> Reply:
        if call.method not in {"GET", "HEAD"}:
            raise refusals.method_not_supported()
        return handler(call)

    return handle


HANDLERS = {
    ("_api", "version"): _get_only(_version),
    ("_api", "engine"): _get_only(_engine),
    ("_admin", "version"): _get_only(_version),
    ("_admin", "server"): _server,
    ("_admin", "status"): _get_only(_status),
    ("_admin", "time"): _get_only(_time),
}
