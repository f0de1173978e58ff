"""The commands `segment ...`: which segments there are, and whom one has."""

import click

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.tenants import tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction


@click.group()
def segment() -> None:
    """Show segments, and whom they have."""


@segment.command("list")
@tenant_option
@json_option
def segment_list(tenant_id: str, *, as_json: bool) -> None:
    """Show segments, and what is wrong with each."""
    from cdp_platform.campaigns import segments

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            found = segments.listed(connection, tenant_id)
    if as_json:
        show_json(
            [
                {
                    "segment_id": each.segment_id,
                    "version": each.version,
                    "name": each.name,
                    "kind": each.kind,
                    "seed_segment_id": each.seed_segment_id,
                    "origin": each.origin,
                    "problem": each.problem,
                    "retired": each.retired,
                }
                for each in found
            ]
        )
        return
    show(
        f"Segments of {tenant_id}",
        ["segment", "name", "kind", "from", "version"],
        [(each.segment_id, each.name, each.kind, each.origin, each.version) for each in found if not each.retired],
        empty=f"{tenant_id} has no segment yet: `cdp sync --tenant {tenant_id}` reads those of the CDP.",
    )
    for each in found:
        if each.problem and not each.retired:
            say(f"{each.segment_id}: {each.problem}", label="note:", style="yellow")


@segment.command("preview")
@tenant_option
@click.option("--segment", "segment_id", metavar="ID", required=True, help="The segment.")
@json_option
def segment_preview(tenant_id: str, *, segment_id: str, as_json: bool) -> None:
    """Show what a segment means, and how many people it has.

    That is its SQL with placeholders, and ten of its people, masked.
    """
    from cdp_platform.campaigns import segments

    with connect(settings.postgres()) as connection:
        found = segments.preview(connection, tenants.get(connection, tenant_id), segment_id)
    if as_json:
        show_json(found)
        return
    say(found.sql)
    say(f"{found.count:,} open profiles; the planner estimates a cost of {found.cost:,.0f}.")
    show("Some of them", ["masked"], [(member,) for member in found.members], empty="")
