"""The commands `tenant ...`, and the option `--tenant` of other commands."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import click

from cdp_platform import settings, tenant_settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.runs import dagster_instance
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect


def tenant_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--tenant`, or the tenant of DEFAULT_TENANT_ID."""

    def given(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
        if tenant_id := value or settings.platform().default_tenant_id:
            return tenant_id
        raise ConfigurationError("Which tenant? Name one with --tenant, or set DEFAULT_TENANT_ID.")

    return click.option(
        "--tenant", "tenant_id", metavar="ID", callback=given, help="Tenant; DEFAULT_TENANT_ID if not given."
    )(command)


def require_active(tenant: tenants.Tenant) -> None:
    """Refuse to work for a tenant that is retired."""
    if not tenant.active:
        raise ConfigurationError(
            f"Tenant {tenant.tenant_id} is retired; `cdp tenant add {tenant.tenant_id}` takes it back."
        )


@click.group()
def tenant() -> None:
    """Add, show and retire tenants."""


@tenant.command("add")
@click.argument("tenant_id", metavar="ID")
@click.option("--name", help="What people call it; the id if not given.")
@click.option("--database", help="Its ArangoDB database; ARANGO_DB if not given.")
@click.option("--no-database", is_flag=True, help="It has no ArangoDB database: its customers are not synced.")
@click.option("--phone-region", help="Region of phone numbers without country code; VN if not given.")
@click.option(
    "--shared-database/--own-database", default=None, help="Read only documents whose tenant_id is this tenant, or all."
)
@click.option("--time-zone", help="IANA name, such as Asia/Ho_Chi_Minh: where its days begin. UTC if not given.")
@click.option("--google-sheet-id", help="The spreadsheet of its worksheets; GOOGLE_SHEET_ID if not given.")
@click.option(
    "--full-ip/--masked-ip",
    "share_full_ip",
    default=None,
    help="What worksheets show of IP addresses; masked if unset.",
)
@click.option("--postal-address", help="The sender's, in the foot of each e-mail; none is approved without it.")
@click.option(
    "--trust-cdp-consent/--own-consent",
    default=None,
    help="Whether a 1 of the CDP counts as consent, which the CDP also sets by itself; no if unset.",
)
@click.option("--cap-messages", metavar="N", help="Most messages to a person in --cap-hours; 3 if not given.")
@click.option("--cap-hours", metavar="N", help="Length of that window, in hours; 24 if not given.")
@click.option(
    "--cap-channel",
    "cap_by_channel",
    metavar="CHANNEL=N",
    multiple=True,
    callback=lambda _context, _parameter, value: dict(map(_cap, value)) or None,
    help="Most messages through one channel, where that is less. Repeatable.",
)
@click.option("--quiet-from", metavar="HH:MM", help="Local time from which nothing is sent; 22:00 if not given.")
@click.option("--quiet-until", metavar="HH:MM", help="Local time until which nothing is sent; 07:00 if not given.")
@click.option("--holdout-share", metavar="SHARE", help="Share of people who get no message, 0 to 1; 0 if not given.")
@click.option("--enrichment-match-days", metavar="N", help="Days that an answer about a person holds; 90 if not given.")
@click.option("--enrichment-no-match-days", metavar="N", help="Days that it holds that nobody was found; 30.")
@click.option("--enrichment-credit-limit", metavar="N", help="Most credits of all its searches, or none.")
@click.option("--enrichment-daily-credits", metavar="N", help="Most credits per day; ENRICHMENT_DAILY_CREDITS if none.")
@click.option("--enrichment-daily-budget", metavar="N", help="Most that they cost; ENRICHMENT_DAILY_BUDGET if none.")
@json_option
def tenant_add(
    tenant_id: str, *, name: str | None, database: str | None, no_database: bool, as_json: bool, **given: Any
) -> None:
    """Register a tenant, change one, or take a retired one back.

    Options that are not given leave a known tenant's values as they are.
    """
    if database and no_database:
        raise click.UsageError("--database and --no-database say opposite things: choose one.")
    own = tenant_settings.checked(tenant_id, {option: value for option, value in given.items() if value is not None})
    with connect(settings.postgres()) as connection, partition_keeper() as keep_in_step:
        known = {each.tenant_id for each in tenants.registered(connection)}
        new = tenants.add(
            connection,
            tenant_id,
            name=name,
            arango_database=""
            if no_database
            else database or (None if tenant_id in known else settings.arango().db or None),
            settings=own,
        )
        added = tenants.get(connection, tenant_id)
        note = keep_in_step(tenants.registered(connection))
    if as_json:
        show_json({"added": new, "tenant": added, "note": note})
        return
    say(f"{'Added' if new else 'Changed'} tenant {tenant_id}.")
    if note:
        say(note)


def _cap(given: str) -> tuple[str, str]:
    channel, is_given, number = given.partition("=")
    if not is_given:
        raise click.BadParameter(f"{given!r} is not written as CHANNEL=N.")
    return channel, number


@tenant.command("list")
@json_option
def tenant_list(*, as_json: bool) -> None:
    """Show the tenants, active and retired."""
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
    if as_json:
        show_json(registered)
        return
    show(
        "Tenants",
        ["id", "name", "status", "ArangoDB database", "settings"],
        [
            (
                each.tenant_id,
                each.name,
                each.status,
                each.arango_database or "none",
                ", ".join(f"{setting}: {value}" for setting, value in each.stored_settings.items()) or "defaults",
            )
            for each in registered
        ],
        empty="No tenants yet: `cdp tenant add ID --database DB` makes one.",
    )


@tenant.command("retire")
@click.argument("tenant_id", metavar="ID")
@json_option
def tenant_retire(tenant_id: str, *, as_json: bool) -> None:
    """Stop requesting work for a tenant. Its rows stay; `cdp tenant add` takes it back."""
    with connect(settings.postgres()) as connection, partition_keeper() as keep_in_step:
        tenants.retire(connection, tenant_id)
        retired = tenants.get(connection, tenant_id)
        note = keep_in_step(tenants.registered(connection))
    if as_json:
        show_json({"tenant": retired, "note": note})
        return
    say(f"Retired tenant {tenant_id}. Its rows stay.")
    if note:
        say(note)


@contextmanager
def partition_keeper() -> Generator[Callable[[list[tenants.Tenant]], str]]:
    """A function that makes Dagster's partitions match the registered tenants. It returns a note for the user, or ''.

    Dagster's storage is opened first: if it cannot be used, nothing is changed in the warehouse either. If DAGSTER_HOME
    is not set, the sensor `tenant_registry` updates the partitions later.
    """
    if not os.environ.get("DAGSTER_HOME"):
        yield lambda _: "DAGSTER_HOME is not set: the sensor `tenant_registry` will update Dagster's partitions."
        return
    from cdp_platform.orchestration import partitions

    with dagster_instance() as instance:

        def keep_in_step(registered: list[tenants.Tenant]) -> str:
            partitions.keep_in_step(instance, registered)
            return ""

        yield keep_in_step
