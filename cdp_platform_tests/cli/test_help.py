"""The help of every group of commands fits a terminal of 80 columns."""

import click
import pytest
from click.testing import CliRunner

from cdp_platform.cli import cdp
from cdp_platform_tests.cli.commands import leaves

GROUPS = sorted({"", *(path.rpartition(" ")[0] for path, _ in leaves())})


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_of_a_group_is_told_in_one_whole_line(group: str):
    done = CliRunner().invoke(cdp, [*group.split(), "--help"], terminal_width=80, max_content_width=80)
    assert done.exit_code == 0
    commands = click.unstyle(done.output).partition("Commands:")[2]
    assert commands
    assert "..." not in commands
    assert max(map(len, done.output.splitlines())) <= 80
