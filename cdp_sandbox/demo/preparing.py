"""Makes a sandbox ready for the demo: services, schema, tenants and their data.

This module has the steps and their order, and the rows that a person would insert into the warehouse for the tenants.
`fill.py` writes the documents in ArangoDB, `referrals.py` the events of referral links, `campaigns.py` the plans of
campaigns.
"""

from pathlib import Path

import psycopg

from cdp_sandbox.contract import Bars, Platform
from cdp_sandbox.databases import acting_for, warehouse
from cdp_sandbox.demo import campaigns
from cdp_sandbox.demo.fill import Progress, fill, reference_moment
from cdp_sandbox.demo.model import TENANTS, VALUED_AT, Scale
from cdp_sandbox.demo.referrals import fill_referrals
from cdp_sandbox.demo.spreadsheets import make_spreadsheets
from cdp_sandbox.lifecycle import Sandbox
from cdp_sandbox.processes import SandboxError


def prepare(platform: Platform, box: Sandbox, scale: Scale | None) -> None:
    """Start the sandbox, migrate the schema, register the demo tenants and fill their databases.

    Without a scale, registered demo tenants are not changed, not even retired ones.

    Raises:
        SandboxError: The environment points at other services, or a service fails.
    """
    with platform.working("Starting the sandbox"):
        box.start()
    if not box.env_points_here():
        raise SandboxError(
            "The environment or .env points at other services than this folder's sandbox, and the demo writes only to "
            "its own. Move .env away, or unset the PGSQL_, ARANGO_ and DAGSTER_ variables."
        )
    with platform.working("Migrating the warehouse"):
        platform.migrate(box.environment())
    if scale or not {each.id for each in TENANTS} <= platform.tenants():
        _fill(platform, box, scale or "default")
    platform.keep_partitions_in_step()


def _fill(platform: Platform, box: Sandbox, scale: Scale) -> None:
    """Write the demo tenants into the stand-in for ArangoDB, and register them."""
    env = box.environment()
    source = (env["ARANGO_HOST"], env["ARANGO_USER"], env["ARANGO_PASSWORD"])
    with platform.bars() as bars:
        fill(*source, scale=scale, progress=_shown(bars))
    make_spreadsheets(env["GOOGLE_SHEETS_URL"])
    for each in TENANTS:
        own = {name: each.settings[name] for name in ("phone_region", "time_zone")}
        own |= {"google_sheet_id": each.spreadsheet} | (campaigns.SETTINGS if each == campaigns.TENANT else {})
        platform.add_tenant(each.id, name=each.title, database=each.database, own_settings=own)
    with warehouse(env) as connection:
        _value_customers(connection)
        fill_referrals(connection, scale, reference_moment(*source))


def _shown(bars: Bars) -> Progress:
    """Show the progress of a fill: one bar for each collection of a tenant."""
    watchers = {}

    def watch(subject: str, done: int, total: int) -> None:
        if subject not in watchers:
            tenant_id, _, collection = subject.partition("/")
            watchers[subject] = bars(tenant_id, f"fill {collection}")
        watchers[subject](done, total)

    return watch


def _value_customers(connection: psycopg.Connection) -> None:
    for each in TENANTS:
        with acting_for(connection, each.id):
            connection.cursor().executemany(
                "INSERT INTO customers.tenant_metrics_config (tenant_id, currency, cac, clv_happy_threshold)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(each.id, currency, *amounts) for currency, amounts in VALUED_AT.items()],
            )


def plans(platform: Platform, box: Sandbox) -> dict[str, Path]:
    """The plans of campaigns, a YAML file by tenant; none where messages would not go to the sandbox's outbox.

    The demo's customers are invented, and yet their phone numbers may belong to somebody.
    """
    name = "channels.yaml"
    own = box.root / name
    if not own.exists() or own.read_text() != platform.files(box.root).get(name):
        return {}
    return {campaigns.TENANT.id: campaigns.write_plans(box.state_dir / "demo")}
