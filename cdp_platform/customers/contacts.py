"""E-mail addresses and phone numbers in one normal form.

An address that cannot be used is None here and stays as the source wrote it in the row's ``_raw`` column: a bad contact
costs the contact, not the customer.
"""

import re
from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

_PLAIN_LOCAL_PART = re.compile(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*")


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
    if _PLAIN_LOCAL_PART.fullmatch(local) and len(local) <= 64 and domain.isascii():
        return address if _domain_is_usable(domain) else None
    return _validated(address)


def _validated(address: str) -> str | None:
    try:
        return validate_email(address, check_deliverability=False, strict=True).normalized.lower()
    except EmailNotValidError:
        return None


def phone(raw: str | None, region: str) -> str | None:
    """E.164 form of a phone number, read as dialled in the region if it has no country code; None if not valid."""
    if not raw:
        return None
    # `00` is how most of the world dials out; phonenumbers expects the prefix of the region instead.
    dialled = "+" + raw[2:] if raw.startswith("00") else raw
    try:
        number = phonenumbers.parse(dialled, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
