"""Commands of whoever runs the platform: `migrate`, `status`, `health`."""

from datetime import UTC, datetime

import click
from rich.markup import escape

from cdp_platform import settings
from cdp_platform.cli.printing import console, duration, json_option, show, show_json


@click.command()
def migrate() -> None:
    """Bring the warehouse to the schema of this version. Does nothing where it is there already."""
    from cdp_platform.warehouse.migrate import migrate as run

    done = run(settings.postgres())
    if done.before == done.after:
        console.print(f"The warehouse is at {done.after}, the newest revision. Nothing to do.")
    else:
        console.print(f"Migrated the warehouse from {done.before or 'empty'} to {done.after}.")


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show how far each tenant's data has come.

    Last success, lag behind the source and rejected documents. Exit code 1 if a source cannot be asked.
    """
    from cdp_platform.operations.status import read

    found = read()
    if as_json:
        show_json(found)
    else:
        show(
            "Tenants",
            ["tenant", "source", "last success", "read until", "lag", "in source", "rejected"],
            [
                (
                    s.tenant_id,
                    s.source,
                    f"{duration(datetime.now(UTC) - s.last_success_at)} ago" if s.last_success_at else "never",
                    s.read_until,
                    duration(s.lag),
                    s.source_count,
                    s.rejected,
                )
                for s in found
            ],
            empty="No active tenants: `cdp tenant add` makes one.",
        )
        for problem in dict.fromkeys(s.problem for s in found if s.problem):
            console.print(f"[red]error:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if any(s.problem for s in found):
        raise click.exceptions.Exit(1)


@click.command()
@json_option
def health(*, as_json: bool) -> None:
    """Look at every outside system: what is wrong, and what to do.

    Exit code 1 if one does not answer or cannot be used.
    """
    from cdp_platform.operations.health import examine

    findings = examine()
    if as_json:
        show_json(findings)
    else:
        show(
            "Outside systems",
            ["system", "state", "version", "ms", "what to do"],
            [(f.system, f.state, f.version, f.latency_ms, f.advice) for f in findings],
            empty="",
        )
    if any(f.state == "error" for f in findings):
        raise click.exceptions.Exit(1)
