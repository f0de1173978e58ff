"""A message as a person reads it: its parts, decoded, whatever a sender wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import orjson

from cdp_sandbox.outbox.reports import EMAIL

_PARSER = BytesParser(policy=policy.default)
_WEB_ADDRESS = re.compile(r"<(https?://[^<>\s]+)>")
_ONE_CLICK = "list-unsubscribe=one-click"


@dataclass(frozen=True)
class Readable:
    """The readable parts of a message.

    Attributes:
        sender: who it says that it is from.
        html: the HTML part of an e-mail; empty if there is none.
        text: the text part of an e-mail, or the text of any other message.
        headers: names and values, in their order; the fields of a webhook's JSON.
        unsubscribe: where one click opts out, as a mail client finds it (RFC 8058); empty if the message has none.
    """

    sender: str
    html: str
    text: str
    headers: list[tuple[str, str]]
    unsubscribe: str


def read(channel: str, content: bytes) -> Readable:
    """Read a message of this channel."""
    return _email(content) if channel == EMAIL else _webhook(content)


def _email(content: bytes) -> Readable:
    message = _PARSER.parsebytes(content)
    headers = [(name, " ".join(str(value).split())) for name, value in message.items()]
    found = {name.lower(): value for name, value in reversed(headers)}
    links = _WEB_ADDRESS.findall(found.get("list-unsubscribe", ""))
    one_click = found.get("list-unsubscribe-post", "").lower() == _ONE_CLICK
    return Readable(
        sender=found.get("from", ""),
        html=_part(message, ("html",)),
        text=_part(message, ("plain",)),
        headers=headers,
        unsubscribe=links[0] if links and one_click else "",
    )


def _part(message: EmailMessage, kinds: Iterable[str]) -> str:
    try:
        found = message.get_body(preferencelist=tuple(kinds))
        return str(found.get_content()) if found is not None else ""
    # A character set that nobody knows, or a part that is none.
    except (LookupError, ValueError):
        return ""


def _webhook(content: bytes) -> Readable:
    fields = orjson.loads(content)
    shown = [
        (name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in fields.items()
    ]
    return Readable(
        sender=str(fields.get("from", "")),
        html="",
        text=str(fields["text"]),
        headers=shown,
        unsubscribe=str(fields.get("unsubscribe", "")),
    )
