"""Reading a whole collection, alone or shared by two.

One ordered cursor is read either way. With two workers, whoever has read a batch hands the cursor over before mapping
and writing it, so that both work while the source is read in order; and commits only when the other has committed the
batch before. So the watermark moves just as with one, in the transaction of the rows that it covers, and whatever
happens to either, everything up to the watermark is there.

The second worker is a thread, which maps while PostgreSQL writes for the first, or a process, which takes a second to
start and then maps at the same time.
"""

import gc
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import psycopg

from cdp_platform import settings
from cdp_platform.customers.landing import Reading, SoFar, SyncResult, land_in_turn
from cdp_platform.customers.mappers import Mapper, mapper_of
from cdp_platform.customers.source import TenantSource
from cdp_platform.errors import WorkerLostError
from cdp_platform.resources.arango import Bookmark, open_database
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import connect

_PATIENCE_SECONDS = 10


def read_alone(
    connection: psycopg.Connection,
    source: TenantSource,
    reading: Reading,
    mapper: Mapper,
    *,
    so_far: SoFar,
    progress: Callable[[int], None],
) -> SyncResult:
    """Land every document of the collection; returns the run with them."""
    batch, bookmark = source.begin(reading.collection)
    try:
        while True:
            land_in_turn(connection, reading, mapper, batch, lambda: so_far)
            progress(so_far.result.read)
            if not bookmark.has_more:
                return so_far.result
            del batch
            gc.collect(0)
            batch, bookmark = source.resume(bookmark)
    finally:
        source.end(bookmark)


def read_with_another(
    connection: psycopg.Connection,
    source: TenantSource,
    reading: Reading,
    mapper: Mapper,
    *,
    so_far: SoFar,
    progress: Callable[[int], None],
    as_process: bool,
) -> SyncResult:
    """As `read_alone`, with a second worker that takes every other batch as soon as it is ready.

    Raises:
        WorkerLostError: the second process was ended from outside.
    """
    batch, bookmark = source.begin(reading.collection)
    try:
        with (_another_process if as_process else _another_thread)(reading) as other:
            while not other.is_ready():
                land_in_turn(connection, reading, mapper, batch, lambda: so_far)
                progress(so_far.result.read)
                if not bookmark.has_more:
                    return so_far.result
                del batch
                gc.collect(0)
                batch, bookmark = source.resume(bookmark)
            turn: Callable[[], SoFar] = lambda: so_far  # noqa: E731 (the first turn is ours, the next are received)
            while True:
                other.hand_over(bookmark)
                so_far = land_in_turn(connection, reading, mapper, batch, turn)
                turn = other.turn
                progress(so_far.result.read)
                if not bookmark.has_more:
                    return so_far.result
                other.commit_after(so_far)
                bookmark = other.bookmark()
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
    """One's end of the two lines to the other worker: on one goes the cursor, on the other the turn to commit."""

    def __init__(self, reading: Connection, committing: Connection) -> None:
        self._reading = reading
        self._committing = committing

    def is_ready(self) -> bool:
        """Whether the other has said that it is."""
        return self._reading.poll() and _received(self._reading) is not None

    def hand_over(self, bookmark: Bookmark) -> None:
        """Let the other read on from here."""
        _sent(self._reading, bookmark)

    def bookmark(self) -> Bookmark:
        """Where the other has read to; waits for it."""
        return _received(self._reading)

    def commit_after(self, so_far: SoFar) -> None:
        """Let the other commit its batch, since the one before is committed."""
        _sent(self._committing, so_far)

    def turn(self) -> SoFar:
        """Wait until the other has committed."""
        return _received(self._committing)

    def fail(self, error: Exception) -> None:
        """Tell the other, wherever it waits, that nothing more will come."""
        for line in (self._reading, self._committing):
            with suppress(OSError):
                line.send(error)

    def close(self) -> None:
        """Hang up: the other's next word fails."""
        self._reading.close()
        self._committing.close()


def _received(line: Connection) -> Any:
    try:
        word = line.recv()
    except (EOFError, ConnectionError):
        raise WorkerLostError(
            "The process that shared a large read was ended from outside, perhaps for want of memory. "
            "What it committed stays; the next run goes on from the watermark."
        ) from None
    if isinstance(word, Exception):
        raise word
    return word


def _sent(line: Connection, word: Any) -> None:
    try:
        line.send(word)
    except ConnectionError:
        # Its last word, if it had time for one, says more than that it is gone.
        _received(line)


@contextmanager
def _another_thread(reading: Reading) -> Generator[_Other]:
    ours, theirs = zip(multiprocessing.Pipe(), multiprocessing.Pipe(), strict=True)
    thread = threading.Thread(target=_share, args=(reading, *theirs), daemon=True)
    thread.start()
    other = _Other(*ours)
    try:
        yield other
    finally:
        other.close()
        thread.join()


@contextmanager
def _another_process(reading: Reading) -> Generator[_Other]:
    # Spawned, not forked: this process may have threads and open connections.
    context = multiprocessing.get_context("spawn")
    ours, theirs = zip(context.Pipe(), context.Pipe(), strict=True)
    process = context.Process(target=_share_as_process, args=(reading, *theirs), daemon=True)
    process.start()
    for line in theirs:
        line.close()
    other = _Other(*ours)
    try:
        yield other
    finally:
        other.close()
        process.join(_PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()


def _share_as_process(reading: Reading, reading_line: Connection, committing_line: Connection) -> None:
    # Ctrl-C in a terminal reaches both; the first ends the work, and hanging up ends the second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with load.collector_at_rest():
        _share(reading, reading_line, committing_line)


def _share(reading: Reading, reading_line: Connection, committing_line: Connection) -> None:
    """What the second worker does, on connections of its own, as the environment says."""
    first = _Other(reading_line, committing_line)
    tenant = reading.tenant
    try:
        with (
            connect(settings.postgres()) as connection,
            open_database(settings.arango(), tenant.arango_database) as database,
        ):
            source = TenantSource(database, tenant)
            mapper = mapper_of(reading.collection, tenant, source)
            reading_line.send("ready")
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
        # The first has hung up: it is done, or its own error tells.
        pass
    except Exception as error:
        first.fail(error)
    finally:
        first.close()
