"""Reads the key of a Google service account from GOOGLE_SERVICE_ACCOUNT_JSON.

The value may be JSON, JSON whose quotes or newlines a shell or compose file escaped once more, base64 of either, or the
path of a file with it. No error quotes the value or anything that it decodes to.
"""

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

from cdp_platform.errors import ConfigurationError

_VARIABLE = "GOOGLE_SERVICE_ACCOUNT_JSON"
_NEEDED = ("client_email", "private_key", "token_uri")
_NEW_KEY = (
    "Make a JSON key in the Google Cloud console (IAM & Admin, Service Accounts, Keys, Add key) and set "
    f"{_VARIABLE} to the JSON, its base64, or the path of the file."
)
_OTHER_KINDS = {
    "authorized_user": "the credentials of a person's login (authorized_user)",
    "external_account": "a workload identity federation (external_account)",
    "impersonated_service_account": "an impersonation (impersonated_service_account)",
}

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
# The first characters of base64 if the text begins with a brace, or with a quote and a brace.
_BASE64_OF_JSON = ("ey", "ew", "Ins", "J3s")
# Errors quote only values that look like a path and cannot be a secret.
_PATH = re.compile(r"(~?/|\.{1,2}/)[\w./ @+-]{1,250}|[\w. @+-]{1,100}(/[\w. @+-]{1,100}){0,9}\.json")
_LONGEST_NAME = 255


def service_account(value: str) -> dict[str, Any]:
    """The service account's key, as in Google's JSON, with a usable `client_email`, `private_key` and `token_uri`.

    Raises:
        ConfigurationError: the value is not a key. The message says what it seems to be, what is wrong and what to do.
    """
    text = value.strip().lstrip("\ufeff")
    if not text:
        raise ConfigurationError(f"{_VARIABLE} is not set. {_NEW_KEY}")
    if text.startswith("-----BEGIN"):
        raise ConfigurationError(
            f"{_VARIABLE} is the private key alone: set it to the whole JSON that it is in, or to that file's path."
        )
    if text[0] in "{[\"'\\":
        return _checked(_parsed(text, "JSON"), "JSON")
    if (path := _file(text)) is not None:
        return _checked(_parsed(_content(path), f"the path {path}"), f"the path {path}")
    compact = "".join(text.split())
    if not _BASE64.fullmatch(compact) or not (compact.startswith(_BASE64_OF_JSON) or len(compact) > _LONGEST_NAME):
        where = f"the path {Path(text).expanduser().absolute()}" if _PATH.fullmatch(text) else "a path"
        raise ConfigurationError(
            f"{_VARIABLE} seems to be {where}, and no file is there. Mend the path, or set the variable to the JSON "
            "itself or its base64."
        )
    return _checked(_parsed(_decoded(compact), "base64"), "base64")


def _file(text: str) -> Path | None:
    if len(text) > 4096 or "\n" in text:
        return None
    try:
        path = Path(text).expanduser().absolute()
        return path if path.exists() else None
    except PermissionError:
        raise _unreadable(text, "a folder above it is not open to this user") from None
    # A name that no file system accepts, or the home of an unknown user.
    except (OSError, ValueError, RuntimeError):
        return None


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not a text") from None
    except IsADirectoryError:
        raise _unreadable(path, "it is a folder") from None
    except OSError as error:
        raise _unreadable(path, f"{type(error).__name__}") from None


def _unreadable(path: object, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_VARIABLE} seems to be the path {path}, and it cannot be read: {why}. It has to be the JSON key file of a "
        "service account, readable for the user that the platform runs as."
    )


def _decoded(compact: str) -> str:
    standard = compact.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError):
        raise ConfigurationError(
            f"{_VARIABLE} seems to be base64 and does not decode to a text: a part of it is missing or wrong. Encode "
            "the key file again (`base64 -w0 key.json`), or set the variable to the file's path."
        ) from None


def _parsed(text: str, form: str) -> Any:
    try:
        return _loaded(text)
    except json.JSONDecodeError as wrong:
        error = wrong
    try:
        return _loaded(_unescaped(text))
    except json.JSONDecodeError:
        pass
    # The parser's message may quote a character of the key, so only the position is shown.
    cut = error.pos >= len(error.doc) - 1 or error.msg.startswith("Unterminated")
    what = "ends too early (was only a part of it copied?)" if cut else "is not JSON"
    raise ConfigurationError(
        f"{_VARIABLE} seems to be {form}, and the key {what}: line {error.lineno}, column {error.colno}. Set the "
        "variable to the path of the key file, or to its base64 (`base64 -w0 key.json`), which nothing can mangle."
    )


def _loaded(text: str) -> Any:
    found: Any = text.strip()
    # The JSON may be inside a JSON string, and that inside another one.
    while isinstance(found, str):
        # Not strict: a string may contain unescaped newlines.
        found = json.loads(found, strict=False)
    return found


def _unescaped(text: str) -> str:
    """The JSON without the quotes around it and the backslashes that a shell or compose file left in it.

    The values of a key contain no backslash or quote, and no newline except those of the private key.
    """
    text = text.strip()
    if text[:1] in {'"', "'"} and text[-1] == text[0]:
        text = text[1:-1]
    text = re.sub(r"\\+([rnu])", lambda found: {"r": "", "n": "\n", "u": "\\u"}[found[1]], text)
    return re.sub(r'\\+(["/])', r"\1", text)


def _checked(key: Any, form: str) -> dict[str, Any]:
    if not isinstance(key, dict):
        raise ConfigurationError(f"{_VARIABLE} seems to be {form}, and is JSON but no object. {_NEW_KEY}")
    kind = key.get("type")
    if kind != "service_account":
        if {"installed", "web"} & key.keys():
            what = "an OAuth client, with which a person logs in"
        else:
            what = _OTHER_KINDS.get(str(kind), "JSON of another kind (its `type` is not service_account)")
        raise ConfigurationError(
            f"{_VARIABLE} seems to be {form}, and is not the key of a service account but {what}. {_NEW_KEY}"
        )
    missing = [name for name in _NEEDED if not isinstance(key.get(name), str) or not key[name].strip()]
    if missing:
        raise ConfigurationError(
            f"{_VARIABLE} seems to be {form}, and the key lacks {', '.join(missing)}. Take the file as Google made it. "
            f"{_NEW_KEY}"
        )
    # Newlines may be escaped twice.
    key = key | {"private_key": re.sub(r"\\+r?\\*n", "\n", key["private_key"])}
    _require_usable(key, form)
    return key


def _require_usable(key: dict[str, Any], form: str) -> None:
    from google.oauth2.service_account import Credentials  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        Credentials.from_service_account_info(key)
    # Any error of the key parsers, without their message: it may quote the key.
    except Exception:
        raise ConfigurationError(
            f"{_VARIABLE} seems to be {form}, and its private_key cannot be read: it was cut or its newlines were "
            "lost. Set the variable to the path of the key file, or to its base64 (`base64 -w0 key.json`)."
        ) from None
