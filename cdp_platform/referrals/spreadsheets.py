"""Determines the spreadsheet of each tenant."""

from collections.abc import Iterable

from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals.tenant_settings import ReferralSettings

NONE = "it has no spreadsheet: `cdp tenant add {} --google-sheet-id ID`, or GOOGLE_SHEET_ID for a single tenant"


def asked_for(tenant: Tenant, default: str) -> str:
    """The spreadsheet that a tenant names, or the default, or ''. The tenant's settings are not validated."""
    return tenant.stored_settings.get("google_sheet_id") or default


def spreadsheet_of(tenant: Tenant, everybody: Iterable[Tenant], default: str) -> str | None:
    """The id of the tenant's spreadsheet: its own, or the default; None without either.

    Args:
        tenant: the owner of the worksheets.
        everybody: all registered tenants.
        default: ``GOOGLE_SHEET_ID``.

    Raises:
        ConfigurationError: another active tenant's worksheets would be in the same spreadsheet, under the same names.
    """
    mine = ReferralSettings.of(tenant).google_sheet_id or default
    if not mine:
        return None
    # Without validation: another tenant's bad settings must not stop this one.
    others = [
        other.tenant_id
        for other in everybody
        if other.active and other.tenant_id != tenant.tenant_id and asked_for(other, default) == mine
    ]
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise ConfigurationError(
            f"Tenants {tenant.tenant_id} and {shown} would write the same worksheets of spreadsheet {mine}. Give each "
            "tenant its own: `cdp tenant add ID --google-sheet-id SPREADSHEET`."
        )
    return mine
