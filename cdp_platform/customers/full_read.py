"""Reading every document of a collection, alone or with a second worker.

There is one ordered cursor either way. With two workers, each reads every other batch: a worker that has read a batch
hands the cursor over before it maps and writes that batch, and commits only after the other has committed the batch
before. So the watermark moves as with one worker, in the transaction of the rows that it covers. If one of them fails,
everything up to the watermark is there.

The second worker is a thread, which maps while PostgreSQL writes for the first, or a process, which takes a second to
start and then maps at the same time as the first.
"""

import gc
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psycopg

from cdp_platform.customers.landing import Reading, SoFar, SyncResult, land_in_turn
from cdp_platform.customers.mappers import Mapper, mapper_of
from cdp_platform.customers.source import OpenDatabase, TenantSource, open_source
from cdp_platform.errors import WorkerLostError
from cdp_platform.resources.arango import Bookmark
from cdp_platform.warehouse import load

# How long a process may take to end after its pipes were closed.
_END_SECONDS = 10


@dataclass(frozen=True)
class SecondWorker:
    """The inputs of a second worker.

    Attributes:
        connect: opens its connection to the warehouse; for a process, something that can be pickled.
        open_database: opens its ArangoDB database; for a process, something that can be pickled.
        as_process: whether it is a process. Else it is a thread of this one.
    """

    connect: Callable[[], AbstractContextManager[psycopg.Connection]]
    open_database: OpenDatabase
    as_process: bool = False


def read_everything(
    connection: psycopg.Connection,
    source: TenantSource,
    reading: Reading,
    mapper: Mapper,
    *,
    so_far: SoFar,
    progress: Callable[[int], None],
    second: SecondWorker | None,
) -> SyncResult:
    """Land every document of the collection; returns the run with them.

    Args:
        connection: outside any transaction.
        source: the tenant's database.
        reading: the reading that the batches belong to.
        mapper: of the collection.
        so_far: the run before this.
        progress: called after each batch with the number of documents that the run has read.
        second: takes every other batch as soon as it is ready; None to read alone.

    Raises:
        WorkerLostError: the second process was ended from outside.
    """
    batch, bookmark = source.begin(reading.collection)
    turn: Callable[[], SoFar] = lambda: so_far  # noqa: E731 (until the other has committed once, the turn is ours)
    try:
        with _other_worker(reading, second) as other:
            sharing = False
            while True:
                sharing = sharing or (other is not None and other.is_ready())
                if other is not None and sharing:
                    other.hand_over(bookmark)
                so_far = land_in_turn(connection, reading, mapper, batch, turn)
                progress(so_far.result.read)
                if not bookmark.has_more:
                    return so_far.result
                if other is not None and sharing:
                    other.commit_after(so_far)
                    bookmark, turn = other.bookmark(), other.turn
                    if not bookmark.has_more:
                        so_far = other.turn()
                        progress(so_far.result.read)
                        return so_far.result
                del batch
                gc.collect(0)
                batch, bookmark = source.resume(bookmark)
    finally:
        source.end(bookmark)


class _Other:
    """This worker's ends of two pipes to the other: one carries the cursor, the other the permission to commit."""

    def __init__(self, reading: Connection, committing: Connection) -> None:
        self._reading = reading
        self._committing = committing

    def is_ready(self) -> bool:
        """Whether the other has said that it is."""
        return self._reading.poll() and _received(self._reading) is not None

    def hand_over(self, bookmark: Bookmark) -> None:
        """Let the other read on from here."""
        _send(self._reading, bookmark)

    def bookmark(self) -> Bookmark:
        """The position of the other worker; waits for it."""
        return _received(self._reading)

    def commit_after(self, so_far: SoFar) -> None:
        """Let the other commit its batch, since the one before is committed."""
        _send(self._committing, so_far)

    def turn(self) -> SoFar:
        """Wait until the other has committed."""
        return _received(self._committing)

    def fail(self, error: Exception) -> None:
        """Send an error on both pipes, since the other may wait on either."""
        for pipe in (self._reading, self._committing):
            with suppress(OSError):
                pipe.send(error)

    def close(self) -> None:
        """Close both pipes: the next call of the other fails."""
        self._reading.close()
        self._committing.close()


def _received(pipe: Connection) -> Any:
    try:
        message = pipe.recv()
    except (EOFError, ConnectionError):
        raise WorkerLostError(
            "The process that shared a large read was ended from outside, perhaps because memory ran out. "
            "What it committed stays; the next run goes on from the watermark."
        ) from None
    if isinstance(message, Exception):
        raise message
    return message


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except ConnectionError:
        # If the other sent its error before it ended, raise that one.
        _received(pipe)


def _other_worker(reading: Reading, second: SecondWorker | None) -> AbstractContextManager[_Other | None]:
    if second is None:
        return nullcontext()
    return (_other_process if second.as_process else _other_thread)(reading, second)


@contextmanager
def _other_thread(reading: Reading, second: SecondWorker) -> Generator[_Other]:
    ours, theirs = zip(multiprocessing.Pipe(), multiprocessing.Pipe(), strict=True)
    thread = threading.Thread(target=_work, args=(reading, second, *theirs), daemon=True)
    thread.start()
    other = _Other(*ours)
    try:
        yield other
    finally:
        other.close()
        thread.join()


@contextmanager
def _other_process(reading: Reading, second: SecondWorker) -> Generator[_Other]:
    # Spawned, not forked: this process may have threads and open connections.
    context = multiprocessing.get_context("spawn")
    ours, theirs = zip(context.Pipe(), context.Pipe(), strict=True)
    process = context.Process(target=_work_as_process, args=(reading, second, *theirs), daemon=True)
    process.start()
    for pipe in theirs:
        pipe.close()
    other = _Other(*ours)
    try:
        yield other
    finally:
        other.close()
        process.join(_END_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()


def _work_as_process(reading: Reading, second: SecondWorker, *pipes: Connection) -> None:
    # Ctrl-C in a terminal reaches both processes. The first ends the work, and its closed pipes end the second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with load.collector_at_rest():
        _work(reading, second, *pipes)


def _work(reading: Reading, second: SecondWorker, reading_pipe: Connection, committing_pipe: Connection) -> None:
    """Run the second worker, on connections of its own."""
    first = _Other(reading_pipe, committing_pipe)
    tenant = reading.tenant
    try:
        with second.connect() as connection, open_source(second.open_database, tenant) as source:
            mapper = mapper_of(reading.collection, tenant, source)
            reading_pipe.send("ready")
            bookmark = first.bookmark()
            while bookmark.has_more:
                batch, bookmark = source.resume(bookmark)
                first.hand_over(bookmark)
                first.commit_after(land_in_turn(connection, reading, mapper, batch, first.turn))
                del batch
                gc.collect(0)
                if bookmark.has_more:
                    bookmark = first.bookmark()
    except WorkerLostError:
        # The first has closed the pipes: it is done, or raises its own error.
        pass
    except Exception as error:
        first.fail(error)
    finally:
        first.close()
