"""Requests about databases (`/_api/database`).

Here belongs the HTTP side of databases. How they are stored is in `store.py`, who may use them in `auth.py`.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.store import SYSTEM_DATABASE
from cdp_sandbox.arango.wire import Reply, success


def handle(call: Call) -> Reply:
    """Answer a request about databases."""
    match call.method, call.segments:
        case "GET", ():
            _require_system(call)
            return success({"result": sorted(call.store.databases)})
        case "GET", ("user",):
            names = [name for name in call.store.databases if call.server.users.may_use(call.user, name)]
            return success({"result": sorted(names)})
        case "GET", ("current",):
            database = call.database
            is_system = database.name == SYSTEM_DATABASE
            described = {"id": database.id, "name": database.name, "isSystem": is_system, "path": "none"}
            return success({"result": described})
        case "POST", ():
            return _create(call)
        case "DELETE", (name,):
            return _drop(call, name)
    raise refusals.method_not_supported()


def _create(call: Call) -> Reply:
    _require_system(call)
    definition = call.json()
    name = definition.get("name") if isinstance(definition, dict) else None
    if not is_valid_name(name):
        raise refusals.database_name_invalid()
    if name in call.store.databases:
        raise refusals.duplicate_name(name)
    users = definition.get("users") or []
    if not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
        raise refusals.bad_parameter("invalid users")
    with call.store.transaction():
        call.store.create_database(name)
        call.server.users.grant(name, users)
    return success({"result": True}, 201)


def _drop(call: Call, name: str) -> Reply:
    _require_system(call)
    database = call.store.databases.get(name)
    if database is None:
        raise refusals.database_not_found()
    if name == SYSTEM_DATABASE:
        raise refusals.forbidden()
    with call.store.transaction():
        call.store.drop_database(database)
        call.server.users.revoke(name)
    call.server.forget(name)
    return success({"result": True})


def is_valid_name(name: Any) -> TypeGuard[str]:
    """Tell whether a name may be that of a new database or collection (with the server's `extended-names`).

    Any text that starts with no digit, underscore or dot, has no slash, colon or control character in it, and no blank
    at either end.
    """
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= 128
        and name == name.strip()
        and not (name[0].isdecimal() or name[0] in "_.")
        and not any(character in "/:" or ord(character) < 32 or ord(character) == 127 for character in name)
    )


def _require_system(call: Call) -> None:
    if call.database.name != SYSTEM_DATABASE:
        raise refusals.only_in_system_database()
    if call.user != call.server.users.root:
        raise refusals.forbidden()
