"""Hands messages in by SMTP, over connections that are used again and again.

The point of no return is the dot that ends a message (RFC 5321, 4.1.1.4): a connection that breaks before it took
nothing, and one that breaks after it may have.
"""

import re
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from cdp_platform.campaigns.channels import smtp_replies
from cdp_platform.campaigns.channels.batches import HandedIn, hand_in
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.resources import network

# Relays close a connection after some time or number of messages; what is closed before costs nobody a failure.
_MESSAGES_PER_CONNECTION = 100
_SECONDS_PER_CONNECTION = 300
_CLOSING = 421
_LINE_WITH_A_DOT = re.compile(rb"(?m)^\.")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_BROKEN = (OSError, smtplib.SMTPException)


@dataclass(frozen=True)
class Server:
    """Where mail is handed in, and as whom.

    Attributes:
        host: name or IP address.
        port: of the server.
        tls: ``starttls`` after the greeting, ``implicit`` from the first byte, or ``none``.
        context: checks the server's certificate.
        user: '' without a login.
        password: the user's.
        sender: the address that bounces go to.
        me: the name that this side greets with.
        seconds: longest wait for a reply.
    """

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"]
    context: ssl.SSLContext
    user: str
    password: str
    sender: str
    me: str
    seconds: float


class NotTakenError(Exception):
    """Nothing was handed in.

    Attributes:
        answer: what that means for the message.
        everybody: whether it means the same for all others, as no connection can be had.
    """

    def __init__(self, answer: Answer, *, everybody: bool) -> None:
        super().__init__(answer.reason)
        self.answer = answer
        self.everybody = everybody


def connected(server: Server) -> smtplib.SMTP:
    """A connection that is encrypted and signed in.

    Raises:
        NotTakenError: the server cannot be reached, refuses, or does not encrypt.
    """
    common: dict[str, Any] = {"local_hostname": server.me, "timeout": server.seconds}
    smtp: smtplib.SMTP | None = None
    try:
        if server.tls == "implicit":
            smtp = smtplib.SMTP_SSL(server.host, server.port, context=server.context, **common)
        else:
            smtp = smtplib.SMTP(server.host, server.port, **common)
        if smtp.sock is not None:
            # The dot that ends a message is small and must not wait for an acknowledgement of what went before.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            if not smtp.has_extn("starttls"):
                raise smtplib.SMTPNotSupportedError("it does not offer STARTTLS: give tls: implicit or none")
            code, text = smtp.starttls(context=server.context)
            if code // 100 != 2:
                raise smtplib.SMTPResponseException(code, text)
            smtp.ehlo_or_helo_if_needed()
        if server.user:
            smtp.login(server.user, server.password)
    except _BROKEN as error:
        if smtp is not None:
            smtp.close()
        raise NotTakenError(_of_setup(error), everybody=True) from error
    return smtp


def goodbye(smtp: smtplib.SMTP) -> None:
    """End a connection as the protocol has it, and in any case."""
    with suppress(*_BROKEN):
        smtp.quit()
    smtp.close()


def _of_setup(error: OSError | smtplib.SMTPException) -> Answer:
    match error:
        case smtplib.SMTPResponseException() if error.smtp_code >= 400:
            return smtp_replies.refusal(error.smtp_code, error.smtp_error, about_recipient=False)
        case smtplib.SMTPNotSupportedError():
            return Answer(Verdict.OURS, reason=str(error))
        case ssl.SSLCertVerificationError():
            return Answer(Verdict.OURS, reason=network.reason(error))
    return Answer(Verdict.NOT_TAKEN, reason=network.reason(error))


class Session:
    """One connection after another to the same server, for one message at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._smtp: smtplib.SMTP | None = None
        self._opened = 0.0
        self._messages = 0

    def send(self, message: Outgoing) -> HandedIn:
        """Hand one message in."""
        recipient = envelope_address(message.address)
        if recipient is None:
            return HandedIn(Answer(Verdict.BAD_ADDRESS, reason="the address is not usable"))
        if self._messages >= _MESSAGES_PER_CONNECTION or time.monotonic() - self._opened > _SECONDS_PER_CONNECTION:
            self.close()
        reused = self._smtp is not None
        try:
            return self._transaction(self._smtp or self._open(), message, recipient)
        except NotTakenError as error:
            self._drop()
            if reused:
                # The server may have closed it while nothing was sent, which says nothing about the server.
                return self.send(message)
            return HandedIn(error.answer, error.answer if error.everybody else None)

    def close(self) -> None:
        """Say goodbye, if a connection is open."""
        if self._smtp is not None:
            goodbye(self._smtp)
            self._smtp = None

    def _open(self) -> smtplib.SMTP:
        self._smtp = connected(self._server)
        self._opened = time.monotonic()
        self._messages = 0
        return self._smtp

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _transaction(self, smtp: smtplib.SMTP, message: Outgoing, recipient: str) -> HandedIn:
        options = f" SIZE={len(message.content)}" if smtp.has_extn("size") else ""
        if not recipient.isascii():
            if not smtp.has_extn("smtputf8"):
                needs = "the address needs SMTPUTF8, which the server does not offer"
                return HandedIn(Answer(Verdict.FAILED, reason=needs))
            smtp.command_encoding = "utf-8"
            options += " BODY=8BITMIME SMTPUTF8"
        self._messages += 1
        code, text = _asked(smtp, "MAIL", f"FROM:<{self._server.sender}>{options}")
        if code // 100 != 2:
            return _refused(smtp_replies.refusal(code, text, about_recipient=False))
        for command, arguments, expected in (("RCPT", f"TO:<{recipient}>", 2), ("DATA", "", 3)):
            code, text = _asked(smtp, command, arguments)
            if code // 100 != expected:
                self._reset(smtp)
                return _refused(smtp_replies.refusal(code, text, about_recipient=True, address=message.address))
        return self._content(smtp, message)

    def _reset(self, smtp: smtplib.SMTP) -> None:
        try:
            _asked(smtp, "RSET", "")
        except NotTakenError:
            # Some close after a refusal, which stands all the same.
            self._drop()

    def _content(self, smtp: smtplib.SMTP, message: Outgoing) -> HandedIn:
        try:
            smtp.send(_LINE_WITH_A_DOT.sub(b"..", message.content))
        except _BROKEN as error:
            raise _broken_off(error) from error
        try:
            smtp.send(b".\r\n")
            code, text = smtp.getreply()
        except _BROKEN as error:
            self._drop()
            unknown = Answer(Verdict.UNKNOWN, reason=f"no answer after the message: {network.reason(error)}")
            return HandedIn(unknown, _broken_off(error).answer if _is_silent(error) else None)
        if code // 100 == 2:
            return HandedIn(Answer(Verdict.ACCEPTED, str(code)))
        if code < 400 or code == _CLOSING:
            self._drop()
        if code < 400:
            return HandedIn(Answer(Verdict.UNKNOWN, reason="the answer after the message is not SMTP"))
        return _refused(smtp_replies.refusal(code, text, about_recipient=True, address=message.address))


def _refused(answer: Answer) -> HandedIn:
    return HandedIn(answer, answer if answer.verdict is Verdict.REST else None)


def _asked(smtp: smtplib.SMTP, command: str, arguments: str) -> tuple[int, bytes]:
    try:
        code, text = smtp.docmd(command, arguments)
    except _BROKEN as error:
        raise _broken_off(error) from error
    if code == _CLOSING:
        raise NotTakenError(smtp_replies.refusal(code, text, about_recipient=False), everybody=True)
    if code < 200:
        raise NotTakenError(Answer(Verdict.NOT_TAKEN, reason="the answer is not SMTP"), everybody=False)
    return code, text


def _broken_off(error: Exception) -> NotTakenError:
    answer = Answer(Verdict.NOT_TAKEN, reason=f"before the message was complete: {network.reason(error)}")
    return NotTakenError(answer, everybody=_is_silent(error))


def _is_silent(error: Exception) -> bool:
    """Whether no reply came in time: each of the other messages would be kept waiting as long."""
    # smtplib's own error covers that of the socket.
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def envelope_address(address: str) -> str | None:
    """An address as commands have it, with its domain in ASCII (IDNA); None if it is none.

    Only a local part beyond ASCII makes the result so; it needs SMTPUTF8 (RFC 6531).
    """
    if _PLAIN_ADDRESS.fullmatch(address):
        return address
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        found = validate_email(address, check_deliverability=False, strict=True)
    except EmailNotValidError:
        return None
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"


class SmtpSender:
    """Several sessions at once."""

    def __init__(self, server: Server, connections: int) -> None:
        self._sessions = [Session(server) for _ in range(connections)]
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="smtp")

    def send(self, batch: Sequence[Outgoing]) -> Sequence[Answer]:
        """Hand these messages in; as `contract.Sender.send`."""
        return hand_in(self._threads, [session.send for session in self._sessions], batch)

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()
        self._threads.shutdown()
