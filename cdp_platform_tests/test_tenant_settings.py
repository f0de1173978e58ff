"""A tenant's settings belong to their rooms and are checked together."""

import importlib
from datetime import time
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

import cdp_platform
from cdp_platform import tenant_settings
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import RoomSettings, SharedSettings, Tenant
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform_tests.cli.commands import LEAVES
from cdp_platform_tests.command_line import refusal, says
from cdp_platform_tests.conftest import Warehouse


def test_all_that_is_wrong_is_said_at_once():
    given = {"phone_region": "XX", "time_zone": "Mars/Olympus", "share_full_ip": "perhaps", "colour": "red"}
    with pytest.raises(ConfigurationError) as caught:
        tenant_settings.checked("acme", given)
    for name in given:
        assert f"{name}: " in str(caught.value)


def test_no_room_and_no_setting_is_left_out():
    for path in Path(cdp_platform.__file__).parent.glob("*/tenant_settings.py"):
        importlib.import_module(f"cdp_platform.{path.parent.name}.tenant_settings")
    assert set(tenant_settings.MODELS) == set(RoomSettings.__subclasses__())
    names = [name for model in tenant_settings.MODELS for name in model.model_fields]
    assert len(names) == len(set(names))


def test_a_bad_setting_stops_only_its_own_room():
    tenant = Tenant("acme", "Acme", "active", "leo", {"phone_region": "XX", "google_sheet_id": "s1"})
    assert ReferralSettings.of(tenant).google_sheet_id == "s1"
    assert SharedSettings.of(tenant).time_zone == "UTC"
    with pytest.raises(ConfigurationError, match="Settings of tenant acme: phone_region"):
        CustomerSettings.of(tenant)


def test_every_setting_has_an_option_of_cdp_tenant_add():
    options = {parameter.name for parameter in LEAVES["tenant add"].params}
    assert {name for model in tenant_settings.MODELS for name in model.model_fields} - options == set()


def test_settings_of_campaigns_are_taken_as_they_are_typed(warehouse: Warehouse, app: psycopg.Connection):
    says(
        *("tenant", "add", "acme", "--no-database", "--postal-address", "1 Main Street", "--trust-cdp-consent"),
        *("--cap-messages", "2", "--cap-hours", "48", "--cap-channel", "sms=1", "--quiet-from", "21:30"),
        *("--quiet-until", "08:00", "--holdout-share", "0.1"),
    )
    assert CampaignSettings.of(tenants.get(app, "acme")) == CampaignSettings(
        trust_cdp_consent=True,
        cap_messages=2,
        cap_hours=48,
        cap_by_channel={"sms": 1},
        quiet_from=time(21, 30),
        quiet_until=time(8),
        holdout_share=0.1,
        postal_address="1 Main Street",
    )
    # What is not given stays.
    says("tenant", "add", "acme", "--cap-messages", "5")
    assert CampaignSettings.of(tenants.get(app, "acme")).cap_by_channel == {"sms": 1}
    assert "quiet_from" in refusal("tenant", "add", "acme", "--quiet-from", "noon")


def test_limits_of_enrichment_are_exact_and_can_be_lifted(warehouse: Warehouse, app: psycopg.Connection):
    says(
        *("tenant", "add", "acme", "--no-database", "--enrichment-match-days", "7"),
        *("--enrichment-credit-limit", "100.25", "--enrichment-daily-budget", "0.1"),
    )
    found = EnrichmentTenantSettings.of(tenants.get(app, "acme"))
    assert found == EnrichmentTenantSettings(
        enrichment_match_days=7, enrichment_credit_limit=Decimal("100.25"), enrichment_daily_budget=Decimal("0.1")
    )
    says("tenant", "add", "acme", "--enrichment-credit-limit", "none")
    assert EnrichmentTenantSettings.of(tenants.get(app, "acme")).enrichment_credit_limit is None
    assert "enrichment_daily_credits" in refusal("tenant", "add", "acme", "--enrichment-daily-credits", "-1")
