"""Time zones by phone number and country, as far as these tell one."""

import phonenumbers
import pytest
from phonenumbers import timezone
from psycopg import sql

from cdp_platform.campaigns import time_zones
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement
from cdp_platform_tests.campaigns.sender import Sender

_ALL = (
    "WITH located AS (SELECT profile_id FROM customers.cdp_profiles WHERE tenant_id = %(tenant)s), {} TABLE time_zone"
)


def _zones(sender: Sender, tenant_zone: str = "UTC") -> dict[str, tuple[str, str]]:
    """Zone and source of everybody."""
    query = sql.SQL(_ALL).format(statement("campaigns", "time_zones"))
    with tenant_transaction(sender.connection, sender.tenant_id):
        values = time_zones.parameters(sender.connection, sender.tenant_id, tenant_zone)
        rows = sender.connection.execute(query, {"tenant": sender.tenant_id, **values}).fetchall()
    return {profile_id: (zone, source) for profile_id, zone, source in rows}


def test_the_phone_number_tells_before_the_country_and_the_country_before_the_tenant(sender: Sender) -> None:
    sender.profiles(
        {"profile_id": "both", "primary_phone": "+84901234567", "living_country": "Japan"},
        {"profile_id": "country", "living_country": " VIỆT nam "},
        {"profile_id": "neither"},
        {"profile_id": "several zones", "primary_phone": "+18005550100", "living_country": "United States"},
        {"profile_id": "nowhere", "living_country": "100% nowhere'; --"},
        {"profile_id": "mobile in Perth", "primary_phone": "+61412345678"},
    )
    assert _zones(sender, "Asia/Tokyo") == {
        "both": ("Asia/Ho_Chi_Minh", "phone"),
        "country": ("Asia/Ho_Chi_Minh", "country"),
        "neither": ("Asia/Tokyo", "tenant"),
        "several zones": ("Asia/Tokyo", "tenant"),
        "nowhere": ("Asia/Tokyo", "tenant"),
        "mobile in Perth": ("Asia/Tokyo", "tenant"),
    }


def test_numbers_of_all_regions_have_the_zone_that_phonenumbers_tells(sender: Sender) -> None:
    numbers = {}
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            if number := phonenumbers.example_number_for_type(region, kind):
                numbers[phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)] = number
    sender.profiles(*({"profile_id": each, "primary_phone": each} for each in numbers))
    found = _zones(sender)
    assert len(found) == len(numbers) > 400
    told = 0
    for text, number in numbers.items():
        zones = timezone.time_zones_for_number(number)
        if len(zones) == 1 and zones != ("Etc/Unknown",):
            zone, source = found[text]
            assert source == "phone"
            # Zones with one clock count as one.
            assert time_zones.same_clock({zone, zones[0]}), text
            told += 1
    assert told > 300


@pytest.mark.parametrize(
    ("country", "zone"),
    [
        ("VN", "Asia/Ho_Chi_Minh"),
        ("Viet Nam", "Asia/Ho_Chi_Minh"),
        ("UK", "Europe/London"),
        ("United Kingdom", "Europe/London"),
        ("GERMANY", "Europe/Berlin"),
        ("South Korea", "Asia/Seoul"),
        ("Türkiye", "Europe/Istanbul"),
        ("United States", None),
        ("Australia", None),
        ("Atlantis", None),
        ("", None),
    ],
)
def test_a_country_has_a_zone_if_all_of_it_has_one_clock(country: str, zone: str | None) -> None:
    assert time_zones.of_country(country) == zone


def test_where_there_are_no_people_there_are_no_zones(sender: Sender) -> None:
    assert _zones(sender) == {}
