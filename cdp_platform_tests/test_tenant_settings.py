"""A tenant's settings belong to their rooms and are checked together."""

import importlib
from pathlib import Path

import pytest

import cdp_platform
from cdp_platform import tenant_settings
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.tenants import RoomSettings, SharedSettings, Tenant
from cdp_platform.referrals.tenant_settings import ReferralSettings


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
