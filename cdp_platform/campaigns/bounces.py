"""Reports that mail systems send by e-mail: bounces (RFC 3464), complaints (RFC 5965), and opt-outs by ``mailto``.

A relay hands such a message over as it came. A report names the message that it is about by its Message-ID, whose part
before the @ is our key. An opt-out is a message that the address in ``List-Unsubscribe`` gets, with the key in its
subject.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from cdp_platform.campaigns import status_codes
from cdp_platform.campaigns.reports import Kind, Report
from cdp_platform.errors import QueryError

# A field that names a message by one of our keys: Message-ID, the fields with such an end, and those of answers.
_NAMED = re.compile(rb"(?im)^[\w-]*(?:message-id|in-reply-to|references):\s*<?([0-9a-f]{40})@")
_OPT_OUT_SUBJECT = re.compile(r"\s*unsubscribe\s+([0-9a-f]{40})\s*", re.IGNORECASE)
_OWN_ID = re.compile(rb"(?im)^message-id:[^\n]*(\n[ \t][^\n]*)*")
_BOUNDARY = re.compile(rb"(?i)boundary=")
_REPORT_PART = re.compile(rb"(?im)^(content-type:\s*)message/(?=(?:global-)?delivery-status|feedback-report)")
# Far more than the recipients and the parts of any report about a message of ours.
_MOST_BLOCKS = 50
# The worst of several recipients counts; a delay is no end.
_ACTIONS: dict[str, Kind] = {
    "failed": "bounced",
    "expired": "bounced",
    "delivered": "delivered",
    "relayed": "delivered",
    "expanded": "delivered",
}
# `not-spam` takes a complaint back, and `auth-failure` (RFC 6591) is none.
_FEEDBACK: dict[str, Kind] = {
    "abuse": "complained",
    "fraud": "complained",
    "virus": "complained",
    "other": "complained",
    "miscategorized": "complained",
    "opt-out": "opted_out",
    "opt-out-list": "opted_out",
}


def from_message(raw: bytes) -> list[Report]:
    """The reports in a message: one, or none where it tells of a delay or takes a complaint back.

    Raises:
        QueryError: it is no report, or does not say which message it is about.
    """
    if len(_BOUNDARY.findall(raw)) > _MOST_BLOCKS:
        raise QueryError("The message cannot be read: it has too many parts.")
    # A parser of reports takes a minute for one that is made of empty lines, so to it their parts are texts.
    raw = _REPORT_PART.sub(rb"\1text/", raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    try:
        message = BytesParser().parsebytes(raw)
        parts = list(message.walk())
        opt_out = _OPT_OUT_SUBJECT.fullmatch(str(message.get("Subject", "")))
        kind, code = ("opted_out", "") if opt_out else _reported(parts)
        key = opt_out[1].lower() if opt_out else _key(raw, parts) if kind else ""
    # Parts that are nested without end, and headers that no code can read.
    except (RecursionError, MessageError, LookupError, ValueError, TypeError):
        raise QueryError("The message cannot be read.") from None
    if kind is None:
        return []
    name = hashlib.sha256(str(message.get("Message-ID", "")).encode() or raw).hexdigest()
    return [Report(name, key, kind, code, _moment(message))]


def _reported(parts: Iterable[Message]) -> tuple[Kind | None, str]:
    """The kind of a report and the code of a bounce; None where it changes nothing."""
    for part in parts:
        if part.get_content_type() in {"text/delivery-status", "text/global-delivery-status"}:
            return _bounce(part)
        if part.get_content_type() == "text/feedback-report":
            types = [
                str(fields["Feedback-Type"]).strip().lower() for fields in _blocks(part) if fields["Feedback-Type"]
            ]
            if types:
                return _FEEDBACK.get(types[0]), ""
    raise QueryError("The message is no bounce (RFC 3464), no complaint (RFC 5965) and no opt-out.")


def _bounce(part: Message) -> tuple[Kind | None, str]:
    found: dict[Kind, str] = {}
    for fields in _blocks(part):
        action, code = str(fields.get("Action", "")).strip().lower(), _code(fields)
        # Old systems give a status alone.
        kind = _ACTIONS.get(action) if action or not code else "bounced"
        if kind is not None:
            found.setdefault(kind, code)
    for kind in ("bounced", "delivered"):
        if kind in found:
            return kind, found[kind] if kind == "bounced" else ""
    return None, ""


def _code(fields: Message) -> str:
    """The status of a recipient, or where it says no more than that it failed, that of the server's answer."""
    status = status_codes.found(str(fields.get("Status", "")))
    said = status_codes.found(str(fields.get("Diagnostic-Code", "")))
    return said if said and (not status or status.endswith(".0.0")) else status


def _blocks(part: Message) -> Iterator[Message]:
    """The groups of fields of a report, with empty lines between them."""
    content = part.get_payload(decode=True)
    if isinstance(content, bytes):
        for text in re.split(rb"\n\n+", content.strip(), maxsplit=_MOST_BLOCKS)[:_MOST_BLOCKS]:
            yield BytesParser().parsebytes(text, headersonly=True)


def _key(raw: bytes, parts: Iterable[Message]) -> str:
    """The key of the message that a report is about.

    Systems put the headers that they return into parts of many types, or into a text. A field that names a message by a
    number like our keys is ours, wherever it stands.
    """
    for content in _contents(raw, parts):
        found = _NAMED.search(content)
        if found:
            return found[1].decode().lower()
    raise QueryError("The report does not say which message it is about: it returns no Message-ID.")


def _contents(raw: bytes, parts: Iterable[Message]) -> Iterator[bytes]:
    """The body as it came, the parts that are encoded, and the header without the report's own Message-ID."""
    header, _, body = raw.partition(b"\n\n")
    yield body
    for part in parts:
        if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in {"base64", "quoted-printable"}:
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield content
    yield _OWN_ID.sub(b"", header)


def _moment(message: Message) -> datetime:
    """When the report was written, or now where it does not say."""
    try:
        found = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError):
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
