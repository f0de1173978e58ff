"""Killing a piece of work after each of its writes, one after the other.

The work runs in a child process that is forked for it and ends by SIGKILL right after its n-th exchange with
PostgreSQL, over HTTP or by SMTP: no handler runs, no `finally`, and nobody is told. Then the same with n + 1, until the
work ends by itself before its time. Where it can be killed is counted while it runs, and listed nowhere.

`while_an_answer_is_under_way` kills at other points: after the n-th request over HTTP is sent whole, before anything of
its answer is read. The other side does what it was asked to, and nobody hears of it.

An exchange counts when its answer is there. Left out is what cannot have changed anything: a GET, any command of SMTP
but the dot that ends a message, and a statement in a transaction that by PostgreSQL's own account has written nothing
yet. Other processes that the work starts are not counted in. That all of psycopg goes through `Connection.wait` is held
by `test_crashes.py`.
"""

import gc
import os
import re
import signal
import smtplib
import socket
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import urlsplit

import httpx2
import psycopg
import urllib3
from psycopg import pq, sql

Place = TypeVar("Place")

# Work that hangs is ended by SIGALRM, which is no kill point.
_PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class KillPoint:
    """Where a work was killed: right after so many exchanges, of which this was the last."""

    number: int
    exchange: str


def after_every_write(work: Callable[[Place], object], fresh: Callable[[], Place]) -> Iterator[tuple[KillPoint, Place]]:
    """Kill the work after its first write, then after its second, and so on; yields each time that it is dead.

    Args:
        work: opens every connection that it uses; those of the test belong to the test.
        fresh: makes what the work is done on, once for each kill.

    Raises:
        AssertionError: the work failed by itself, or wrote nothing.
    """
    yield from _one_after_the_other(_Counter.watch, work, fresh)


def while_an_answer_is_under_way(
    work: Callable[[Place], object], fresh: Callable[[], Place]
) -> Iterator[tuple[KillPoint, Place]]:
    """Kill the work while the answer to its first request that can write is under way, then to its second, and so on.

    Arguments and errors as in `after_every_write`. The other side may not be done yet when the work is dead.
    """
    yield from _one_after_the_other(_Counter.watch_requests, work, fresh)


def _one_after_the_other(
    watch: Callable[["_Counter"], None], work: Callable[[Place], object], fresh: Callable[[], Place]
) -> Iterator[tuple[KillPoint, Place]]:
    number = 0
    while True:
        number += 1
        place = fresh()
        exchanges = _run(watch, work, place, number)
        if len(exchanges) < number:
            break
        yield KillPoint(number, exchanges[-1]), place
    assert number > 1, "the work wrote nothing"


def _run(watch: Callable[["_Counter"], None], work: Callable[[Place], object], place: Place, last: int) -> list[str]:
    """Run the work in a child that is killed at the last of so many points; returns those that there were."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Threads of the test do not live in the child, and it waits for none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Never back into pytest, whatever happens.
        code = 1
        try:
            # What the test left over is not the child's to clean up.
            gc.freeze()
            # A handler that something in the test process has set would be this one's too.
            for number in (signal.SIGALRM, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.alarm(_PATIENCE_SECONDS)
            watch(_Counter(writer, last))
            work(place)
            code = 0
        except BaseException:
            os.write(writer, f"!{traceback.format_exc()}".encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as told:
        counted, _, failure = told.read().partition("!")
    _, status = os.waitpid(child, 0)
    exchanges = counted.splitlines()
    where = f"after exchange {len(exchanges)} ({exchanges[-1] if exchanges else 'none'})"
    if os.WIFSIGNALED(status):
        ended_by = signal.Signals(os.WTERMSIG(status))
        assert ended_by is signal.SIGKILL, f"the work was ended by {ended_by.name} {where}"
        assert len(exchanges) == last, f"the work was killed by somebody else {where}"
    else:
        assert os.WEXITSTATUS(status) == 0, f"the work failed {where}:\n{failure}"
        assert len(exchanges) < last, f"the work was not killed {where}"
    return exchanges


@dataclass
class _Counter:
    """Tells of each point at which this process can be killed, and ends it at the last."""

    writer: int
    last: int
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: set[psycopg.Connection] = field(default_factory=set)
    ended: set[smtplib.SMTP] = field(default_factory=set)

    def watch(self) -> None:
        wait = psycopg.Connection.wait
        urlopen = urllib3.HTTPConnectionPool.urlopen
        handle_request = httpx2.HTTPTransport.handle_request

        def counted_wait(connection: psycopg.Connection, gen: Any, *args: Any, **options: Any) -> Any:
            statement, name = _statement(gen), gen.__qualname__
            # What has no statement, such as `commit`, sends nothing outside a transaction.
            alone = statement is not None and _is(connection, pq.TransactionStatus.IDLE)
            result = wait(connection, gen, *args, **options)
            if self.can_have_written(connection, alone=alone):
                self.tell(statement or name)
            return result

        def counted_urlopen(pool: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
            result = urlopen(pool, method, url, *args, **options)
            self.tell_of_request(method, url)
            return result

        def counted_handle_request(transport: Any, request: httpx2.Request) -> httpx2.Response:
            result = handle_request(transport, request)
            self.tell_of_request(request.method, str(request.url))
            return result

        send, getreply = smtplib.SMTP.send, smtplib.SMTP.getreply

        def noted_send(smtp: smtplib.SMTP, data: Any) -> None:
            if (data if isinstance(data, bytes) else data.encode()).endswith(b".\r\n"):
                self.ended.add(smtp)
            send(smtp, data)

        def counted_getreply(smtp: smtplib.SMTP) -> tuple[int, bytes]:
            reply = getreply(smtp)
            if smtp in self.ended:
                self.ended.discard(smtp)
                self.tell("the end of a message by SMTP")
            return reply

        mock.patch.object(psycopg.Connection, "wait", counted_wait).start()
        mock.patch.object(smtplib.SMTP, "send", noted_send).start()
        mock.patch.object(smtplib.SMTP, "getreply", counted_getreply).start()
        mock.patch.object(urllib3.HTTPConnectionPool, "urlopen", counted_urlopen).start()
        mock.patch.object(httpx2.HTTPTransport, "handle_request", counted_handle_request).start()

    def watch_requests(self) -> None:
        """Count requests that wait for their answer, of urllib3, httpx2 and what else reads from sockets of Python."""
        urlopen = urllib3.HTTPConnectionPool.urlopen
        handle_request = httpx2.HTTPTransport.handle_request
        sending = threading.local()

        @contextmanager
        def noted(method: str, url: str) -> Generator[None]:
            sending.request = method, url
            try:
                yield
            finally:
                sending.request = None

        def noted_urlopen(pool: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
            with noted(method, url):
                return urlopen(pool, method, url, *args, **options)

        def noted_handle_request(transport: Any, request: httpx2.Request) -> httpx2.Response:
            with noted(request.method, str(request.url)):
                return handle_request(transport, request)

        def told_of(receive: Callable[..., Any]) -> Callable[..., Any]:
            def received(sock: socket.socket, *args: Any, **options: Any) -> Any:
                request, sending.request = getattr(sending, "request", None), None
                if request:
                    self.tell_of_request(*request)
                return receive(sock, *args, **options)

            return received

        mock.patch.object(urllib3.HTTPConnectionPool, "urlopen", noted_urlopen).start()
        mock.patch.object(httpx2.HTTPTransport, "handle_request", noted_handle_request).start()
        for name in ("recv", "recv_into"):
            mock.patch.object(socket.socket, name, told_of(getattr(socket.socket, name))).start()

    def can_have_written(self, connection: psycopg.Connection, *, alone: bool) -> bool:
        pgconn = connection.pgconn
        if _is(connection, pq.TransactionStatus.ACTIVE):
            # In the middle of a COPY or a pipeline: the answer is yet to come.
            self.writing.add(connection)
            return False
        if _is(connection, pq.TransactionStatus.IDLE):
            # A statement that is a transaction of its own, or the end of one.
            written = alone or connection in self.writing
            self.writing.discard(connection)
            return written
        in_pipeline = pgconn.pipeline_status != pq.PipelineStatus.OFF
        if connection not in self.writing and _is(connection, pq.TransactionStatus.INTRANS) and not in_pipeline:
            # A transaction gets its number with its first write.
            answer = pgconn.exec_(b"SELECT pg_current_xact_id_if_assigned()")
            if answer.get_value(0, 0) is not None:
                self.writing.add(connection)
        return connection in self.writing

    def tell_of_request(self, method: str, url: str) -> None:
        if method != "GET":
            # The beginning of the path: further on it may name a document.
            self.tell(f"{method} {'/'.join(urlsplit(url).path.split('/')[:5])}")

    def tell(self, exchange: str) -> None:
        with self.lock:
            self.count += 1
            os.write(self.writer, f"{exchange}\n".encode())
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def _is(connection: psycopg.Connection, status: pq.TransactionStatus) -> bool:
    return connection.pgconn.transaction_status == status


def _statement(gen: Any) -> str | None:
    """The first words of the statement that a generator of psycopg is about to send: keywords and names, no value."""
    known = gen.gi_frame.f_locals
    query = known.get("query", known.get("statement"))
    if query is None:
        return None
    text = query.as_string() if isinstance(query, sql.Composable) else str(query)
    return " ".join(re.sub(r"[^\s\w.\"].*", "", text, flags=re.DOTALL).split())[:60]
