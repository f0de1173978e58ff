"""A backup is whole or named as none, shows one moment, and says of itself nothing that is secret."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdp_platform import settings
from cdp_platform.backup import manifest
from cdp_platform.backup.make import make
from cdp_platform.backup.tools import Tell
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import watermark
from cdp_platform.ops.watermark import Watermark
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.backup.steps import killed_at_each
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.command_line import answers, refusal, says
from cdp_platform_tests.conftest import PASSWORD, Server, Warehouse
from cdp_sandbox.postgres import BINARIES

ROLE = "weak_backup"
PG_DUMP = BINARIES / "pg_dump"


@pytest.fixture
def weak_role(server: Server, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A role for backups that is right at first; returns what changes it."""
    with server.superuser() as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN BYPASSRLS PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data")
    monkeypatch.setenv("PGSQL_BACKUP_USER", ROLE)
    settings.forget()

    def change(statement: str) -> None:
        with warehouse.superuser() as administrator:
            administrator.execute(statement.encode())

    yield change
    change(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def programs(folder: Path, pg_dump: str) -> Path:
    """A folder of PostgreSQL's programs in which pg_dump is this script."""
    folder.mkdir()
    (folder / "pg_restore").symlink_to(BINARIES / "pg_restore")
    script = folder / "pg_dump"
    script.write_text(f"#!/bin/sh\n{pg_dump}\n")
    script.chmod(0o755)
    return folder


def test_nobody_else_may_read_it_and_the_manifest_has_no_secret_and_no_person(acme: Sender, tmp_path: Path):
    made = answers("backup", "--to", str(tmp_path / "backup"))
    files = [each for each in (tmp_path / "backup").rglob("*") if each.is_file()]
    assert len(files) > made["tables"]
    assert {each.stat().st_mode & 0o077 for each in [*files, tmp_path / "backup", tmp_path / "backup/warehouse"]} == {0}
    text = (tmp_path / "backup/manifest.json").read_text()
    assert PASSWORD not in text
    assert "p0001" not in text
    assert json.loads(text)["warehouse"]["tables"]["customers.cdp_profiles"]["acme"]["rows"] == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (f"ALTER ROLE {ROLE} NOBYPASSRLS", f"it sees no rows (ALTER ROLE {ROLE} BYPASSRLS)"),
        (f"ALTER ROLE {ROLE} SUPERUSER", f"it is a superuser (ALTER ROLE {ROLE} NOSUPERUSER)"),
        (f"REVOKE pg_read_all_data FROM {ROLE}", f"it may not read all tables (GRANT pg_read_all_data TO {ROLE})"),
        (f"GRANT DELETE ON ops.tenant TO {ROLE}", "it may write ops.tenant"),
    ],
)
def test_a_role_that_sees_less_or_may_do_more_is_refused(
    acme: Sender, weak_role: Callable[[str], None], tmp_path: Path, change: str, words: str
):
    assert answers("backup", "--to", str(tmp_path / "right"))["rows"] > 0
    weak_role(change)
    assert words in refusal("backup", "--to", str(tmp_path / "backup"))


def test_a_role_that_is_not_there_is_made_by_an_administrator(acme: Sender, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PGSQL_BACKUP_USER", "nobody_yet")
    settings.forget()
    assert "CREATE ROLE nobody_yet LOGIN BYPASSRLS PASSWORD '...' IN ROLE pg_read_all_data" in refusal(
        "backup", "--to", str(tmp_path / "backup")
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'pg_dump (PostgreSQL) 17.2'", "is of PostgreSQL 17.2, and the server is of 18. Install those of"),
        (
            f'exec {PG_DUMP} "$@" $(test "$1" = --version || echo --exclude-table-data=customers.cdp_profiles)',
            "is not what the database has: 1 tables differ, such as customers.cdp_profiles with 23 rows in the",
        ),
        (
            f'test "$1" = --version && exec {PG_DUMP} --version; echo "pg_dump: error: no space left" >&2; exit 1',
            "pg_dump of PostgreSQL 18.4 ended with an error: pg_dump: error: no space left.",
        ),
    ],
    ids=["older", "rows left out", "error"],
)
def test_the_wrong_programs_make_no_backup(acme: Sender, tmp_path: Path, monkeypatch, script: str, words: str):
    monkeypatch.setenv("PGSQL_BIN", str(programs(tmp_path / "bin", script)))
    settings.forget()
    assert words in refusal("backup", "--to", str(tmp_path / "backup"))
    with pytest.raises(ConfigurationError, match=r"was cut off|is no backup"):
        manifest.read(tmp_path / "backup")


def test_without_programs_it_says_what_to_install(acme: Sender, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PGSQL_BIN", str(tmp_path))
    settings.forget()
    assert "postgresql-client-18" in refusal("backup", "--to", str(tmp_path / "backup"))


def test_a_folder_that_has_something_is_left_alone(acme: Sender, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty" in refusal("backup", "--to", str(tmp_path))
    assert [each.name for each in tmp_path.iterdir() if each.name == "notes.txt"]


def test_a_backup_during_writes_shows_one_moment(
    acme: Sender, warehouse: Warehouse, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    """Each transaction writes 5 people and moves the watermark by 5: the two are never apart."""
    written, stop = itertools.count(5, 5), threading.Event()

    def write() -> None:
        with connect(warehouse.settings) as connection:
            sender = Sender(connection, acme.tenant)
            while not stop.is_set():
                number = next(written)
                with tenant_transaction(connection, "acme"):
                    sender.people(5, prefix=f"w{number}-", consent=None)
                    watermark.write(connection, "acme", "w", Watermark(str(number), ""), database="")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        answers("backup", "--to", str(tmp_path / "backup"))
    finally:
        stop.set()
        writer.join()
    assert next(written) > 20
    restored = new_warehouse()
    answers("restore", "--from", str(tmp_path / "backup"))
    with connect(restored.settings) as connection:
        back = Sender(connection, acme.tenant)
        (people,) = back.rows("SELECT count(*) FROM customers.cdp_profiles WHERE profile_id ~ '^w'")[0]
        assert back.rows("SELECT coalesce(max(stamp), '0') FROM ops.sync_watermark") == [(str(people),)]


def test_a_backup_that_was_killed_anywhere_is_named_as_cut_off(acme: Sender, warehouse: Warehouse, tmp_path: Path):
    numbers = itertools.count()
    folder = tmp_path

    def work(tell: Tell) -> None:
        make(warehouse.settings, folder, dagster=None, tell=tell)

    folder = tmp_path / "0"
    killed = []
    for line in killed_at_each(work):
        killed.append(line)
        refused = refusal("restore", "--from", str(folder))
        assert "was cut off" in refused or "is no backup" in refused
        folder = tmp_path / str(next(numbers) + 1)
    assert len(killed) >= 3
    assert manifest.read(folder).warehouse.tables


def test_a_flipped_bit_and_a_lost_file_are_found_before_anything_is_restored(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    answers("backup", "--to", str(tmp_path / "backup"))
    restored = new_warehouse()
    file = max((tmp_path / "backup/warehouse").glob("*.dat.gz"), key=lambda each: each.stat().st_size)
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    assert f"{file} has changed since the backup" in refusal("restore", "--from", str(tmp_path / "backup"))
    file.unlink()
    assert f"{file} is missing" in refusal("restore", "--from", str(tmp_path / "backup"))
    file.write_bytes(whole)
    assert "Restored" in says("restore", "--from", str(tmp_path / "backup"))
    assert restored.settings.db_name
