"""`cdp`: what operators and newcomers type.

A command prints a table (or with --json the same as JSON) and exits 0 only if all of it worked. An error is one line
that says what to do; --debug adds the stack trace. What a command does lives in the rooms and in `operations`.
"""

import os
import sys

import click
import psycopg
from dotenv import load_dotenv
from rich.console import Console
from rich.markup import escape

from cdp_platform.cli.catalog import catalog
from cdp_platform.cli.data import reconcile, sync, tenant
from cdp_platform.cli.embeddings import embeddings, search
from cdp_platform.cli.operate import health, migrate, status
from cdp_platform.cli.records import erase, rejected
from cdp_platform.cli.referrals import export_data
from cdp_platform.cli.sandbox import demo, down, sandbox, up
from cdp_platform.errors import PlatformError

_NOT_MIGRATED = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--debug", is_flag=True, expose_value=False, help="Show the stack trace of an error.")
def cdp() -> None:
    """A customer data platform on Dagster."""
    # Dagster's own configuration (dagster.yaml) reads the process environment and knows no .env.
    load_dotenv(".env")


for command in (
    *(demo, up, down, sandbox),
    *(migrate, tenant, sync, reconcile, erase, rejected, catalog, export_data, embeddings, search, status, health),
):
    cdp.add_command(command)


def main() -> None:
    """Entry point: runs the command and turns errors into one line and an exit code."""
    # Wherever it stands: people add it to the end of the line that has just failed.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        code = cdp(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # Whoever reads (`| head`) has seen enough; the flush at exit must not complain about it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if debug:
            raise
        Console(stderr=True).print(f"[red]error:[/] {escape(_one_line(error))}", highlight=False, soft_wrap=True)
        code = 1
    sys.exit(code or 0)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    if isinstance(error, PlatformError) and first:
        return first
    if isinstance(error, _NOT_MIGRATED):
        return f"The warehouse is not at this version's schema ({first}): run `cdp migrate`."
    # Nobody foresaw this one, so its own words may not be enough.
    return f"{type(error).__name__}: {first} (the same with --debug shows where)"
