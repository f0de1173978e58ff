"""The fields of a contact, under whatever names its file gives them.

Apollo, HubSpot, Salesforce, Pipedrive, ZoomInfo, LinkedIn, Outlook and Google name the same thing differently in their
exports. A column that is not known here stays with the contact as it came, and identifies nobody.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cdp_platform import json_documents
from cdp_platform.customers import contacts

# Names by field, without case and punctuation, the one that counts most first. ``id`` is the provider's id of a person:
# files have ids of their own, so a bare "id" counts only in the provider's form.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "first_name": ("first name", "firstname", "given name", "contact first name"),
    "last_name": ("last name", "lastname", "surname", "family name", "contact last name"),
    "name": ("name", "full name", "fullname", "contact name", "contact", "person name", "lead name", "display name"),
    "email": (
        *("email", "e mail", "email address", "e mail address", "work email", "business email", "primary email"),
        *("contact email", "person email work", "email work", "e mail 1 value", "email 1", "person email"),
        *("email home", "personal email", "secondary email", "tertiary email"),
    ),
    "organization_name": (
        *("organization name", "company", "company name", "organization", "organisation", "company account"),
        *("account name", "account", "associated company", "primary associated company", "employer"),
        *("current company", "person organization", "company name for emails"),
    ),
    "domain": (
        *("domain", "company domain", "company domain name", "company website", "website", "website url"),
        *("organization domain", "company url", "web page", "url", "homepage"),
    ),
    "id": ("apollo id", "apollo person id", "person id", "id"),
    "linkedin_url": (
        *("linkedin url", "person linkedin url", "linkedin", "linkedin profile", "linkedin profile url"),
        *("contact linkedin url", "linkedin contact profile url", "hs linkedin url", "linkedin bio"),
        *("profile url", "url"),
    ),
    "phone": (
        *("phone", "phone number", "mobile", "mobile phone", "mobile number", "mobile phone number", "work phone"),
        *("direct phone", "work direct phone", "first phone", "business phone", "home phone", "other phone"),
        *("telephone", "corporate phone", "phone 1 value"),
    ),
}
NAMES: frozenset[str] = frozenset(name for names in _NAMES.values() for name in names)
"""Every name that is known, in lower case and without punctuation."""

_PUNCTUATION = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Zero-width and bidirectional marks that spreadsheets bring along. Joiners stay: names in some scripts have them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# How programs write an empty cell. No words that are names of people, such as Na, Null and None.
_EMPTY = frozenset({"-", "--", "n/a", "#n/a", "(blank)", "[not provided]"})
_ADDRESS = re.compile(r"""[^\s<>()\[\],;:"|]+@[^\s<>()\[\],;:"|@]+""")
# The provider's own placeholder, which its exports have.
_LOCKED = "email_not_unlocked@"


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """The name of a column in lower case, its words separated by one space."""
    words = _PUNCTUATION.sub(" ", _CAMEL.sub(" ", name)).strip().casefold()
    return words.replace("linked in", "linkedin")


def fields_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The fields that are known and not empty, as clean text: of several columns for one field, the best name's."""
    found: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for name, value in given.items():
        if value and (meanings := _meanings(name)) and (text := _clean(value)):
            for field, rank in meanings:
                if rank < ranks.get(field, len(NAMES)) and _fits(field, text):
                    found[field], ranks[field] = text, rank
    return found


def email_of(fields: Mapping[str, str]) -> str | None:
    """The contact's e-mail address in the normal form of profiles, from its known fields; None without a valid one."""
    return next(filter(None, map(_usable, _addresses_in(fields.get("email", "")))), None)


def emails_of(given: Mapping[str, Any]) -> list[str]:
    """Every e-mail address anywhere in a contact, as of `normal_addresses_in`, so that an erasure finds it by them."""
    found: dict[str, None] = {}
    for value in given.values():
        for text in (value,) if isinstance(value, str) else (each for _, each in json_documents.walk(value)):
            if isinstance(text, str) and "@" in text:
                found |= dict.fromkeys(normal_addresses_in(text))
    return list(found)


def normal_addresses_in(text: str) -> list[str]:
    """Everything that looks like an e-mail address in a text: as profiles have it, in lower case if not valid."""
    return [contacts.email(each) or each for each in _addresses_in(text)]


def _addresses_in(text: str) -> list[str]:
    # The address in "Jane <jane@shop.example>".
    return [each.strip("'.=").lower() for each in _ADDRESS.findall(text)] if "@" in text else []


def _usable(address: str) -> str | None:
    return None if address.startswith(_LOCKED) else contacts.email(address)


@lru_cache(maxsize=4096)
def _meanings(name: str) -> tuple[tuple[str, int], ...]:
    known = plain(name)
    return tuple((field, names.index(known)) for field, names in _NAMES.items() if known in names)


def _clean(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        value = unicodedata.normalize("NFC", _INVISIBLE.sub("", value))
    text = " ".join(value.split())
    return "" if text.casefold() in _EMPTY else text


def _fits(field: str, text: str) -> bool:
    # A column "url" is a profile's or a company's.
    return field not in {"domain", "linkedin_url"} or ("linkedin.com/" in text.casefold()) == (field == "linkedin_url")
