"""`cdp`: what operators and newcomers type.

A command prints a table (or with --json the same as JSON) and exits 0 only if all of it worked. An error is one line
that says what to do, with --json an object on stdout; --debug adds the stack trace. The code of what a command does is
in the rooms and in `health`. Other distributions add commands through `extensions`.
"""

import os
import signal
import sys
from types import FrameType

import click
import psycopg

from cdp_platform import settings

# They add commands to the groups `campaign` and `enrichment`.
from cdp_platform.cli import campaign_events, campaign_history, campaign_why, enrichment_runs  # noqa: F401
from cdp_platform.cli.alerts import alerts
from cdp_platform.cli.backup import backup, restore
from cdp_platform.cli.campaigns import campaign
from cdp_platform.cli.catalog import catalog
from cdp_platform.cli.consent import consent
from cdp_platform.cli.customers import reconcile, sync
from cdp_platform.cli.embeddings import embeddings, search
from cdp_platform.cli.enrichment import enrichment
from cdp_platform.cli.extensions import Commands, Platform
from cdp_platform.cli.operate import health, init, migrate, retention, status
from cdp_platform.cli.printing import error_console, say, show_json, show_notes
from cdp_platform.cli.records import erase, rejected
from cdp_platform.cli.referrals import export_data
from cdp_platform.cli.segments import segment
from cdp_platform.cli.serve import serve
from cdp_platform.cli.tenants import tenant
from cdp_platform.cli.value import value
from cdp_platform.cli.workers import runs, worker
from cdp_platform.errors import NotMigratedError, PlatformError
from cdp_platform.warehouse.connection import act_as

_NOT_MIGRATED = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="cdp-platform", message="cdp_platform %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the stack trace of an error.")
@click.pass_context
def cdp(context: click.Context) -> None:
    """A customer data platform on Dagster."""
    act_as(f"cdp {context.invoked_subcommand}")
    context.obj = Platform()
    # Dagster's own configuration (dagster.yaml) reads the process environment and does not read .env.
    os.environ.update(settings.environment())


for command in (
    init,
    migrate,
    tenant,
    sync,
    reconcile,
    erase,
    rejected,
    catalog,
    export_data,
    campaign,
    segment,
    consent,
    enrichment,
    embeddings,
    search,
    value,
    status,
    health,
    alerts,
    runs,
    retention,
    backup,
    restore,
    serve,
    worker,
):
    cdp.add_command(command)


def main() -> None:
    """Entry point: runs the command and turns errors into one line and an exit code."""
    show_notes("cdp_platform")
    # These signals act like Ctrl-C: a run ends as canceled, and nobody has to find out later that its process is gone.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    # --debug may stand anywhere: people add it to the end of the line that has just failed.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    # --json is looked for here, because an error may come up before click has read the option.
    as_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        code = cdp(arguments, prog_name="cdp", standalone_mode=False)
    except click.UsageError as error:
        if as_json:
            usage = error.ctx.command_path if error.ctx else "cdp"
            _show_error(error.format_message(), "UsageError", f"`{usage} --help` shows how it is used.")
        else:
            error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if as_json:
            _show_error("Interrupted.", "Interrupted", "")
        code = 130
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe. Without this, the flush at exit would fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if debug:
            raise
        known = _known(error)
        line = str(known).strip().splitlines()[0]
        if as_json:
            _show_error(line, type(error if type(known) is PlatformError else known).__name__, known.advice)
        else:
            say(line, label="error:", style="red", to=error_console)
        code = 1
    sys.exit(code or 0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show_error(message: str, kind: str, advice: str) -> None:
    show_json({"error": message, "kind": kind, "advice": advice})


def _known(error: Exception) -> PlatformError:
    """The error as one that says what to do in its first line."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    if isinstance(error, PlatformError) and first:
        return error
    if isinstance(error, _NOT_MIGRATED):
        return NotMigratedError(f"The warehouse is not at this version's schema ({first}): run `cdp migrate`.")
    if isinstance(error, click.ClickException):
        return PlatformError(error.format_message())
    # The error was not foreseen, so its message alone may not be enough.
    return PlatformError(
        f"{type(error).__name__}: {first.rstrip('.')}. The same command with --debug shows where it happened."
    )
