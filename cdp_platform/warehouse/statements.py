"""SQL longer than two lines, in files beside the code that runs it."""

from functools import cache
from pathlib import Path

from psycopg import sql

_ROOMS = Path(__file__).parent.parent


@cache
def statement(room: str, name: str) -> sql.SQL:
    """The statement in ``sql/NAME.sql`` of a package of the platform; each file is read once."""
    return sql.SQL((_ROOMS / room / "sql" / f"{name}.sql").read_text())  # ty: ignore[invalid-argument-type]
