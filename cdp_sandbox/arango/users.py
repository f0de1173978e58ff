"""Requests about users (`/_api/user`): who there is, and no longer.

Here belongs the HTTP side of users. Who may do what is in `auth.py`: a user may do everything in the databases that
were created with it and nothing elsewhere, so grants are not given or taken away here.
"""

from __future__ import annotations

from typing import Any

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.wire import Reply, success


def handle(call: Call) -> Reply:
    """Answer a request about users."""
    users = call.server.users
    if call.user != users.root and (call.segments != (call.user,) or call.method == "DELETE"):
        raise refusals.forbidden()
    match call.method, call.segments:
        case "GET", ():
            return success({"result": users.listed()})
        case "POST", ():
            return _create(call)
        case "GET", (name,):
            return success(_find(call, name))
        case "DELETE", (name,):
            _find(call, name)
            if name == users.root:
                raise refusals.forbidden()
            with call.store.transaction():
                users.remove(name)
            return success({}, 202)
        case (("PUT" | "PATCH"), (_,)):
            raise refusals.not_implemented("changing users")
        case _, (_, "database" | "config", *_):
            raise refusals.not_implemented("grants and settings of users")
    raise refusals.method_not_supported()


def _create(call: Call) -> Reply:
    body = call.json()
    name = body.get("user") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        raise ArangoError(400, 1700, "invalid user name")
    if call.server.users.described(name) is not None:
        raise ArangoError(409, 1702, "duplicate user")
    with call.store.transaction():
        call.server.users.add({**body, "username": name})
    return success(_find(call, name), 201)


def _find(call: Call, name: str) -> dict[str, Any]:
    described = call.server.users.described(name)
    if described is None:
        raise ArangoError(404, 1703, "user not found")
    return described
