"""Service accounts: their keys, and the tokens that they get for assertions signed with them (RFC 7523).

Keys are made here and kept, private parts too: this is a stand-in, and its key files are for tests and the demo. Tokens
are signed and not kept, so they survive a restart. A token ends when the assertion that it was given for ends, which is
an hour with Google's libraries.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cdp_sandbox.sheets.errors import RefusalError, error_info
from cdp_sandbox.sheets.store import Store

PROJECT = "cdp-sandbox"
PROJECT_NUMBER = "100000000001"
FIRST_ACCOUNT = "cdp-platform"

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# google-auth asserts to this one, wherever it sends the assertion.
_GOOGLES_AUDIENCE = "https://oauth2.googleapis.com/token"
_LONGEST_SECONDS = 3600
_SKEW_SECONDS = 60
_WRITES = {
    "https://www.googleapis.com/auth/spreadsheets",
    "https://www.googleapis.com/auth/drive",
    "https://www.googleapis.com/auth/drive.file",
}
_READS = _WRITES | {
    "https://www.googleapis.com/auth/spreadsheets.readonly",
    "https://www.googleapis.com/auth/drive.readonly",
}
_NOT_KNOWN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_MISSING = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_SERVICE = "sheets.googleapis.com"


class GrantError(Exception):
    """A refusal of the token endpoint, which has a shape of its own."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


class Accounts:
    """The accounts of one server, in its store."""

    def __init__(self, store: Store, key_file: Path) -> None:
        self._store = store
        self._key_file = key_file
        self._lock = threading.Lock()
        self._accounts: dict[str, dict[str, Any]] = store.setting("accounts", {})
        secret = store.setting("token_secret")
        if secret is None:
            secret = secrets.token_hex(32)
            store.save_setting("token_secret", secret)
        self._secret: str = secret

    def write_first_key(self, token_uri: str) -> None:
        """Write the key of the first account, with the address of this server, where the platform looks for it."""
        text = orjson.dumps(self.key(FIRST_ACCOUNT, token_uri), option=orjson.OPT_INDENT_2)
        if self._key_file.exists() and self._key_file.read_bytes() == text:
            return
        unfinished = self._key_file.with_name(f"{self._key_file.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(text)
        unfinished.replace(self._key_file)

    def key(self, name: str, token_uri: str) -> dict[str, Any]:
        """Return the key of an account as Google's JSON, and make the account if there is none of that name.

        Raises:
            RefusalError: 400, no account can have that name.
        """
        if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name):
            raise RefusalError(
                "An account's name is 6 to 30 small letters, digits and dashes, and begins with a letter."
            )
        email = f"{name}@{PROJECT}.iam.gserviceaccount.com"
        with self._lock:
            if email not in self._accounts:
                self._accounts[email] = _new_key(email)
                self._store.save_setting("accounts", self._accounts)
        return {
            **self._accounts[email],
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def grant(self, form: dict[str, str], audience: str) -> dict[str, Any]:
        """Answer an assertion with a token.

        Raises:
            GrantError: The assertion is not one that Google would take.
        """
        if form.get("grant_type") != _GRANT:
            raise GrantError("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type')}")
        assertion = form.get("assertion", "")
        try:
            said = jwt.decode(assertion, options={"verify_signature": False})
            account = self._accounts.get(str(said["iss"]))
        except (jwt.PyJWTError, LookupError) as error:
            raise GrantError("invalid_request", "Bad Request: the assertion is no JWT with an issuer.") from error
        if account is None:
            raise GrantError("invalid_grant", "Invalid grant: account not found")
        try:
            said = jwt.decode(
                assertion,
                _public(account["private_key"]),
                ["RS256"],
                audience=[audience, _GOOGLES_AUDIENCE],
                leeway=_SKEW_SECONDS,
            )
            issued, ends = float(said["iat"]), float(said["exp"])
        except jwt.InvalidSignatureError as error:
            raise GrantError("invalid_grant", "Invalid JWT Signature.") from error
        except jwt.InvalidAudienceError as error:
            message = f"Invalid JWT: Failed audience check. The right audience is {audience}"
            raise GrantError("invalid_grant", message) from error
        except (jwt.PyJWTError, LookupError, TypeError, ValueError) as error:
            raise _unreasonable() from error
        if ends - issued > _LONGEST_SECONDS or ends <= issued:
            raise _unreasonable()
        scope = said.get("scope")
        if not isinstance(scope, str) or not scope:
            raise GrantError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = jwt.encode({"email": account["client_email"], "scope": scope, "exp": int(ends)}, self._secret)
        return {"access_token": f"ya29.{token}", "expires_in": max(0, int(ends - time.time())), "token_type": "Bearer"}

    def caller(self, authorization: str, *, writes: bool) -> str:
        """Return the e-mail address of the account that a request's token was given to.

        Raises:
            RefusalError: 401, there is no token, or it has ended or was never given; 403, it was not given for this.
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise RefusalError(_MISSING, 401, error_info("CREDENTIALS_MISSING", service=_SERVICE))
        try:
            said = jwt.decode(token.removeprefix("ya29."), self._secret, ["HS256"])
        except jwt.ExpiredSignatureError as error:
            raise RefusalError(_NOT_KNOWN, 401, error_info("ACCESS_TOKEN_EXPIRED", service=_SERVICE)) from error
        except jwt.PyJWTError as error:
            details = error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED", service=_SERVICE)
            raise RefusalError(_NOT_KNOWN, 401, details) from error
        if not (_WRITES if writes else _READS) & set(said["scope"].split()):
            details = error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", service=_SERVICE)
            raise RefusalError("Request had insufficient authentication scopes.", 403, details)
        return said["email"]


def _new_key(email: str) -> dict[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": email,
        "client_id": str(10**20 + secrets.randbelow(10**20)),
    }


def _public(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 (made above)
    return key.public_key()


def _unreasonable() -> GrantError:
    return GrantError(
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
        "Check your iat and exp values in the JWT claim.",
    )
