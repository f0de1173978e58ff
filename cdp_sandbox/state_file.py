"""The SQLite files in which stand-ins keep what has to survive the death of their process, SIGKILL included."""

import sqlite3
from pathlib import Path


def opened(file: Path, schema: str) -> sqlite3.Connection:
    """Open a file, which belongs to one process at a time, and make the tables that are not there.

    Args:
        file: made if there is none.
        schema: statements that create tables and indexes IF NOT EXISTS.

    Raises:
        sqlite3.OperationalError: another process has the file.
    """
    connection = sqlite3.connect(file, timeout=1, isolation_level=None, check_same_thread=False)
    # Two processes on one file would each believe what they hold in memory.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(schema)
    return connection
