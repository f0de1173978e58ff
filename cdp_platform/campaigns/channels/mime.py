"""Writes e-mail (RFC 5322, RFC 2045): what is the same in all messages of an event is encoded once.

A body comes in pieces, those of the template and those of the person in turn. Each piece is encoded in quoted-printable
by itself and ends in a soft line break, so that the pieces of the template are encoded once and those of the person,
which are short, each time. `email.message` would encode and wrap the whole body for each person.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.header import Header
from email.quoprimime import body_encode
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from uuid import uuid4

from cdp_platform.campaigns.channels.entry import Letter, Occasion, Writer
from cdp_platform.campaigns.channels.smtp import envelope_address

# RFC 2045, 6.7: 76 characters with the `=` of a soft line break.
_LINE = 75
_SOFT_BREAK = b"=\r\n"
_KEPT_PIECES = 4096
_LONG_WORD = 60


def writer(
    occasion: Occasion, *, sender: str, reply_to: str | None = None, unsubscribe_mailto: str | None = None
) -> Writer:
    """Writes the messages of one event.

    Args:
        occasion: the event, for ``Feedback-ID``.
        sender: mailbox of ``From``; its domain is that of the Message-IDs too.
        reply_to: mailbox of ``Reply-To``.
        unsubscribe_mailto: address that takes opt-outs by e-mail.
    """
    domain = parseaddr(sender)[1].rpartition("@")[2]
    boundary = uuid4().hex.encode()
    same = _header("From", _mailbox(sender))
    if reply_to:
        same += _header("Reply-To", _mailbox(reply_to))
    # Campaign, event, nothing, and who sends: Gmail shows complaints by each of them.
    feedback = (occasion.campaign_code, occasion.event_id, "", occasion.tenant_id)
    same += _header("Feedback-ID", ":".join(part.replace(":", ".") for part in feedback))
    same += _header("MIME-Version", "1.0")

    def opt_out(letter: Letter) -> bytes:
        if not letter.opt_out:
            return b""
        links = f"<{letter.opt_out}>"
        if unsubscribe_mailto:
            links += f",\r\n <mailto:{unsubscribe_mailto}?subject=unsubscribe%20{letter.key}>"
        return _header("List-Unsubscribe", links) + _header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")

    def write(letter: Letter) -> bytes:
        head = (
            _header("Message-ID", f"<{letter.key}@{domain}>")
            + _header("Date", format_datetime(datetime.now(UTC)))
            + _header("To", envelope_address(letter.address) or letter.address)
            + _subject(letter.subject)
            + opt_out(letter)
            + same
        )
        if not letter.html:
            return head + _part("plain", letter.text)
        return b"".join(
            (
                head,
                b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n' % boundary,
                *(b"--%b\r\n" % boundary, _part("plain", letter.text)),
                *(b"--%b\r\n" % boundary, _part("html", letter.html)),
                b"--%b--\r\n" % boundary,
            )
        )

    return write


def _header(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()


def _mailbox(mailbox: str) -> str:
    name, address = parseaddr(mailbox)
    return formataddr((name, address), "utf-8")


@lru_cache(_KEPT_PIECES)
def _subject(subject: str) -> bytes:
    """Folded, and encoded as RFC 2047 has it where it is not plain: a long word cannot be folded otherwise."""
    is_plain = subject.isascii() and "=?" not in subject and all(len(word) < _LONG_WORD for word in subject.split())
    charset = "us-ascii" if is_plain else "utf-8"
    return _header("Subject", Header(subject, charset, header_name="Subject").encode(linesep="\r\n"))


def _part(subtype: str, pieces: Sequence[str]) -> bytes:
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode() + _SOFT_BREAK.join(map(_encoded, pieces)) + b"\r\n"


@lru_cache(_KEPT_PIECES)
def _encoded(piece: str) -> bytes:
    """A piece in quoted-printable, with line ends as CRLF, whichever it has."""
    lines = piece.replace("\r\n", "\n").replace("\r", "\n")
    return body_encode(lines.encode().decode("latin-1"), _LINE, "\r\n").encode("ascii")
