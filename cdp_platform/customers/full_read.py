"""Reading every document of a collection, alone or together with a second worker.

There is one ordered cursor either way, and so one snapshot of the source: each document is in exactly one batch,
whatever its timestamp looks like and however it changes meanwhile. While no worker reads, the position of the cursor is
in a slot. A worker that is free takes it, reads the next batch, puts the new position back and lands the batch. So a
worker waits for the other's request to the source and for nothing else, and a slower worker takes fewer batches.

The second worker is a thread, which maps documents while PostgreSQL writes for the first. For a large read it is a
process, which takes a second of a core to start, and then maps at the same time as the first.

Batches are committed in any order. The second worker reports each of its batches after the commit, and the first moves
the watermark past batches that are all committed. If one of them fails, everything up to the watermark is there; the
next run reads again what is there beyond it.
"""

import gc
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import orjson
import psycopg

from cdp_platform.customers.landing import Reading, SoFar, SyncResult, land_and_move, move
from cdp_platform.customers.mappers import Mapper, mapper_of
from cdp_platform.customers.source import OpenDatabase, TenantSource, open_source
from cdp_platform.errors import WorkerLostError
from cdp_platform.ops import locks
from cdp_platform.ops.watermark import Watermark
from cdp_platform.resources.arango import Bookmark
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction

# How long a process may take to end after its pipe was closed.
_END_SECONDS = 10
# Longer than any place as JSON.
_PLACE_BYTES = 4096


@dataclass(frozen=True)
class SecondWorker:
    """The inputs of a second worker. It may be a process, so both functions can be pickled.

    Attributes:
        connect: opens its connection to the warehouse.
        open_database: opens its ArangoDB database.
        process_from: number of documents of a read from which it is a process; for fewer it is a thread.
    """

    connect: Callable[[], AbstractContextManager[psycopg.Connection]]
    open_database: OpenDatabase
    process_from: float = 60_000


def read_everything(
    connection: psycopg.Connection,
    source: TenantSource,
    reading: Reading,
    mapper: Mapper,
    *,
    so_far: SoFar,
    progress: Callable[[int], None],
    second: SecondWorker | None,
    as_process: bool,
) -> SyncResult:
    """Land every document of the collection; returns the run with them.

    Args:
        connection: outside any transaction.
        source: the tenant's database.
        reading: the reading that the batches belong to.
        mapper: of the collection.
        so_far: the run before this.
        progress: called after each batch of this worker with the number of documents that the run has read.
        second: takes batches too, as soon as it has started; None to read alone.
        as_process: whether the second is a process; else it is a thread.

    Raises:
        WorkerLostError: the second process was ended from outside.
    """
    batch, bookmark = source.begin(reading.collection)
    work = None if second is None else _Work(second, reading, connection.info.backend_pid)
    try:
        with _Slot() as slot, _reports_on(work, slot, as_process=as_process) as reports:
            landings = _Landings(so_far, reports)
            place = _Place(0, bookmark)
            while True:
                slot.put(place.after(bookmark))
                land_and_move(connection, reading, mapper, batch, partial(landings.add_own, place.number))
                progress(so_far.result.read)
                del batch
                gc.collect(0)
                place = landings.next_place(slot)
                if not place.bookmark.has_more:
                    break
                batch, bookmark = source.resume(place.bookmark)
            landings.wait_for(place.number)
    finally:
        source.end(bookmark)
    if second is not None and so_far.position is not None:
        # Past the last batches of the second worker.
        with tenant_transaction(connection, reading.tenant.tenant_id):
            move(connection, reading, mapper, so_far.position)
        progress(so_far.result.read)
    return so_far.result


@dataclass(frozen=True)
class _Place:
    """A position of the cursor.

    Attributes:
        number: of the batch that is read next, from 0.
        bookmark: where that batch begins.
    """

    number: int
    bookmark: Bookmark

    def after(self, bookmark: Bookmark) -> "_Place":
        """The position after that batch."""
        return _Place(self.number + 1, bookmark)


class _Slot:
    """Holds the position of the cursor while no worker reads. Both processes have it.

    A datagram is received whole and by one reader, so nothing has to be locked, and a process that is killed leaves
    nothing locked.

    Attributes:
        sender: the end into which the position is written.
        receiver: the other end, which is readable while the position is here.
    """

    def __init__(self, sockets: tuple[socket.socket, socket.socket] | None = None) -> None:
        self.sender, self.receiver = sockets or socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> "_Slot":
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()
        self.receiver.close()

    def put(self, place: _Place) -> None:
        """Let any worker read on from here."""
        self.sender.send(orjson.dumps(asdict(place)))

    def take(self) -> _Place | None:
        """The position, which only the caller has then; None if another worker has it."""
        try:
            found = orjson.loads(self.receiver.recv(_PLACE_BYTES, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return None
        return _Place(found["number"], Bookmark(**found["bookmark"]))


class _Landings:
    """The batches that are committed, as the first worker knows them."""

    def __init__(self, so_far: SoFar, reports: Connection | None) -> None:
        self._so_far = so_far
        self._reports = reports
        # The batches before this number are part of the run so far. Those after it are kept until it comes.
        self._number = 0
        self._early: dict[int, SoFar] = {}

    def add_own(self, number: int, batch: SoFar) -> Watermark | None:
        """Add a batch that the first worker is about to commit; returns the position of the watermark then."""
        while self._reports is not None and self._reports.poll():
            self._receive(self._reports)
        self._add(number, batch)
        return self._so_far.position

    def next_place(self, slot: _Slot) -> _Place:
        """Take the cursor; waits for it."""
        while True:
            if self._reports is not None and self._reports in wait([slot.receiver, self._reports]):
                self._receive(self._reports)
            elif place := slot.take():
                return place

    def wait_for(self, number: int) -> None:
        """Wait until all batches before this one are committed."""
        while self._number < number:
            assert self._reports is not None  # noqa: S101 (the second worker ends after its last report)
            self._receive(self._reports)

    def _receive(self, reports: Connection) -> None:
        try:
            report = reports.recv()
        except (EOFError, ConnectionError):
            raise WorkerLostError(
                "The process that shared a large read was ended from outside, perhaps because memory ran out. "
                "What it committed stays; the next run goes on from the watermark."
            ) from None
        if isinstance(report, Exception):
            raise report
        if report is None:
            self._reports = None
        else:
            self._add(*report)

    def _add(self, number: int, batch: SoFar) -> None:
        self._early[number] = batch
        while self._number in self._early:
            self._so_far.add(self._early.pop(self._number))
            self._number += 1


@dataclass(frozen=True)
class _Work:
    """The work of the second worker; can be pickled.

    Attributes:
        second: opens its connections.
        reading: the reading that it takes part in.
        first_pid: of the session that holds the lock of the sync.
    """

    second: SecondWorker
    reading: Reading
    first_pid: int


def _reports_on(work: _Work | None, slot: _Slot, *, as_process: bool) -> AbstractContextManager[Connection | None]:
    """Run the second worker; gives its reports: number and batch, or an error, or None when it has ended."""
    if work is None:
        return nullcontext()
    return (_reports_of_process if as_process else _reports_of_thread)(work, slot)


@contextmanager
def _reports_of_thread(work: _Work, slot: _Slot) -> Generator[Connection]:
    ours, theirs = Pipe()

    def work_on() -> None:
        # Whatever ends the thread, the first worker is told.
        with theirs:
            take_batches(work, slot, theirs)

    thread = threading.Thread(target=work_on, daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()


@contextmanager
def _reports_of_process(work: _Work, slot: _Slot) -> Generator[Connection]:
    ours, theirs = Pipe()
    # A new process, because this one may have threads and open connections. `multiprocessing` would import the main
    # module in it, which is Dagster.
    inherited = [slot.sender.fileno(), slot.receiver.fileno(), theirs.fileno()]
    command = [sys.executable, "-c", "from cdp_platform.customers import full_read; full_read.be_second()"]
    with ours, subprocess.Popen([*command, *map(str, inherited)], stdin=subprocess.PIPE, pass_fds=inherited) as process:
        theirs.close()
        try:
            assert process.stdin is not None  # noqa: S101 (it is a pipe)
            with suppress(BrokenPipeError), process.stdin as theirs_in:
                # What replaces a resource may be in a module that only this process was told to find.
                pickle.dump(sys.path, theirs_in)
                pickle.dump(work, theirs_in)
            yield ours
        finally:
            ours.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def be_second() -> None:
    """The main function of the second process. Its arguments are the file descriptors of the slot and the pipe."""
    # Ctrl-C in a terminal reaches both processes. The first ends the work, and its closed pipe ends the second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sender, receiver, pipe = map(int, sys.argv[1:])
    # Written by the first process.
    sys.path[:] = pickle.load(sys.stdin.buffer)  # noqa: S301
    work: _Work = pickle.load(sys.stdin.buffer)  # noqa: S301
    slot = _Slot((socket.socket(fileno=sender), socket.socket(fileno=receiver)))
    with slot, Connection(pipe) as first, load.collector_at_rest():
        take_batches(work, slot, first)


def take_batches(work: _Work, slot: _Slot, first: Connection) -> None:
    """Be the second worker, on connections of its own, until everything is read or the first worker has ended."""
    try:
        _take_batches(work, slot, first)
    except Exception as error:
        # The first worker may have ended.
        with suppress(OSError):
            first.send(error)


def _take_batches(work: _Work, slot: _Slot, first: Connection) -> None:
    reading = work.reading
    tenant, collection = reading.tenant, reading.collection
    landed: list[SoFar] = []
    with work.second.connect() as connection, open_source(work.second.open_database, tenant) as source:
        mapper = mapper_of(collection, tenant, source)

        def note(batch: SoFar) -> None:
            # Whoever has the lock after the first worker waits for this transaction before it reads anything.
            locks.share(connection, locks.second_worker(tenant.tenant_id, collection))
            if not locks.is_held(connection, locks.sync(tenant.tenant_id, collection), by=work.first_pid):
                raise WorkerLostError("The first worker of a large read has ended.")
            landed.append(batch)

        # The first worker sends nothing: its pipe is readable when it has ended.
        while first not in wait([slot.receiver, first]):
            place = slot.take()
            if place is None:
                continue
            if not place.bookmark.has_more:
                slot.put(place)
                break
            batch, bookmark = source.resume(place.bookmark)
            slot.put(place.after(bookmark))
            land_and_move(connection, reading, mapper, batch, note)
            first.send((place.number, landed.pop()))
            del batch
            gc.collect(0)
    first.send(None)
