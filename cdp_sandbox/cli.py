"""Commands of `cdp` on the embedded services: `sandbox`, `demo`, `up`, `down`."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cdp_sandbox.apollo import PATH as APOLLO_PATH
from cdp_sandbox.contract import Platform
from cdp_sandbox.outbox import PATH as OUTBOX_PATH
from cdp_sandbox.payments import TYPES as PAYMENT_KINDS
from cdp_sandbox.processes import SandboxError

if TYPE_CHECKING:
    from cdp_sandbox.demo.model import Scale
    from cdp_sandbox.lifecycle import Sandbox

SCALES = ["small", "default", "large", "full"]

# The demo breaks some documents on purpose. They are a large share of its few documents, so this check fails.
_MAY_FAIL = {"rejected_share"}
_REMARKS = {"customers_sync": "The rejected documents are broken on purpose, to show what happens to them."}

_NEXT = """\
What to type next
  make up                          the Dagster UI and the web app, with schedules and sensors on
  .venv/bin/cdp status             how far each tenant's data has come
  .venv/bin/cdp rejected list      the broken documents of the demo
  .venv/bin/cdp sync --tenant harbour --full
  .venv/bin/cdp search "likes to travel" --tenant saigon --kind profile
  .venv/bin/cdp catalog report --ingestor saigon-shops
  .venv/bin/cdp export-data --tenant saigon --dry-run
  .venv/bin/cdp campaign report --tenant saigon --event coffee-is-back
  .venv/bin/cdp enrichment status --tenant saigon
  make down                        stop everything"""

_NO_CAMPAIGNS = (
    "No campaign was sent: channels.yaml is missing or no longer as `cdp init` wrote it, and messages to the demo's "
    "customers must not leave this machine."
)

json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def _here(platform: Platform) -> "Sandbox":
    from cdp_sandbox.lifecycle import Sandbox

    return Sandbox(Path.cwd(), platform.files(Path.cwd()))


@click.group()
def sandbox() -> None:
    """The embedded PostgreSQL and stand-ins for other systems.

    Everything they store is in .sandbox/ of the current folder.
    """


@sandbox.command("start")
@json_option
@click.pass_obj
def sandbox_start(platform: Platform, *, as_json: bool) -> None:
    """Start the sandbox, or the parts of it that do not run.

    Writes a .env that points at the sandbox, if there is none.
    """
    box = _here(platform)
    addresses = box.start()
    used = box.env_points_here()
    if as_json:
        known = {"postgres": addresses.postgres, "stand_ins": addresses.services, "smtp": addresses.smtp}
        platform.show_json({**known, "used_by_commands": used})
        return
    platform.say(
        f"PostgreSQL  {addresses.postgres}\nStand-ins   {addresses.services}\n"
        f"Outbox      {addresses.services}{OUTBOX_PATH}, SMTP at {addresses.smtp}\n"
        f"Apollo      {addresses.services}{APOLLO_PATH}"
    )
    if not used:
        platform.say(
            ".env points elsewhere and was not changed: commands do not use the sandbox.",
            label="warn",
            style="yellow",
        )


@sandbox.command("stop")
@json_option
@click.pass_obj
def sandbox_stop(platform: Platform, *, as_json: bool) -> None:
    """Stop the sandbox. Its data is kept."""
    _here(platform).stop()
    _confirm(platform, "Stopped. Its data is kept: `cdp sandbox start` goes on with it.", "stopped", as_json=as_json)


@sandbox.command("status")
@json_option
@click.pass_obj
def sandbox_status(platform: Platform, *, as_json: bool) -> None:
    """Show the parts of the sandbox and their addresses.

    Exit code 1 if one does not run.
    """
    found = _here(platform).status()
    if as_json:
        platform.show_json(found)
    else:
        platform.show(
            "Sandbox",
            ["part", "running", "address", "pid", "since", "problem"],
            [(c.name, c.running, c.address, str(c.pid or "-"), c.since, c.problem) for c in found],
        )
    if not all(c.running for c in found):
        raise click.exceptions.Exit(1)


@sandbox.command("reset")
@json_option
@click.pass_obj
def sandbox_reset(platform: Platform, *, as_json: bool) -> None:
    """Stop the sandbox, and delete its data and its .env."""
    _here(platform).reset()
    _confirm(platform, "The sandbox is deleted. `cdp sandbox start` makes a new one.", "deleted", as_json=as_json)


@sandbox.command("pay")
@click.option("--tenant", required=True, help="The tenant whose address the event is posted to.")
@click.option("--search", required=True, help="The search that is paid for.")
@click.option(
    "--event",
    "kind",
    type=click.Choice(PAYMENT_KINDS),
    default="paid",
    show_default=True,
    help="What has happened. One that is unpaid at first is settled or failed later.",
)
@click.option("--amount", type=int, default=299, show_default=True, help="In the smallest unit: 299 is $2.99.")
@click.option("--currency", default="usd", show_default=True, help="ISO 4217 code.")
@click.option("--refunded", type=int, help="How much of the amount is given back. Default: all.")
@click.option("--event-id", default="", help="Id of the event, to send one again. Default: another one each time.")
@click.option("--names-tenant", help="The tenant that the event names, if it is to be a wrong one.")
@click.option(
    "--wrong",
    type=click.Choice(["secret", "clock", "byte"]),
    help="Sign with another secret, or an hour ago, or change a byte after signing.",
)
@json_option
@click.pass_obj
def sandbox_pay(
    platform: Platform,
    tenant: str,
    search: str,
    kind: str,
    *,
    wrong: str | None,
    names_tenant: str | None,
    as_json: bool,
    **about: Any,
) -> None:
    """Tell the web app of a payment, as the payment provider does.

    Signs an event with the first of PAYMENT_SECRETS and posts it to the web app of this folder, on this machine. Exit
    code 1 if the web app refuses it.
    """
    import httpx2

    from cdp_sandbox import payments

    box = _here(platform)
    secret = (os.environ.get("PAYMENT_SECRETS") or box.environment()["PAYMENT_SECRETS"]).partition(",")[0].strip()
    event = payments.event(kind, tenant=names_tenant or tenant, search=search, **about)
    at = time.time() - (3600 if wrong == "clock" else 0)
    headers, body = payments.signed(event, "whsec_another" if wrong == "secret" else secret, at)
    if wrong == "byte":
        body = body.replace(b'"created": 1', b'"created": 2')
    try:
        answer = payments.deliver(box.web_url, tenant, headers, body)
    except httpx2.HTTPError as error:
        raise SandboxError(f"The web app at {box.web_url} does not answer: `cdp up` starts it.") from error
    if as_json:
        platform.show_json({"event": event["id"], "type": event["type"], "status": answer.status_code})
    else:
        platform.say(f"{event['type']} {event['id']}: the web app answered {answer.status_code}. {answer.text}".strip())
    if not answer.is_success:
        raise click.exceptions.Exit(1)


def _confirm(platform: Platform, words: str, state: str, *, as_json: bool) -> None:
    if as_json:
        platform.show_json({"state": state})
    else:
        platform.say(words)


def _payment(box: "Sandbox", tenant: str, search: str) -> tuple[dict[str, str], bytes]:
    from cdp_sandbox import payments

    secret = box.environment()["PAYMENT_SECRETS"].partition(",")[0].strip()
    return payments.signed(payments.event(payments.PAID, tenant=tenant, search=search), secret)


@click.command()
@click.option("--scale", type=click.Choice(SCALES), default="default", show_default=True, help="How much demo data.")
@json_option
@click.pass_obj
def demo(platform: Platform, scale: "Scale", *, as_json: bool) -> None:
    """Run everything once, on embedded services with demo data.

    Starts the sandbox, fills it with demo tenants, materializes all assets and shows the result. A second run
    changes nothing.
    """
    box = _here(platform)
    from cdp_sandbox.demo import leads
    from cdp_sandbox.demo.model import TENANTS
    from cdp_sandbox.demo.preparing import plans, prepare

    prepare(platform, box, scale)
    tenant_ids, planned = {each.id for each in TENANTS}, plans(platform, box)
    platform.run_everything(
        tenant_ids,
        plans=planned,
        leads={leads.TENANT.id: leads.write_leads(box.state_dir / "demo")},
        pay=partial(_payment, box),
        may_fail=_MAY_FAIL,
        remarks=_REMARKS,
        as_json=as_json,
    )
    if as_json:
        return
    if planned:
        platform.say(f"What people got of them is in the outbox: {box.services_url}{OUTBOX_PATH}\n")
    else:
        platform.say(_NO_CAMPAIGNS, label="note:", style="yellow")
    platform.say(_NEXT)


@click.command()
@click.option(
    "--scale", type=click.Choice(SCALES), help="Write this much demo data. Default: keep the data that is there."
)
@json_option
@click.pass_obj
def up(platform: Platform, scale: "Scale | None", *, as_json: bool) -> None:
    """Serve the Dagster UI and the web app, all schedules on.

    Sensors are on too. Runs until Ctrl-C. Starts the sandbox, and fills it with demo tenants if it has none.
    """
    box = _here(platform)
    if not (box.root / "workspace.yaml").exists():
        raise SandboxError("This folder has no workspace.yaml: run `cdp init`, which writes it.")
    from cdp_sandbox.demo.preparing import prepare
    from cdp_sandbox.serve import serve

    serve(platform, box, lambda: prepare(platform, box, scale), as_json=as_json)


@click.command()
@json_option
@click.pass_obj
def down(platform: Platform, *, as_json: bool) -> None:
    """Stop what `cdp up` serves, and the sandbox."""
    from cdp_sandbox.serve import stop_serving

    box = _here(platform)
    stop_serving(box)
    box.stop()
    _confirm(
        platform,
        "Everything is stopped. The data is kept; `cdp sandbox reset` deletes it.",
        "stopped",
        as_json=as_json,
    )
