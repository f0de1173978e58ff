"""`cdp` as it is typed, in this process."""

import json
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cdp_platform import cli
from cdp_platform.errors import PlatformError


def invoke(*arguments: str) -> Result:
    """What a command printed and how it ended, its exception among that."""
    return CliRunner().invoke(cli.cdp, arguments)


def says(*arguments: str, code: int = 0) -> str:
    """What a command prints that ends with this exit code, in one line."""
    done = invoke(*arguments)
    assert done.exit_code == code, (done.output, done.exception)
    return " ".join(done.output.split())


def answers(*arguments: str) -> Any:
    """What a command prints with --json, beside its lines of progress."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def refusal(*arguments: str) -> str:
    """The one line with which a command is refused."""
    error = invoke(*arguments).exception
    assert isinstance(error, PlatformError)
    assert "\n" not in str(error)
    return str(error)


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the whole program, which shows its errors itself."""
    monkeypatch.setattr(sys, "argv", ["cdp", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)
