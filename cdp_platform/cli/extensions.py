"""Commands of other distributions, and the object that `cdp` hands to them.

A distribution adds a command to `cdp` with an entry point of the group `cdp_platform.commands`. The entry point's name
is the command's name, and its value is a click command or group. click hands a `Platform` to it (`click.pass_obj`), so
that the distribution imports nothing of the platform. `cdp` shows a click.ClickException of such a command as it shows
its own errors: the message is one line and says what to do.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from cdp_platform import folder, settings, tenant_settings
from cdp_platform.cli.everything import Pay, run_everything
from cdp_platform.cli.printing import bars, error_console, say, show, show_json, show_notes
from cdp_platform.cli.tenants import partition_keeper
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect

GROUP = "cdp_platform.commands"

# Commands that the documentation names, and the distribution to install for each.
_DOCUMENTED = dict.fromkeys(("demo", "down", "sandbox", "up"), "cdp-sandbox")


class Commands(click.Group):
    """The commands of the platform and of other distributions. Those of others are looked up when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted({*super().list_commands(ctx), *_found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None if nothing installed has it.

        Raises:
            ConfigurationError: a distribution that is not installed has it.
        """
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        if (entry := _found().get(cmd_name)) is not None:
            show_notes(entry.module.partition(".")[0])
            return entry.load()
        if (distribution := _DOCUMENTED.get(cmd_name)) is not None:
            raise ConfigurationError(
                f"`cdp {cmd_name}` is a command of {distribution}: run `pip install {distribution}`."
            )
        return None


def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


class Platform:
    """Functions of the platform for commands of other distributions, which rely on these names and arguments."""

    def say(self, words: str, *, label: str = "", style: str = "") -> None:
        """Print a sentence on stdout, as `printing.say` does."""
        say(words, label=label, style=style)

    def show(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows as a table, or as records if the terminal is too narrow for a table."""
        show(title, columns, rows, empty="")

    def show_json(self, value: Any) -> None:
        """Print a value as JSON; it may hold dataclasses and moments."""
        show_json(value)

    def working(self, words: str) -> AbstractContextManager[Any]:
        """Show these words on a terminal while something is being done."""
        return error_console.status(words)

    def bars(self) -> AbstractContextManager[Callable[[str, str], Callable[[int, int | None], None]]]:
        """Progress bars, one for each (tenant, subject) that begins, which is then called with (done, total)."""
        return bars()

    def files(self, root: Path) -> dict[str, str]:
        """The files that `cdp init` writes into a folder: content by name."""
        return folder.contents(root)

    def migrate(self, environment: Mapping[str, str]) -> None:
        """Set these variables in the environment, and bring the warehouse that they name to this version's schema."""
        from cdp_platform.warehouse.migrate import migrate

        os.environ.update(environment)
        settings.forget()
        migrate(settings.postgres())

    def tenants(self) -> set[str]:
        """Ids of the registered tenants, retired ones too."""
        with connect(settings.postgres()) as connection:
            return {each.tenant_id for each in tenants.registered(connection)}

    def add_tenant(self, tenant_id: str, *, name: str, database: str, own_settings: Mapping[str, str]) -> None:
        """Register a tenant or change a known one, as `cdp tenant add` does, without its partition."""
        with connect(settings.postgres()) as connection:
            own = tenant_settings.checked(tenant_id, own_settings)
            tenants.add(connection, tenant_id, name=name, arango_database=database, settings=own)

    def keep_partitions_in_step(self) -> None:
        """Make Dagster's partitions match the registered tenants."""
        with connect(settings.postgres()) as connection:
            registered = tenants.registered(connection)
        with partition_keeper() as keep_in_step:
            keep_in_step(registered)

    def run_everything(
        self,
        tenant_ids: Collection[str],
        *,
        plans: Mapping[str, Path],
        leads: Mapping[str, Path],
        pay: Pay,
        may_fail: Collection[str],
        remarks: Mapping[str, str],
        as_json: bool,
    ) -> None:
        """Run every job once for these tenants and show the results; ends the command with 1 if one failed.

        Args:
            tenant_ids: registered tenants.
            plans: files of `cdp campaign apply`, by tenant.
            leads: files of `cdp enrichment import`, by tenant; each becomes a search that is paid, unless there is one.
            pay: makes the signed event of the payment of a search, for a tenant and its id.
            may_fail: names of checks that are expected to fail.
            remarks: a sentence to say after a job, by the job's name.
            as_json: print one JSON value at the end instead.
        """
        run_everything(
            tenant_ids, plans=plans, leads=leads, pay=pay, may_fail=may_fail, remarks=remarks, as_json=as_json
        )
