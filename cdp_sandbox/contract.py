"""What the sandbox's commands need of the platform.

`cdp` finds the commands by their entry points (`pyproject.toml`) and hands them an object of this kind as click's
`obj`. Beside this object, the sandbox knows the environment variables and the tables of the platform.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

Bars = Callable[[str, str], Callable[[int, int | None], None]]
"""Begins a progress bar for a tenant and a subject. What it returns is told how much is done, and of how much."""

Pay = Callable[[str, str], tuple[Mapping[str, str], bytes]]
"""Makes the event of a payment of 2.99 US dollars, for a tenant and the id of a search: headers and body."""


class Platform(Protocol):
    """The platform, as far as the commands of the sandbox use it."""

    def say(self, words: str, *, label: str = "", style: str = "") -> None:
        """Print a sentence on stdout, with a coloured label in front where there is one."""
        ...

    def show(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows as a table."""
        ...

    def show_json(self, value: Any) -> None:
        """Print a value as JSON; it may hold dataclasses and moments."""
        ...

    def working(self, words: str) -> AbstractContextManager[Any]:
        """Show on a terminal that this is being done."""
        ...

    def bars(self) -> AbstractContextManager[Bars]:
        """Show progress bars on a terminal."""
        ...

    def files(self, root: Path) -> dict[str, str]:
        """The files that `cdp init` writes into a folder: content by name."""
        ...

    def migrate(self, environment: Mapping[str, str]) -> None:
        """Set these variables in the environment, and bring the warehouse that they name to its schema."""
        ...

    def tenants(self) -> set[str]:
        """Ids of the registered tenants, retired ones too."""
        ...

    def add_tenant(self, tenant_id: str, *, name: str, database: str, own_settings: Mapping[str, str]) -> None:
        """Register a tenant, or change a known one. `database` is the one in ArangoDB."""
        ...

    def keep_partitions_in_step(self) -> None:
        """Give each registered tenant its partition in Dagster."""
        ...

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
        """Run every job once for these tenants and show the outcomes; ends the command with 1 if one failed.

        Args:
            tenant_ids: Registered tenants.
            plans: Files with plans of campaigns, by tenant. What is due of them is sent.
            leads: Files with contacts, by tenant. Each becomes a search that is paid, unless the tenant has one.
            pay: Makes the payment of a search.
            may_fail: Names of checks whose failure is expected.
            remarks: A sentence to say after a job, by the job's name.
            as_json: Print one JSON value at the end instead.
        """
        ...
