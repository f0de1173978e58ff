"""Checks of the room: per tenant after each run, and of the provider's account once a day."""

import dagster as dg
import psycopg

from cdp_platform import settings
from cdp_platform.enrichment import payments, soundness
from cdp_platform.enrichment.defs.assets import enriched_contacts
from cdp_platform.enrichment.defs.resources import ApolloResource
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import some, tenant_check


@tenant_check(enriched_contacts, f"Every search is ready {soundness.LATE_MINUTES} minutes after it was paid.")
def paid_is_ready(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Warns of searches that are late, and is an error for those that failed."""
    late = soundness.late(connection, tenant.tenant_id)
    failed = any(each.status == "failed" for each in late)
    flaws = [f"{each.search_id} is {each.status}: {each.status_reason or 'no reason given'}" for each in late]
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        metadata={"late": len(late)},
        description=f"{some(flaws)}. `cdp enrichment status --tenant {tenant.tenant_id}` shows all." if late else None,
    )


@tenant_check(enriched_contacts, "The counts of each search are those of its contacts.")
def contacts_add_up(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Fails for counts that something else than the triggers changed."""
    wrong = soundness.miscounted(connection, tenant.tenant_id)
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={"searches": len(wrong)},
        description=f"Counts of these searches are not those of their contacts: {some(list(map(str, wrong)))}."
        if wrong
        else None,
    )


@tenant_check(enriched_contacts, "Of every call it is known whether it was charged, and no contact is held for one.")
def no_money_in_doubt(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Tells a person of calls whose answer was lost."""
    found = soundness.doubt(connection, tenant.tenant_id)
    return dg.AssetCheckResult(
        passed=not (found.calls or found.held),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"calls": found.calls, "credits": float(found.credits), "held": found.held},
        description=f"Of {found.calls:,} calls nobody knows whether they were charged, {found.credits:f} credits "
        f"at most, and {found.held:,} contacts are held. The provider's counter settles what it can; "
        f"`cdp enrichment report --tenant {tenant.tenant_id} --search ID` lists the rest for "
        "`cdp enrichment resolve`."
        if found.calls or found.held
        else None,
    )


@tenant_check(enriched_contacts, "No payment that does not fit its search waits to be given back.")
def payments_fit(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Tells a person of money that came and started nothing."""
    found = payments.open_refusals(connection, tenant.tenant_id)
    flaws = [f"{each.event_id}: {each.reason.rstrip('.')}" for each in found]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"refused": len(found)},
        description=f"{some(flaws)}. Look at the payment in the payment provider's list, and give the money back "
        "or correct the search."
        if found
        else None,
    )


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=enriched_contacts,
    description="The provider counted as many credits as the ledger has. Compared once a day, over all tenants.",
)
def ledger_matches_account(warehouse: WarehouseResource, apollo: ApolloResource) -> dg.AssetCheckResult:
    """Is an error for credits that nobody here asked for, and says why where nothing can be compared."""
    from cdp_platform.enrichment import account  # noqa: PLC0415 (imports the HTTP client, 0.2 s)
    from cdp_platform.resources.apollo import account_of  # noqa: PLC0415 (likewise)

    def result(*, passed: bool, description: str, **figures: float) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=passed,
            # Without the names Dagster reads them from its database.
            asset_key=enriched_contacts.key,
            check_name="ledger_matches_account",
            metadata=figures,
            description=description,
        )

    key = settings.enrichment().apollo_api_key.get_secret_value()
    if not key:
        return result(passed=True, description="Not compared: APOLLO_API_KEY is not set.")
    with warehouse.connect() as connection, apollo.open() as client:
        moved = account.compare(connection, account_of(key), client)
    if isinstance(moved, account.Silent):
        return result(passed=True, description=f"Not compared: {moved.reason}.")
    figures = {"counted": float(moved.counted), "known": float(moved.known), "unknown_calls": moved.unknown}
    if moved.is_explained:
        return result(passed=True, description=f"Since {moved.since:%Y-%m-%d %H:%M} UTC.", **figures)
    return result(
        passed=False,
        description=f"Since {moved.since:%Y-%m-%d %H:%M} UTC the provider counted {moved.counted:f} credits, and the "
        f"ledger has {moved.known:f}. Does somebody else use the key, or the account by hand?",
        **figures,
    )


CHECKS = [paid_is_ready, contacts_add_up, no_money_in_doubt, payments_fit, ledger_matches_account]
