"""Reports on a message that come later: bounces, complaints and deliveries, as providers report them.

A rule of `faults.py` with the action `distort` asks for one (`how`: `bounce`, `complaint` or `delivered`). It is posted
`seconds` after the message was accepted, to the web app of the platform: a delivery status notification (RFC 3464) or
feedback report (RFC 5965) of an e-mail to `/dsn?channel=email`, and JSON of any other message to `/outcomes/CHANNEL`.
Each is signed: `X-CDP-Signature: sha256=HEX` is the HMAC of the time stamp, a dot and the body. A report that is still
to come when the process ends is lost.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx2
import orjson

from cdp_sandbox.faults import Rule
from cdp_sandbox.outbox.store import Message

EMAIL = "email"
DISTORTIONS = frozenset({"bounce", "complaint", "delivered"})

_KINDS = {"bounce": "bounced", "complaint": "complained", "delivered": "delivered"}
_SECONDS = 10
_DEFAULT_REPLY = "5.1.1 No such user here"


def signature(secret: str, stamp: str, body: bytes) -> str:
    """The value of `X-CDP-Signature` for a body that was signed at this time stamp."""
    return f"sha256={hmac.new(secret.encode(), stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def signed(secret: str, body: bytes) -> dict[str, str]:
    """The headers that sign a body now."""
    stamp = str(int(time.time()))
    return {"x-cdp-timestamp": stamp, "x-cdp-signature": signature(secret, stamp, body)}


class Reporter:
    """Posts reports in threads of its own.

    Attributes:
        url: base address of the platform's web app; empty if there is none.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._secret = secret

    def later(self, message: Message, content: bytes, rule: Rule) -> None:
        """Report what the rule says of a message, after the rule's seconds."""
        timer = threading.Timer(rule.seconds, self._post, [message, content, rule])
        timer.daemon = True
        timer.start()

    def _post(self, message: Message, content: bytes, rule: Rule) -> None:
        if message.channel == EMAIL:
            path, kind = f"/dsn?channel={EMAIL}", "message/rfc822"
            body = _complaint(message, content) if rule.how == "complaint" else _status(message, content, rule)
        else:
            path, kind = f"/outcomes/{message.channel}", "application/json"
            reported = {"id": f"{message.channel}-{message.number}-{rule.how}", "key": message.key}
            reported |= {"kind": _KINDS[rule.how], "code": _code(rule), "at": datetime.now(UTC).isoformat()}
            body = orjson.dumps([reported])
        headers = {"content-type": kind, **signed(self._secret, body)}
        try:
            httpx2.post(f"{self.url}{path}", content=body, headers=headers, timeout=_SECONDS).raise_for_status()
        except httpx2.HTTPError as error:
            print(f"the report of message {message.number} was not taken: {error}", file=sys.stderr)  # noqa: T201


def reply(rule: Rule, default: int, words: str) -> str:
    """The reply that a rule's `status` and `body` give, such as `550 5.1.1 No such user`, or else these."""
    return f"{rule.status or default} {rule.body or words}"


def _code(rule: Rule) -> str:
    if rule.how != "bounce":
        return "2.0.0"
    return str(rule.body or _DEFAULT_REPLY).split()[0]


def _status(message: Message, content: bytes, rule: Rule) -> bytes:
    words = reply(rule, 550, _DEFAULT_REPLY) if rule.how == "bounce" else "250 2.0.0 Delivered"
    action = "failed" if rule.how == "bounce" else "delivered"
    fields = (
        "Reporting-MTA: dns; sandbox.invalid\r\n\r\n"
        f"Final-Recipient: rfc822; {message.address}\r\nAction: {action}\r\nStatus: {_code(rule)}\r\n"
        f"Diagnostic-Code: smtp; {words}\r\n"
    )
    return _report("delivery-status", "message/delivery-status", f"Your message was {action}.\r\n", fields, content)


def _complaint(message: Message, content: bytes) -> bytes:
    fields = (
        "Feedback-Type: abuse\r\nUser-Agent: cdp-sandbox/1\r\nVersion: 1\r\n"
        f"Original-Rcpt-To: {message.address}\r\nArrival-Date: {format_datetime(message.at)}\r\n"
    )
    words = "Somebody reported this message as spam.\r\n"
    return _report("feedback-report", "message/feedback-report", words, fields, content)


def _report(kind: str, part: str, words: str, fields: str, content: bytes) -> bytes:
    """A `multipart/report` (RFC 6522): words for people, fields for programs, and the headers of the message."""
    boundary = hashlib.sha256(fields.encode() + content).hexdigest()[:32]
    head = (
        "From: mailer-daemon@sandbox.invalid\r\nTo: bounces@sandbox.invalid\r\nSubject: Report on your message\r\n"
        f"Date: {format_datetime(datetime.now(UTC))}\r\nMessage-ID: <report.{boundary}@sandbox.invalid>\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type={kind}; boundary="{boundary}"\r\n\r\n'
    )
    headers = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    parts = (("text/plain; charset=utf-8", words.encode()), (part, fields.encode()), ("text/rfc822-headers", headers))
    body = b"".join(f"--{boundary}\r\nContent-Type: {each}\r\n\r\n".encode() + text + b"\r\n" for each, text in parts)
    return head.encode() + body + f"--{boundary}--\r\n".encode()
