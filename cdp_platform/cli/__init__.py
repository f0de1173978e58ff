"""`cdp`: what operators and newcomers type.

A command prints a table (or with --json the same as JSON) and exits 0 only if all of it worked. An error is one line
that says what to do; --debug adds the stack trace. What a command does lives in the rooms and in `operations`.
"""

import sys

import click
import psycopg
from dotenv import load_dotenv
from rich.console import Console
from rich.markup import escape

from cdp_platform.cli.data import rejected, sync, tenant
from cdp_platform.cli.operate import health, migrate, status
from cdp_platform.cli.sandbox import demo, down, sandbox, up
from cdp_platform.errors import PlatformError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
def cdp(*, debug: bool) -> None:
    """A customer data platform on Dagster."""
    # Dagster's own configuration (dagster.yaml) reads the process environment and knows no .env.
    load_dotenv(".env")


for command in (demo, up, down, sandbox, migrate, tenant, sync, rejected, status, health):
    cdp.add_command(command)


def main() -> None:
    """Entry point: runs the command and turns errors into one line and an exit code."""
    debug = "--debug" in sys.argv
    try:
        code = cdp(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except (PlatformError, psycopg.Error) as error:
        if debug:
            raise
        lines = str(error).strip().splitlines()
        Console(stderr=True).print(
            f"[red]error:[/] {escape(lines[0] if lines else type(error).__name__)}", soft_wrap=True
        )
        code = 1
    sys.exit(code or 0)
