"""How statements are planned that take the few rows of a batch, however many people there are."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import sql

_NOT_FOR_FEW_ROWS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")


@contextmanager
def planned(connection: psycopg.Connection) -> Generator[None]:
    """Have statements planned once, for the few rows of a batch, by indexes.

    Planned anew for each batch they took most of its time, and a planner that does not know how few rows it gets reads
    whole tables.
    """
    connection.execute("SELECT campaigns.gather_statistics()")
    plans = dict.fromkeys(_NOT_FOR_FEW_ROWS, "off") | {"plan_cache_mode": "force_generic_plan"}
    for name, value in plans.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        if not connection.closed:
            for name in plans:
                connection.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))
