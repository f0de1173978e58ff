"""SQL that is longer than a line or two, in files beside the code that runs it."""

from functools import cache
from pathlib import Path

from psycopg import sql

_ROOMS = Path(__file__).parent.parent


@cache
def statement(room: str, name: str) -> sql.SQL:
    """What a file of the room's folder ``sql`` has, read once; ``name`` is without its ending."""
    return sql.SQL((_ROOMS / room / "sql" / f"{name}.sql").read_text())  # ty: ignore[invalid-argument-type]
