"""E-mail addresses and phone numbers in one normal form.

An unusable address becomes None and does not reject the profile; the row's ``_raw`` column has what the source wrote.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonenumbers import PhoneNumberDesc

_PLAIN_LOCAL_PART = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")

# The most common types come first, because the search ends at the first that fits.
_NUMBER_TYPES = (
    "mobile",
    "fixed_line",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)

_SEPARATORS = str.maketrans("", "", " ().-")
# Longer texts are left to the full parser.
_LONGEST_PLAIN_NUMBER = 32


@lru_cache(maxsize=4096)
def _domain_is_usable(domain: str) -> bool:
    """Whether an address at this (ASCII, lower case) domain is valid. Customers share few domains, hence the cache."""
    return _validated(f"a@{domain}") is not None


def email(raw: str | None) -> str | None:
    """Normal form of an address: trimmed, lower case, internationalised domains as Unicode; None if unusable.

    Only the syntax is checked, and not whether the mailbox exists.
    """
    if not raw:
        return None
    address = raw.strip().lower()
    local, _, domain = address.rpartition("@")
    # Most addresses are plain: for them only the domain is checked by the full validator, which is slow.
    if len(address) <= 254 and len(local) <= 64 and domain.isascii() and _PLAIN_LOCAL_PART.fullmatch(local):
        return address if _domain_is_usable(domain) else None
    return _validated(address)


def _validated(address: str) -> str | None:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        return validate_email(address, check_deliverability=False, strict=True).normalized.lower()
    except EmailNotValidError:
        return None


def phone(raw: str | None, region: str) -> str | None:
    """E.164 form of a phone number, or None if it is not valid.

    A number without `+` is read as people dial it in the region: with one of the region's own international prefixes
    (`00` only if it is one), with its national prefix, or with neither.
    """
    if not raw:
        return None
    if len(raw) <= _LONGEST_PLAIN_NUMBER:
        country_code, plain_numbers = _plain_numbers(region)
        if plain := plain_numbers.fullmatch(raw.translate(_SEPARATORS)):
            return country_code + plain["national"]
    return _parsed(raw, region)


def _parsed(raw: str, region: str) -> str | None:
    import phonenumbers  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache
def _plain_numbers(region: str) -> tuple[str, re.Pattern[str]]:
    """Country code of a region, and a pattern of numbers that the full parser would accept in any case.

    These are national numbers that are valid in the region's own numbering plan, after the country code (with `+` or an
    international prefix of the region), after the national prefix, or alone. The pattern does not fit, and the full
    parser decides, if a number could be read in another way (it begins like a prefix), or if the country code is shared
    and the region is not the main one.
    """
    import phonenumbers  # noqa: PLC0415 (heavy; definitions load without it)

    plan: Any = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None or phonenumbers.region_code_for_country_code(plan.country_code) != region:
        return "", re.compile("(?!)")
    prefix = plan.national_prefix_for_parsing
    # A prefix that is more than digits may rewrite the number.
    stripped = f"(?:{prefix})?" if prefix and prefix.isdecimal() else ""
    # An atomic group, as the full parser uses the first prefix that fits and does not try the others.
    abroad = rf"(?:\+|(?>{plan.international_prefix})){plan.country_code}"
    dialled = rf"(?:{abroad}|(?!{plan.international_prefix}|{plan.country_code}){stripped})"
    no_prefix = f"(?!{prefix})" if prefix else ""
    of_the_region = f"(?={plan.leading_digits})" if plan.leading_digits else ""
    general = _described(plan.general_desc)
    of_a_type = "|".join(_described(numbers) for name in _NUMBER_TYPES if (numbers := getattr(plan, name)))
    national = rf"(?P<national>{no_prefix}{of_the_region}(?={general}\Z)(?:{of_a_type}))"
    return f"+{plan.country_code}", re.compile(dialled + national, re.ASCII)


def _described(numbers: "PhoneNumberDesc") -> str:
    """A pattern of the national numbers of a description, made of its digits and lengths."""
    lengths = "|".join(rf"\d{{{length}}}" for length in numbers.possible_length)
    return rf"(?=(?:{lengths})\Z)(?:{numbers.national_number_pattern})"
