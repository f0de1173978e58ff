"""E-mail over STARTTLS to a relay that takes 5 ms for each reply, as one in another house does.

Three senders of the same messages, in turns: one connection a message, as a script does it, and without a ledger; eight
connections that are used again, without and with the ledger. With the ledger, each message is handed over after every
check, and confirmed, durably, and is rendered only then; the others are given messages that are ready.
"""

import asyncio
import smtplib
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from aiosmtpd.smtp import SMTP
from psycopg import sql

from benchmarks.campaign_event import TENANT, add_event, add_people, run_alone
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, narrate
from cdp_platform.campaigns import dispatch, events, templates
from cdp_platform.campaigns.channels.contract import Outgoing, Verdict
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.compose import Composer
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.campaigns.links import Links
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.ops.tokens import Tokens
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_sandbox.outbox.certificate import tls_context

_REPLY_SECONDS = 0.005
_CONNECTIONS = 8
_AT_LEAST = 8
_WITH_LEDGER = 0.7
_ONE_BY_ONE = 40
_PARAGRAPH = "Spring is here, and with it everything that grows. Come and see us; the first to come choose first. "
_HTML = (
    "<html><head><style>p {color: #333; margin: 0 0 1em}</style></head><body><p>Dear {{ first_name }},</p>"
    + f"<p>{_PARAGRAPH * 3}</p>" * 20
    + '<p>{{ postal_address }} <a href="{{ opt_out_url }}">Stop</a></p></body></html>'
)
_DELIVERIES = """
INSERT INTO campaigns.segment_snapshot_member (tenant_id, snapshot_id, member, profile_id, decision, time_zone)
SELECT {tenant}, {event}, n, md5('profile ' || n), 'included', 'UTC' FROM generate_series(1, {people}) AS n;
INSERT INTO campaigns.delivery_log (
    tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, time_zone)
SELECT {tenant}, {event}, md5('profile ' || n), 'email', ops.address_hash(sha256('benchmark'), n || '@example.org'),
    encode(sha256(convert_to({event} || n, 'UTF8')), 'hex'), now(), 'UTC' FROM generate_series(1, {people}) AS n;
"""


class _Slow(SMTP):
    """A relay in another house: each reply is on its way for a while."""

    async def push(self, status: Any) -> None:
        await asyncio.sleep(_REPLY_SECONDS)
        await super().push(status)


class _Counted:
    messages = 0

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.messages += 1
        return "250 2.0.0 Ok"


def _serve(certificate_file: Path, pipe: Connection) -> None:
    """Run the relay: sends its port, and after each word from the pipe how many messages it has taken."""

    async def serve() -> None:
        counted, loop = _Counted(), asyncio.get_running_loop()
        tls = tls_context(certificate_file)
        server = await loop.create_server(
            lambda: _Slow(counted, tls_context=tls, require_starttls=True, loop=loop), "127.0.0.1", 0
        )
        pipe.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(counted.messages)

    asyncio.run(serve())


@contextmanager
def _relay(certificate_file: Path) -> Generator[tuple[int, Callable[[], int]]]:
    """A relay in a process of its own: its port, and how many messages it has taken."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(certificate_file, theirs), daemon=True)
    process.start()

    def taken() -> int:
        ours.send(True)
        return ours.recv()

    try:
        yield ours.recv(), taken
    finally:
        ours.send(False)
        process.join(10)


def measure(people: int = 1_500, rounds: int = 3) -> tuple[list[dict[str, Any]], list[Bar]]:
    """All senders in turns; the rows of a table, and the bars."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _relay(Path(folder) / "relay.pem") as (port, taken),
        benchmark_database({TENANT: "none"}) as database,
    ):
        certificates = Path(folder) / "relay.pem"
        channel = EmailChannel.model_validate(
            {
                "name": "email",
                "kind": "email",
                "address": f"127.0.0.1:{port}",
                "ca_file": certificates,
                "from": "Shop <news@shop.example>",
                "connections": _CONNECTIONS,
            }
        )
        add_people(database, people)
        with connect(database.settings) as connection:
            rates = _Senders(database, connection, channel, people).in_turns(rounds, taken)
    rows = [
        {
            "sender": name,
            "messages": number,
            "seconds": round(number / rates[name], 3),
            "messages per second": round(rates[name], 1),
        }
        for name, number in ((_SCRIPT, _ONE_BY_ONE), (_REUSED, people), (_LEDGER, people))
    ]
    return rows, [
        Bar(
            "8 connections with the ledger, to one connection a message without",
            rates[_LEDGER] / rates[_SCRIPT],
            _AT_LEAST,
        ),
        Bar("the same sender with the ledger, to without it", rates[_LEDGER] / rates[_REUSED], _WITH_LEDGER),
    ]


_SCRIPT, _REUSED, _LEDGER = "one connection a message", "8 connections", "8 connections with the ledger"


@dataclass
class _Senders:
    """The senders, and what they send with."""

    database: BenchmarkDatabase
    connection: psycopg.Connection
    channel: EmailChannel
    people: int

    def in_turns(self, rounds: int, taken: Callable[[], int]) -> dict[str, float]:
        """Messages per second of each sender: the median of the rounds."""
        self._tenant, self._compose = self._composer()
        composed = self._compose([_handed(number) for number in range(self.people)])
        messages = [each for each in composed if isinstance(each, Outgoing)]
        seen: dict[str, list[float]] = {_SCRIPT: [], _REUSED: [], _LEDGER: []}
        for number in range(rounds):
            narrate(f"round {number + 1} of {rounds}")
            self._add_event(f"spring-{number}")
            for name, size, send in (
                (_SCRIPT, _ONE_BY_ONE, partial(self._script, messages[:_ONE_BY_ONE])),
                (_REUSED, self.people, partial(self._reused, messages)),
                (_LEDGER, self.people, partial(self._with_ledger, f"spring-{number}")),
            ):
                narrate(f"  {name}")
                before, began = taken(), time.perf_counter()
                send()
                seen[name].append(size / (time.perf_counter() - began))
                if taken() - before != size:
                    raise RuntimeError(f"{name} sent {taken() - before} messages and not {size}")
        return {name: median(rates) for name, rates in seen.items()}

    def _composer(self) -> tuple[Tenant, Composer]:
        tenant = tenants.get(self.connection, TENANT)
        self._add_event("first")
        content: dict[str, Any] = {"channel_kind": "email", "subject": "Hello {{ first_name }}", "html": _HTML}
        with tenant_transaction(self.connection, TENANT):
            version = templates.save(self.connection, TENANT, "welcome", text=None, **content)
            templates.approve(self.connection, tenant, "welcome", version)
            template = templates.load(self.connection, TENANT, "welcome", version)
            event = events.get(self.connection, TENANT, "first")
        links = Links("https://messages.example.com", Tokens(["k" * 32]))
        return tenant, Composer(tenant, event, template, self.channel, links)

    def _add_event(self, event_id: str) -> None:
        add_event(self.database, event_id, self.people)
        with self.database.superuser() as superuser:
            superuser.execute(sql.SQL(_DELIVERIES).format(tenant=TENANT, event=event_id, people=self.people))
        self.database.settle(sql.Identifier("campaigns", "delivery_log"))

    def _script(self, messages: Sequence[Outgoing]) -> None:
        context = ssl.create_default_context(cafile=self.channel.ca_file)
        for message in messages:
            with smtplib.SMTP(self.channel.host, self.channel.port, local_hostname="shop.example") as smtp:
                smtp.starttls(context=context)
                smtp.sendmail("news@shop.example", message.address, message.content)

    def _reused(self, messages: Sequence[Outgoing]) -> None:
        with self.channel.open() as sender:
            for begin in range(0, len(messages), dispatch.BATCH):
                answers = sender.send(messages[begin : begin + dispatch.BATCH])
                if {answer.verdict for answer in answers} != {Verdict.ACCEPTED}:
                    raise RuntimeError(f"the relay refused: {answers[0]}")

    def _with_ledger(self, event_id: str) -> None:
        result = dispatch.dispatch(
            self.connection,
            lambda: connect(self.database.settings),
            self._tenant,
            event_id,
            self.channel,
            compose=self._compose,
            seconds=300,
        )
        if result.why_ended != "nothing_due":
            raise RuntimeError(f"the dispatch ended early: {result}")


def _handed(number: int) -> Handed:
    return Handed("", f"{number:064x}", f"{number}@example.org", b"hash", {"first_name": f"Linh {number}"})


if __name__ == "__main__":
    sys.exit(run_alone(__doc__, "E-mail to a relay that takes 5 ms a reply", measure, people=1_500))
