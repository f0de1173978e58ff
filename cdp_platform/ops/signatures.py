"""Signatures of requests between the platform and an outside system that share a secret.

A request carries the moment at which it was made and an HMAC-SHA256 over that moment and its body. So nobody changes a
body on its way, and a request that somebody recorded is of no use five minutes later.
"""

import hashlib
import hmac
import time

MOMENT_HEADER = "X-CDP-Timestamp"
SIGNATURE_HEADER = "X-CDP-Signature"
FRESH_SECONDS = 300


def digits(secret: str, moment: int, body: bytes) -> str:
    """The hex digits of the HMAC-SHA256 over ``MOMENT.BODY``; the moment in whole seconds since 1970."""
    return hmac.digest(secret.encode(), b"%d.%b" % (moment, body), hashlib.sha256).hex()


def signature(secret: str, moment: int, body: bytes) -> str:
    """``sha256=`` and the `digits`."""
    return "sha256=" + digits(secret, moment, body)


def headers(secret: str, body: bytes) -> dict[str, str]:
    """The two headers of a request that is made now."""
    moment = int(time.time())
    return {MOMENT_HEADER: str(moment), SIGNATURE_HEADER: signature(secret, moment, body)}


def is_signed(secret: str, moment: str, given: str, body: bytes) -> bool:
    """Whether the values of both headers belong to this body, and the moment is at most `FRESH_SECONDS` away."""
    at = fresh(moment)
    return at is not None and hmac.compare_digest(signature(secret, at, body).encode(), given.encode())


def fresh(moment: str) -> int | None:
    """The moment that was written in whole seconds since 1970; None if it is none, or over `FRESH_SECONDS` away."""
    if not (moment.isascii() and moment.isdigit() and len(moment) < 12):
        return None
    return int(moment) if abs(time.time() - int(moment)) <= FRESH_SECONDS else None
