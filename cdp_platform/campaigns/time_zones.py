"""The time zones that people are in, as far as their phone number or country tells.

`phonenumbers` knows the zones of each prefix of a number, and the time zone database those of each country. They tell a
zone only if all of them have the same clock: those of the United Kingdom have, those of the United States have not.
People come by the hundred thousand, so the look-up is a join (``sql/time_zones.sql``), and this module makes the tables
that it joins.
"""

import re
import unicodedata
import zoneinfo
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg

from cdp_platform.warehouse.statements import statement

# Names that people use and the time zone database does not.
_OTHER_NAMES = {"United Kingdom": "GB", "Great Britain": "GB", "UK": "GB", "Czechia": "CZ", "Türkiye": "TR"}


def parameters(connection: psycopg.Connection, tenant_id: str, tenant_zone: str) -> Mapping[str, Any]:
    """The tables that ``sql/time_zones.sql`` joins, as its parameters; inside a transaction of the tenant."""
    beginnings = [text for (text,) in connection.execute(statement("campaigns", "phone_beginnings"), [tenant_id])]
    countries = [text for (text,) in connection.execute(statement("campaigns", "countries"), [tenant_id])]
    codes: dict[str, int] = {}
    prefixes: dict[str, str | None] = {}
    for code in {code for text in beginnings if (code := _calling_code(text))}:
        zones = of_prefixes(code)
        codes[code] = max(map(len, zones), default=len(code))
        prefixes |= zones
    country_zones = {country: zone for country in countries if (zone := of_country(country))}
    # The server's list of zones may be older than the one here.
    known = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM pg_timezone_names WHERE name = ANY (%s)",
            [list({zone for zone in (*prefixes.values(), *country_zones.values()) if zone})],
        )
    }
    return {
        "tenant_zone": tenant_zone,
        "codes": list(codes),
        "code_digits": list(codes.values()),
        "prefixes": list(prefixes),
        "prefix_zones": [zone if zone in known else None for zone in prefixes.values()],
        "countries": list(country_zones),
        "country_zones": [zone if zone in known else None for zone in country_zones.values()],
    }


def of_country(country: str) -> str | None:
    """The zone of a country by its English name or its ISO 3166 code; None if unknown or if its clocks differ."""
    region = _countries().get(_letters(country))
    return _one_of(_zones()[region]) if region else None


@cache
def of_prefixes(code: str) -> Mapping[str, str | None]:
    """The zone of each prefix of numbers with a country calling code, without ``+``; None for clocks that differ.

    The longest prefix of a number counts. A prefix with the zone of a shorter one is left out.
    """
    from phonenumbers.tzdata import TIMEZONE_DATA  # noqa: PLC0415 (heavy; definitions load without it)

    all_zones = TIMEZONE_DATA.get(code, ())
    told: dict[str, str | None] = {code: _one_of(all_zones)}
    if told[code]:
        return told
    for prefix in sorted(prefix for prefix in TIMEZONE_DATA if prefix.startswith(code)):
        shorter = next((told[prefix[:end]] for end in range(len(prefix) - 1, 0, -1) if prefix[:end] in told), None)
        zone = _one_of(TIMEZONE_DATA[prefix])
        if zone != shorter and (region := _region_of_mobiles(prefix)):
            # A mobile phone goes where its owner goes: its number tells the country, and no place in it.
            zone = _one_of(_zones().get(region, ()))
        if zone != shorter:
            told[prefix] = zone
    return told


def _calling_code(text: str) -> str | None:
    """The country calling code that a number begins with. None of them is the beginning of another one."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415 (heavy; definitions load without it)

    codes = (text[1:end] for end in (2, 3, 4))
    return next((code for code in codes if code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE), None)


def _region_of_mobiles(prefix: str) -> str | None:
    """The region of mobile numbers with this prefix; None if numbers with it tell a place."""
    import phonenumbers  # noqa: PLC0415 (heavy; definitions load without it)

    for length in range(max(8, len(prefix) + 2), 14):
        number = phonenumbers.parse("+" + (prefix + "123456789012")[:length])
        kind = phonenumbers.number_type(number)
        if kind == phonenumbers.PhoneNumberType.MOBILE and not phonenumbers.is_number_geographical(number):
            return phonenumbers.region_code_for_number(number)
        if kind != phonenumbers.PhoneNumberType.UNKNOWN:
            return None
    return None


@cache
def _zones() -> Mapping[str, Collection[str]]:
    """The zones of each region, by its ISO 3166 code."""
    zones = defaultdict(list)
    for region, _, zone, *_ in _table("zone.tab"):
        zones[region].append(zone)
    return zones


@cache
def _countries() -> Mapping[str, str]:
    """The code of each region by the letters of its code and its names."""
    names = {}
    for region, name in _table("iso3166.tab"):
        names |= {region: region, name: region}
        # As in `Korea (South)`.
        if found := re.fullmatch(r"(.+) \((.+)\)", name):
            names[f"{found[2]} {found[1]}"] = region
    return {_letters(name): region for name, region in (names | _OTHER_NAMES).items()}


def _table(name: str) -> Iterable[list[str]]:
    """The rows of a table of the time zone database: of the system's, or of the package that Python falls back to."""
    folders = [*map(Path, zoneinfo.TZPATH), files("tzdata") / "zoneinfo"]
    text = next(folder / name for folder in folders if (folder / name).is_file())
    lines = text.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def _letters(name: str) -> str:
    """A name without case, accents, spaces and signs: ``Việt Nam`` and ``VIETNAM`` are the same."""
    return "".join(each for each in unicodedata.normalize("NFKD", name.casefold()) if each.isalnum())


def _one_of(zones: Collection[str]) -> str | None:
    """The zone, of several that all have the same clock the one of most numbers; None if their clocks differ."""
    if not zones or not same_clock(zones):
        return None
    return min(zones, key=lambda zone: (-_prefixes_of(zone), zone))


def same_clock(zones: Collection[str]) -> bool:
    """Whether clocks of all these zones show the same."""
    return len({_clock(zone) for zone in zones}) <= 1


@cache
def _prefixes_of(zone: str) -> int:
    from phonenumbers.tzdata import TIMEZONE_DATA  # noqa: PLC0415 (heavy; definitions load without it)

    return sum(zone in zones for zones in TIMEZONE_DATA.values())


@cache
def _clock(zone: str) -> tuple[timedelta | None, ...]:
    """The difference to UTC in each week of two years."""
    now = datetime.now(UTC)
    clock = zoneinfo.ZoneInfo(zone)
    return tuple((now + timedelta(weeks=week)).astimezone(clock).utcoffset() for week in range(104))
