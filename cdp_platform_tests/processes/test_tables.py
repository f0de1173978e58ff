"""Every command, run once on the demo: its tables are whole at any width, and with --json it prints one JSON value."""

import importlib
import json
import os
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cdp_platform import cli, settings
from cdp_platform.cli import printing
from cdp_platform_tests.cli.commands import ARGUMENTS, LEAVES, NOT_IN_PROCESS
from cdp_platform_tests.cli.rendering import WIDTHS, rendered, require_whole
from cdp_platform_tests.command_line import exit_code
from cdp_platform_tests.processes.conftest import Checkout

Shown = list[tuple[str, Sequence[str], Sequence[Sequence[Any]]]]

# After these the demo is not as it was.
_CHANGING = {"tenant retire", "embeddings model add", "embeddings model activate", "embeddings model retire"}
# These show a table of the demo; the others a sentence.
_WITH_TABLES = {
    *("status", "health", "sandbox status", "tenant list", "sync", "reconcile", "erase", "rejected list"),
    *("rejected replay", "export-data", "search", "embeddings update", "embeddings status", "embeddings model status"),
}


@pytest.fixture
def here(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    monkeypatch.chdir(checkout.root)
    for name, value in checkout.env.items():
        monkeypatch.setenv(name, value)
    settings.forget()
    yield checkout
    settings.forget()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The tables that commands show, as they hand them over to be printed."""
    found: Shown = []

    def note(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
        if rows:
            found.append((title, columns, rows))
        printing.show(title, columns, rows, empty=empty)

    for module in pkgutil.iter_modules(cli.__path__, "cdp_platform.cli."):
        loaded = importlib.import_module(module.name)
        if module.name != printing.__name__ and hasattr(loaded, "show"):
            monkeypatch.setattr(loaded, "show", note)
    return found


@pytest.mark.parametrize("command", sorted(set(LEAVES) - NOT_IN_PROCESS - _CHANGING - {"catalog report", "init"}))
def test_the_tables_of_each_command_are_whole_at_any_width_and_json_is_one_value(
    here: Checkout,
    shown: Shown,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
):
    arguments = (*command.split(), *ARGUMENTS[command].split())
    code = exit_code(monkeypatch, *arguments)
    said = capsys.readouterr()
    if command in _WITH_TABLES:
        assert shown, said
    for title, columns, rows in shown:
        for width in (*WIDTHS, 1_000_000):
            require_whole(rendered(monkeypatch, width, title, columns, rows), width, columns, rows)
    assert exit_code(monkeypatch, *arguments, "--json") == code
    assert json.loads(capsys.readouterr().out) is not None


def test_the_demo_at_eighty_columns_shows_its_figures_whole(here: Checkout):
    done = here.cdp("demo", "--scale", "small", COLUMNS="80")
    assert done.code == 0, done.err
    figures = here.query("cdnow", "SELECT count(*) FROM customers.transactions")
    assert f"{figures[0][0]:,}" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines() if "http" not in line)
    (best,) = here.query(
        "saigon",
        """
        SELECT concat_ws(' ', first_name, last_name) FROM customers.cdp_profiles JOIN customers.customer_value
        USING (tenant_id, profile_id) WHERE orders > 0 AND currency = 'VND'
        ORDER BY expected_spend_365d DESC NULLS LAST, spend DESC, profile_id LIMIT 1
        """,
    )
    assert best[0] in done.out


def test_an_empty_variable_of_the_shell_counts_as_not_set(here: Checkout):
    emptied = dict.fromkeys(here.env, "")
    for arguments in (("tenant", "list"), ("tenant", "add", "saigon"), ("sandbox", "status"), ("status",)):
        done = here.cdp(*arguments, **emptied)
        assert (done.code, done.err) == (0, ""), arguments
    assert os.environ["PGSQL_DB_HOST"] == here.env["PGSQL_DB_HOST"]


def test_a_wrong_setting_is_named_once_and_not_called_missing(here: Checkout):
    done = here.cdp("embeddings", "update", "--tenant", "saigon", EMBED_BATCH_SIZE="0")
    said = done.out + done.err
    assert done.code == 1
    assert said.count("EMBED_BATCH_SIZE") == 1
    assert "not complete" not in said
    assert "EMBED_BATCH_SIZE is wrong: Input should be greater than or equal to 1. Correct that" in said
    assert "ConfigurationError" not in said


def test_a_failed_tenant_add_adds_nothing_and_does_not_say_so(here: Checkout):
    for command in (("add", "late", "--database", "cdnow"), ("retire", "saigon")):
        done = here.cdp("tenant", *command, DAGSTER_PG_PORT="1")
        assert "Dagster's own PostgreSQL at 127.0.0.1:1/dagster is not reachable" in done.error()
    listed = {each["tenant_id"]: each["status"] for each in here.cdp("tenant", "list", "--json").json()}
    assert "late" not in listed
    assert listed["saigon"] == "active"
