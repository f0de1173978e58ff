"""Documents in a folder of this machine, and nowhere outside of it."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from time import time_ns

from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Validators, compared, shown_reference, too_large

# File systems have coarse clocks: in this time after a write, a file can be written again with the same timestamp.
_SETTLED_NANOSECONDS = 2_000_000_000
_HERE = ("", ".")


class LocalSource:
    """Files below a folder. Symbolic links are followed if they stay in the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, base: str, reference: str) -> str:
        """See `Source.resolve`. Paths have slashes, and stay below the root."""
        path = PurePosixPath(reference)
        if "://" in reference:
            raise UnreadableError(
                f"{shown_reference(reference)} is an address, and this ingestor reads files. Give a path as feed_path."
            )
        if path.is_absolute() or ".." in path.parts or "\0" in reference or not path.parts:
            raise UnreadableError(
                f"{shown_reference(reference)} leads out of the folder. Give a path below the ingestor's root."
            )
        return str(PurePosixPath(base).parent / path)

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        """See `Source.read`."""
        path = self.resolve("", path)
        known = known or Validators()
        now = time_ns()
        with self._opened(path) as descriptor:
            before = os.fstat(descriptor)
            stamps = _stamps(before, now)
            if _same_stamps(stamps, known):
                return NotModified(known)
            if before.st_size > max_bytes:
                raise too_large(path, max_bytes)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                content = file.read(max_bytes + 1)
            after = os.fstat(descriptor)
        if len(content) > max_bytes:
            raise too_large(path, max_bytes)
        if (after.st_size, after.st_mtime_ns) != (len(content), before.st_mtime_ns):
            raise UnreadableError(f"{path} was written while it was read. Try again later.", transient=True)
        return compared(content, stamps, known, path)

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        """See `Source.probe`. The file is unchanged if it has the known time and size, or else the known digest."""
        if known is None:
            return True
        with self._opened(self.resolve("", path)) as descriptor:
            size = os.fstat(descriptor).st_size
        return size != known.size or isinstance(self.read(path, max_bytes=max_bytes, known=known), Fetched)

    @contextmanager
    def _opened(self, path: str) -> Generator[int]:
        """A regular file, opened folder by folder from the root, so that no link can be put in between."""
        try:
            root = self._root.resolve(strict=True)
            target = (root / path).resolve(strict=True)
            if not target.is_relative_to(root):
                raise UnreadableError(
                    f"{path} is a link out of the folder. Put the file itself below the ingestor's root."
                )
            *folders, name = target.relative_to(root).parts or (".",)
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            for folder in folders:
                descriptor = _next(descriptor, folder, os.O_DIRECTORY)
            # Without O_NONBLOCK, opening a FIFO would wait for a writer.
            descriptor = _next(descriptor, name, os.O_NONBLOCK | os.O_NOCTTY)
        except RuntimeError as error:
            # Up to Python 3.12 pathlib raises this for a loop of links.
            raise UnreadableError(f"{path} is a link that leads to itself. Correct it.") from error
        except OSError as error:
            raise UnreadableError(f"{path} cannot be read: {_reason(error)}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableError(f"{path} is not a file. Give the path of one.")
            yield descriptor
        finally:
            os.close(descriptor)


def _next(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=folder)
    finally:
        os.close(folder)


def _stamps(status: os.stat_result, now: int) -> Validators:
    settled = now - status.st_mtime_ns > _SETTLED_NANOSECONDS
    return Validators(None, str(status.st_mtime_ns) if settled else None, status.st_size)


def _same_stamps(stamps: Validators, known: Validators) -> bool:
    return stamps.last_modified is not None and (stamps.last_modified, stamps.size) == (known.last_modified, known.size)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file. Correct the path, or the ingestor's root."
    if isinstance(error, PermissionError):
        return "its permissions do not allow it. Let the platform's user read it."
    return f"{error.strerror}. Check the path and the ingestor's root."
