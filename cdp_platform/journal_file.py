"""A file outside the warehouse that keeps what no restored backup may take back, one line of JSON per entry.

`campaigns.journal` keeps opt-outs in one, `customers.erasure_journal` erasures in another.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JournalFile:
    """The file; several processes may write to it at once."""

    path: Path

    def append(self, lines: bytes) -> None:
        """Write whole lines, and return when they are on the disk.

        Raises:
            OSError: they are not.
        """
        if not lines:
            return
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Where a machine went down in the middle of a line, that line ends here.
            size = os.fstat(descriptor).st_size
            cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" + lines if cut else lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def lines(self) -> list[bytes]:
        """All lines, the oldest first; none where there is no file."""
        return [line for line in self.path.read_bytes().split(b"\n") if line] if self.path.exists() else []
