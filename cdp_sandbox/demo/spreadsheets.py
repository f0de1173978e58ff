"""The spreadsheets of the demo's tenants, in the stand-in for Google Sheets."""

import httpx2

from cdp_sandbox.demo.model import TENANTS


def make_spreadsheets(base_url: str) -> None:
    """Make those that are missing, empty and shared with everybody; what is in the others stays.

    Args:
        base_url: Of the stand-in.
    """
    for tenant in TENANTS:
        if tenant.spreadsheet:
            made = {"title": f"{tenant.name}: referrals", "shared_with": "everybody"}
            httpx2.put(f"{base_url}/_spreadsheets/{tenant.spreadsheet}", json=made).raise_for_status()
