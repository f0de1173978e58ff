"""CPU seconds of a benchmark and of its PostgreSQL server, for both sides of a comparison that wall time would blur."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class CpuSeconds:
    """User and system time, in seconds.

    Attributes:
        client: of this process and all that it started, those that ended included.
        server: of the server and all its backends, those that ended included.
    """

    client: float
    server: float

    def __sub__(self, earlier: "CpuSeconds") -> "CpuSeconds":
        return CpuSeconds(self.client - earlier.client, self.server - earlier.server)


def cpu_seconds(postmaster: psutil.Process) -> CpuSeconds:
    """Measure what both sides have used so far. The difference of two calls is what a contestant used.

    Exact while neither side starts or ends a process during a call, and ended ones were waited for by who started them.

    Args:
        postmaster: the server's first process (`BenchmarkDatabase.postmaster`), also where this process started it.
    """
    server = {postmaster, *postmaster.children(recursive=True)}
    ours = psutil.Process()
    return CpuSeconds(used_by({ours, *ours.children(recursive=True)} - server), used_by(server))


def used_by(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds of these processes, and of their children that ended."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
