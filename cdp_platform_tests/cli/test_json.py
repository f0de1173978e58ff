"""With --json every command answers with one JSON value on stdout, also when something is wrong."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform_tests.cli.commands import ARGUMENTS, LEAVES
from cdp_platform_tests.command_line import exit_code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without anything, in which the sandbox cannot start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SANDBOX_POSTGRES_PORT", "none")
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_every_command_is_listed():
    assert set(ARGUMENTS) == set(LEAVES)


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_json(command: str):
    assert "--json" in {option for parameter in LEAVES[command].params for option in parameter.opts}


@pytest.mark.parametrize("command", LEAVES)
def test_an_error_is_an_object_on_stdout_with_the_same_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    arguments = (*command.split(), *ARGUMENTS[command].split())
    if command == "init":
        # Nobody can write there, not even root.
        monkeypatch.chdir("/proc")
    plain = exit_code(monkeypatch, *arguments)
    said = capsys.readouterr()
    if command == "health":
        # It reports what is wrong, and that is no error of its own.
        assert plain == exit_code(monkeypatch, *arguments, "--json") == 1
        assert all(set(each) >= {"system", "state", "advice"} for each in json.loads(capsys.readouterr().out))
        return
    assert (plain, said.out) == (1, "")
    assert exit_code(monkeypatch, *arguments, "--json") == plain
    found = answer(capsys)
    assert set(found) == {"error", "kind", "advice"}
    assert found["kind"].endswith("Error")
    assert f"error: {found['error']}\n" == said.err
    assert found["advice"]
    assert found["advice"] in found["error"]
    # Wherever it stands behind the command.
    assert exit_code(monkeypatch, *command.split(), "--json", *ARGUMENTS[command].split()) == plain
    assert answer(capsys) == found


@pytest.mark.parametrize("command", LEAVES)
def test_a_wrong_use_is_an_object_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    assert exit_code(monkeypatch, *command.split(), "--no-such-option", "--json") == 2
    found = answer(capsys)
    assert found["kind"] == "UsageError"
    assert "--no-such-option" in found["error"]
    assert f"`cdp {command} --help`" in found["advice"]


@pytest.mark.parametrize("arguments", ["nothing --json", "sandbox nothing --json", "demo --scale huge --json"])
def test_a_command_that_does_not_exist_is_an_object_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str
):
    assert exit_code(monkeypatch, *arguments.split()) == 2
    assert answer(capsys)["kind"] == "UsageError"


def test_words_to_search_for_are_not_taken_for_the_option(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(monkeypatch, "search", "--tenant", "x", "--", "--json") == 1
    assert capsys.readouterr().out == ""


def test_an_error_that_was_not_foreseen_names_its_class_and_how_to_see_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken() -> None:
        raise KeyError("surprise")

    with monkeypatch.context() as patch:
        patch.setattr(settings, "postgres", broken)
        assert exit_code(patch, "status", "--json") == 1
    found = answer(capsys)
    assert found["kind"] == "KeyError"
    assert "surprise" in found["error"]
    assert "--debug" in found["advice"]


def test_the_version_is_that_of_the_installed_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"cdp_platform {version('cdp-platform')}\n"
