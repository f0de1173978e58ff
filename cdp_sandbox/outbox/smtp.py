"""The SMTP server: takes messages over STARTTLS and puts them into the outbox.

It behaves as aiosmtpd does: lines of 1,000 bytes and more, and messages above 32 MiB, are refused. It knows one
account. A client that doesn't sign in is served too, and a wrong password is refused.

The rules of `faults.py` apply to its commands. A command's method is its verb, `CONNECT` for the greeting and `MESSAGE`
for what follows the last dot of a message; its path is `smtp:` and the address that it is about: of `RCPT`, `DATA` and
`MESSAGE` the recipient, of `MAIL` the sender, of others nothing. `contains` looks into the message. The actions:

- `status`: the reply is `status` and `body`, such as 550 and "5.1.1 No such user"; after 421 the connection is closed.
  A message that is refused after its last dot is in the outbox, as refused.
- `drop_before`: the connection is closed and nothing was done. With `CONNECT`, the server is down.
- `drop_after`: a message is taken, then the connection is closed without a reply. For other commands, as `drop_before`.
- `truncate`: as `drop_after`, with the beginning of a reply.
- `delay`: the command waits `seconds` first.
- `distort`: a message is taken, and reported on later as `reports.py` says.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from email import policy
from email.parser import BytesHeaderParser
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from cdp_sandbox.faults import Faults, Rule
from cdp_sandbox.outbox import SMTP_PASSWORD, SMTP_USER
from cdp_sandbox.outbox.reports import EMAIL, Reporter, reply
from cdp_sandbox.outbox.store import Store
from cdp_sandbox.processes import HOST

_ADDRESS = re.compile(r"<([^<>]*)>")
_PARSER = BytesHeaderParser(policy=policy.compat32.clone(linesep="\r\n"))


class SmtpServer(Controller):
    """The server in a thread of its own, so that long requests to other stand-ins don't hold it up."""

    def __init__(self, port: int, tls: ssl.SSLContext, store: Store, faults: Faults, reporter: Reporter) -> None:
        super().__init__(handler=None, hostname=HOST, port=port)
        # It warns at each sign-in of an attribute that it sets itself.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._make = lambda: _Session(tls, store, faults, reporter, self.loop)

    def factory(self) -> SMTP:
        """The server of one client."""
        return self._make()


class _Session(SMTP):
    """One client's connection."""

    def __init__(
        self, tls: ssl.SSLContext, store: Store, faults: Faults, reporter: Reporter, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            handler=self,
            hostname="sandbox.invalid",
            ident="cdp sandbox",
            tls_context=tls,
            require_starttls=True,
            authenticator=_signed_in,
            loop=loop,
        )
        self._store, self._faults, self._reporter = store, faults, reporter

    async def _handle_client(self) -> None:
        if not await self._spoiled("CONNECT"):
            await super()._handle_client()

    async def handle_exception(self, error: Exception) -> str:
        """Reply to a command that failed here, as where a client broke off its TLS."""
        return f"451 4.3.0 {type(error).__name__} in the stand-in"

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        await self._unless_spoiled("EHLO", super().smtp_EHLO, hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("STARTTLS", super().smtp_STARTTLS, arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("AUTH", super().smtp_AUTH, arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._unless_spoiled("MAIL", super().smtp_MAIL, arg, _address(arg))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._unless_spoiled("RCPT", super().smtp_RCPT, arg, _address(arg))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("DATA", super().smtp_DATA, arg, self._recipients())

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("RSET", super().smtp_RSET, arg)

    async def smtp_NOOP(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("NOOP", super().smtp_NOOP, arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        await self._unless_spoiled("QUIT", super().smtp_QUIT, arg)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a message, unless a rule says otherwise, and return the reply to its last dot."""
        content = bytes(envelope.original_content)
        rule = self._faults.fires("MESSAGE", f"smtp:{self._recipients()}", content)
        if rule is not None and rule.action == "delay":
            await asyncio.sleep(rule.seconds)
        if rule is not None and rule.action == "drop_before":
            await self._drop()
        refused = rule is not None and rule.action == "status"
        headers = _PARSER.parsebytes(content)
        for address in envelope.rcpt_tos:
            kept = self._store.keep(
                channel=EMAIL,
                key=_key(str(headers["message-id"] or "")),
                address=address,
                subject=_decoded(headers["subject"]),
                content=content,
                accepted=not refused,
            )
            if rule is not None and rule.action == "distort":
                self._reporter.later(kept, content, rule)
        if rule is not None and rule.action == "truncate":
            self._wire.write(b"25")
            self._wire.close()
            await _wait_for_the_end()
        if rule is not None and rule.action == "drop_after":
            await self._drop()
        return reply(rule, 554, "5.0.0 Refused") if refused else f"250 2.0.0 Ok, kept as {kept.number}"

    async def _unless_spoiled(
        self, verb: str, command: Callable[[Any], Awaitable[None]], arg: Any, address: str = ""
    ) -> None:
        if not await self._spoiled(verb, address):
            await command(arg)

    async def _spoiled(self, verb: str, address: str = "") -> bool:
        """Do what a rule says about a command, and tell whether the command is not to be carried out."""
        rule = self._faults.fires(verb, f"smtp:{address}")
        if rule is None:
            return False
        if rule.action == "delay":
            await asyncio.sleep(rule.seconds)
        elif rule.action == "status":
            await self._refuse(rule)
        elif rule.action != "distort":
            await self._drop()
        return rule.action == "status"

    async def _refuse(self, rule: Rule) -> None:
        words = reply(rule, 554, "5.0.0 Refused")
        await self.push(words)
        if words.startswith("421"):
            self._wire.close()

    async def _drop(self) -> None:
        self._wire.abort()
        await _wait_for_the_end()

    @property
    def _wire(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.transport)

    def _recipients(self) -> str:
        return ",".join(self.envelope.rcpt_tos if self.envelope else [])


async def _wait_for_the_end() -> None:
    # aiosmtpd cancels the session once the connection is lost. Going on would make it write to a closed one.
    await asyncio.Event().wait()


def _signed_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    known = LoginPassword(SMTP_USER.encode(), SMTP_PASSWORD.encode())
    return AuthResult(success=given == known, handled=False)


def _address(argument: str | None) -> str:
    found = _ADDRESS.search(argument or "")
    return found[1] if found else ""


def _key(message_id: str) -> str:
    return message_id.strip().strip("<>").partition("@")[0]


def _decoded(subject: Any) -> str:
    return str(policy.default.header_factory("subject", str(subject or "")))
