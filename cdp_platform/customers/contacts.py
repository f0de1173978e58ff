"""E-mail addresses and phone numbers in one normal form.

An address that cannot be used is None here and stays as the source wrote it in the row's ``_raw`` column: a bad contact
costs the contact, not the customer.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonenumbers import PhoneNumberDesc

_PLAIN_LOCAL_PART = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")

# Most common first: the first that fits ends the search.
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
# The full parser refuses much longer texts, whatever they hold.
_LONGEST_PLAIN_NUMBER = 32


@lru_cache(maxsize=4096)
def _domain_is_usable(domain: str) -> bool:
    """Whether an address at this (ASCII, lower case) domain passes; a tenant's customers share few domains."""
    return _validated(f"a@{domain}") is not None


def email(raw: str | None) -> str | None:
    """Normal form of an address: trimmed, lower case, internationalised domains as Unicode; None if unusable.

    Syntax only. Whether a mailbox exists is for the campaign that writes to it to find out.
    """
    if not raw:
        return None
    address = raw.strip().lower()
    local, _, domain = address.rpartition("@")
    # Most addresses are plain; they take the full validator's verdict on their domain and nothing else of its time.
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

    A number without `+` is read as it is dialled in the region: with one of the region's own international prefixes
    (`00` only where people dial out with it), its national prefix, or neither.
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
    """Country code of a region, and a pattern of the numbers that the full parser is sure to take.

    They have the country code (after `+` or an international prefix of the region), the national prefix or nothing
    before a national number that is valid in the region's own numbering plan. Where a number could be read in another
    way (it begins like a prefix), or a country code is shared and the region is not the one that is asked first, the
    pattern does not fit and the full parser decides.
    """
    import phonenumbers  # noqa: PLC0415 (heavy; definitions load without it)

    plan: Any = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None or phonenumbers.region_code_for_country_code(plan.country_code) != region:
        return "", re.compile("(?!)")
    prefix = plan.national_prefix_for_parsing
    # A prefix that is more than digits may rewrite the number.
    stripped = f"(?:{prefix})?" if prefix and prefix.isdecimal() else ""
    # Atomic: the full parser takes the first prefix that fits and does not try the others.
    abroad = rf"(?:\+|(?>{plan.international_prefix})){plan.country_code}"
    dialled = rf"(?:{abroad}|(?!{plan.international_prefix}|{plan.country_code}){stripped})"
    no_prefix = f"(?!{prefix})" if prefix else ""
    of_the_region = f"(?={plan.leading_digits})" if plan.leading_digits else ""
    general = _described(plan.general_desc)
    of_a_type = "|".join(_described(numbers) for name in _NUMBER_TYPES if (numbers := getattr(plan, name)))
    national = rf"(?P<national>{no_prefix}{of_the_region}(?={general}\Z)(?:{of_a_type}))"
    return f"+{plan.country_code}", re.compile(dialled + national, re.ASCII)


def _described(numbers: "PhoneNumberDesc") -> str:
    """A pattern of the national numbers of a description, which gives their digits and their lengths."""
    lengths = "|".join(rf"\d{{{length}}}" for length in numbers.possible_length)
    return rf"(?=(?:{lengths})\Z)(?:{numbers.national_number_pattern})"
