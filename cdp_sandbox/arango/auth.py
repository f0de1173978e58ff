"""Who may talk to the stand-in: root, the users made together with a database, and tokens.

Here belongs the check of credentials, and who there is. A user may use the databases that were created with it.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.store import Store
from cdp_sandbox.arango.wire import Reply, parse_json, reply

TOKEN_SECONDS = 3600


class Users:
    """The users of one server.

    Attributes:
        root: The user who may do everything. It is not stored: it is what the process was started with.
    """

    def __init__(self, store: Store, *, root: str, password: str, token_secret: str) -> None:
        self._store = store
        self._password = password
        self._secret = token_secret
        self._users: dict[str, dict[str, Any]] = store.setting("users", {})
        self.root = root

    def authenticate(self, headers: Mapping[str, str]) -> str:
        """Return the name of the user who sent a request.

        Raises:
            ArangoError: 401/11, the credentials are missing, wrong, or expired.
        """
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise refusals.not_authorized() from error
            if self._knows(name, password):
                return name
        if scheme.lower() == "bearer":
            return self._bearer(value.strip())
        raise refusals.not_authorized()

    def open_session(self, body: bytes) -> Reply:
        """Answer `POST /_open/auth`: a token for a name and a password."""
        credentials = parse_json(body) if body else None
        if not isinstance(credentials, dict) or not all(
            isinstance(credentials.get(name), str) for name in ("username", "password")
        ):
            raise refusals.bad_parameter("invalid JSON")
        name = credentials["username"]
        if not self._knows(name, credentials["password"]):
            raise ArangoError(401, 401, "Wrong credentials")
        now = int(time.time())
        claims = {"preferred_username": name, "iss": "arangodb", "iat": now, "exp": now + TOKEN_SECONDS}
        return reply({"jwt": jwt.encode(claims, self._secret, algorithm="HS256")})

    def may_use(self, user: str, database: str) -> bool:
        """Tell whether a user has access to a database."""
        return user == self.root or database in self._users.get(user, {}).get("databases", ())

    def grant(self, database: str, users: list[dict[str, Any]]) -> None:
        """Create the users that come with a new database, with access to it. One that exists keeps its password."""
        self._about_to_change()
        for user in users:
            if not (name := user.get("username")):
                raise ArangoError(400, 1700, "invalid user name")
            if name not in self._users:
                self._users[name] = _new(user)
            self._users[name]["databases"].append(database)
        self._store.save_setting("users", self._users)

    def listed(self) -> list[dict[str, Any]]:
        """Return all users as a client sees them."""
        return [described for name in (self.root, *sorted(self._users)) if (described := self.described(name))]

    def described(self, name: str) -> dict[str, Any] | None:
        """Return one user as a client sees it, or None."""
        if name == self.root:
            return {"user": name, "active": True, "extra": {}}
        user = self._users.get(name)
        return user and {"user": name, "active": user["active"], "extra": user.get("extra", {})}

    def add(self, user: dict[str, Any]) -> None:
        """Create a user who may use no database yet."""
        self._about_to_change()
        self._users[user["username"]] = _new(user)
        self._store.save_setting("users", self._users)

    def remove(self, name: str) -> None:
        """Forget a user."""
        self._about_to_change()
        del self._users[name]
        self._store.save_setting("users", self._users)

    def revoke(self, database: str) -> None:
        """Forget all access to a database that is dropped."""
        self._about_to_change()
        for user in self._users.values():
            user["databases"] = [name for name in user["databases"] if name != database]
        self._store.save_setting("users", self._users)

    def _about_to_change(self) -> None:
        before = copy.deepcopy(self._users)
        self._store.on_rollback(lambda: setattr(self, "_users", before))

    def _knows(self, name: str, password: str) -> bool:
        if name == self.root:
            return hmac.compare_digest(password.encode(), self._password.encode())
        user = self._users.get(name)
        return (
            user is not None and user["active"] and hmac.compare_digest(user["digest"], _digest(user["salt"], password))
        )

    def _bearer(self, token: str) -> str:
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"], issuer="arangodb", options={"require": ["iss"]}
            )
        except jwt.InvalidTokenError as error:
            raise refusals.not_authorized() from error
        # A token without a user is one that an administrator signed with the server's secret.
        return claims.get("preferred_username", self.root)


def _new(user: dict[str, Any]) -> dict[str, Any]:
    salt = secrets.token_hex(8)
    return {
        "salt": salt,
        "digest": _digest(salt, str(user.get("passwd") or "")),
        "active": user.get("active", True) is not False,
        "extra": user.get("extra") if isinstance(user.get("extra"), dict) else {},
        "databases": [],
    }


def _digest(salt: str, password: str) -> str:
    return hashlib.sha256(f"{salt}{password}".encode()).hexdigest()
