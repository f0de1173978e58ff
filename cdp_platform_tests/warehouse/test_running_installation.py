"""What the migration from revision 0016 makes of an installation at work: nothing is paid or written twice.

Each mechanism has a function that writes what the version of 0016 had at that moment, and tests of what became of it.
"""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from cdp_platform.errors import PacedError
from cdp_platform.ops.gate import MINUTE, Gate
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, postgres_settings

ACCOUNT = "google-sheets cdp@project.iam.gserviceaccount.com"


def turns_taken(superuser: psycopg.Connection) -> None:
    """All but one of the writes of a minute are taken; reads were asked to rest."""
    superuser.execute(
        "SELECT ops.take_turn(%s, 60) FROM generate_series(1, 59)",
        [f"{ACCOUNT} writes"],
    )
    superuser.execute("SELECT ops.take_turn(%s, 60), ops.rest(%s, 300)", [f"{ACCOUNT} reads", f"{ACCOUNT} reads"])


CONTENT: tuple[Callable[[psycopg.Connection], None], ...] = (turns_taken,)


@pytest.fixture(scope="module")
def migrated(server: Server) -> Iterator[psycopg.Connection]:
    """The platform's own connection to the warehouse after the migration."""
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0016")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        for write in CONTENT:
            write(superuser)
    migrate(settings)
    with connect(settings) as connection:
        yield connection


def test_turns_that_were_taken_count_for_the_gate(migrated: psycopg.Connection) -> None:
    gate = Gate(migrated, f"{ACCOUNT} writes", {MINUTE: 60})
    gate.take(wait_seconds=0)
    with pytest.raises(PacedError) as raised:
        gate.take(wait_seconds=0)
    assert 0 < raised.value.retry_after_seconds <= 61


def test_a_rest_that_was_asked_for_goes_on(migrated: psycopg.Connection) -> None:
    gate = Gate(migrated, f"{ACCOUNT} reads", {MINUTE: 60})
    closed = gate.closed()
    assert closed is not None
    assert 200 < closed.seconds <= 300
    with pytest.raises(PacedError):
        gate.take(wait_seconds=10)
