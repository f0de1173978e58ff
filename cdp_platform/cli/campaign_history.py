"""The commands `campaign plan` and `campaign import`: what events will do, and what they did elsewhere."""

import click

from cdp_platform import settings
from cdp_platform.cli.campaigns import campaign
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect


@campaign.command("plan")
@tenant_option
@click.option("--days", type=click.IntRange(1, 60), default=7, show_default=True, help="How far it looks.")
@json_option
def campaign_plan(tenant_id: str, *, days: int, as_json: bool) -> None:
    """Forecast what the events of the coming days will do.

    That is who gets nothing and why, and when the last message goes.

    Exit code 1 if an event cannot be sent as it is, or not before its end.
    """
    from cdp_platform.campaigns import forecast
    from cdp_platform.campaigns.channels.config import configured

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        found = forecast.plan(connection, tenant, configured(), days=days)
    if as_json:
        show_json(found)
    else:
        show(
            f"The coming {days} days of {tenant_id}",
            ["event", "begins (UTC)", "people", "messages", "nobody else because", "last (UTC)"],
            [
                (
                    *(each.event.event_id, f"{each.begins_at:%Y-%m-%d %H:%M}", each.people, each.sent),
                    ", ".join(f"{reason} {people:,}" for reason, people in (each.by_reason or {}).items() if people),
                    f"{each.last_at:%Y-%m-%d %H:%M}" if each.last_at else None,
                )
                for each in found
            ],
            empty=f"No event of {tenant_id} begins in this time.",
        )
        for each in found:
            for earlier, people in (each.capped_by or {}).items():
                say(f"{each.event.event_id}: {people:,} of those who are capped got a message of {earlier}.")
            if each.problem:
                say(f"{each.event.event_id}: {each.problem}", label="error:", style="red")
            elif not each.in_time:
                say(f"{each.event.event_id}: not everybody can get it before its end.", label="warn", style="yellow")
    if not all(each.in_time for each in found):
        raise click.exceptions.Exit(1)


@campaign.command("import")
@tenant_option
@click.option("--source-tenant", metavar="UUID", help="Their tenant_id, if there are several.")
@json_option
def campaign_import(tenant_id: str, *, source_tenant: str | None, as_json: bool) -> None:
    """Take the history of the LEO workers. It is never sent.

    It is in the database of LEO_ACTIVATION_DATABASE_URL.
    """
    from cdp_platform.campaigns import leo_activation
    from cdp_platform.campaigns.channels.config import configured

    url = settings.leo_activation().leo_activation_database_url.get_secret_value()
    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        require_active(tenant)
        found = leo_activation.take(connection, tenant, url, configured(), source_tenant=source_tenant)
    if as_json:
        show_json(
            {
                "read": found.read,
                "written": found.written,
                "left_out": _by_table(found.left_out),
                "remarks": _by_table(found.remarks),
            }
        )
        return
    show(
        f"Imported into {tenant_id}",
        ["table", "there", "new here"],
        [(table, number, found.written.get(table, 0)) for table, number in found.read.items()],
        empty="There is nothing to import.",
    )
    for (name, why), number in found.left_out.items():
        say(f"{name}: {number:,} rows were left out: {why}", label="warn", style="yellow")
    for (name, what), number in found.remarks.items():
        say(f"{name}: {number:,} rows: {what}")


def _by_table(found: dict[tuple[str, str], int]) -> list[dict[str, object]]:
    return [{"table": table, "what": what, "rows": rows} for (table, what), rows in found.items()]
