"""Commands that are in the middle of a run, for tests that kill them or let others come along."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, wait_for


def in_progress(checkout: Checkout) -> set[str]:
    """Runs of commands; the daemon has its own."""
    query = "SELECT run_id FROM runs JOIN run_tags USING (run_id) WHERE status = 'STARTED' AND key = 'cdp/command'"
    return {run for (run,) in checkout.dagster_rows(query)}


@contextmanager
def nobody_writes(checkout: Checkout, table: str) -> Generator[psycopg.Connection]:
    """Every run that comes to this table waits there."""
    with checkout.superuser(checkout.env["PGSQL_DB_NAME"]) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection


def begin(checkout: Checkout, *arguments: str, count: int = 1) -> list[subprocess.Popen[bytes]]:
    """Start a command so many times, and wait until the run of each is in progress."""
    before = in_progress(checkout)
    said = checkout.home / "commands.txt"
    with said.open("wb") as output:
        processes = [
            subprocess.Popen(
                [str(PROGRAMS / "cdp"), *arguments],
                cwd=checkout.root,
                env=checkout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for _ in range(count)
        ]
    wait_for(
        lambda: len(in_progress(checkout) - before) == count or any(each.poll() is not None for each in processes),
        300,
        "the runs of the commands",
    )
    assert all(process.poll() is None for process in processes), said.read_text()
    return processes


def kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def status(checkout: Checkout, run: str) -> str:
    return dict(checkout.dagster_rows("SELECT run_id, status FROM runs"))[run]


def launch(checkout: Checkout) -> None:
    """Put a run into the queue, as a person may."""
    job = ("dagster", "job", "launch", "-w", "workspace.yaml", "-j", "customers_staleness")
    done = checkout.run(*job, **checkout.env)
    assert done.code == 0, done.err
