"""Killing a backup or a restore at each line of progress that it shows."""

import os
import signal
from collections.abc import Callable, Iterator

from cdp_platform.backup.tools import Tell


def killed_at_each(work: Callable[[Tell], object]) -> Iterator[str]:
    """Run the work in a process that ends by SIGKILL at its first line of progress, then at its second, and so on.

    Yields the line each time; ends when the work came to its end.
    """
    number = 0
    while True:
        number += 1
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _work(work, number, writer)
        os.close(writer)
        with os.fdopen(reader) as told:
            lines = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, lines
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield lines[-1]


def _work(work: Callable[[Tell], object], number: int, writer: int) -> None:
    told = 0

    def tell(line: str) -> None:
        nonlocal told
        told += 1
        os.write(writer, f"{line}\n".encode())
        if told == number:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        work(tell)
    except BaseException as error:
        os.write(writer, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)
