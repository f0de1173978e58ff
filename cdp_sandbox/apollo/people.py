"""The people that the stand-in knows: each follows from the words it is asked with, so every call gives the same one.

A person is found by `id` (of an earlier answer), `email`, `hashed_email` (SHA-256 finds the same person as the
address), `linkedin_url`, or a name with `domain` or `organization_name`; the first of these decides. Nobody is found by
less. Words that were asked with come back in the answer, above all the address.

Of 100 people, 82 are found and cost a credit, 6 are found with nothing beyond their name and cost none, and 12 are not
found. Of those that cost, three quarters have a mobile phone. Of those that are asked without an address, a tenth has
the placeholder for a locked one instead of it. The first word of the address, or of the name if there is no address,
decides otherwise: `found`, `mobile` (found, with a phone), `nomobile` (found, without one), `locked`, `nameonly`,
`unmatched`, and `poison`, which makes Apollo refuse the whole batch. So `unmatched-17@shop.example` is never found.

The people do not exist. Phone numbers lie in the ranges set aside for fiction, and domains are reserved ones.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

LOCKED_EMAIL = "email_not_unlocked@domain.com"
IDENTIFIERS = (
    *("id", "email", "hashed_email", "name", "first_name", "last_name"),
    *("organization_name", "domain", "linkedin_url"),
)

_FATE = re.compile(r"(found|mobile|nomobile|locked|nameonly|unmatched|poison)(?![a-z])")
_COSTS, _IS_NAME_ONLY = 0.82, 0.88
_HAS_MOBILE = 0.75
_IS_LOCKED = 0.1
# Domains of addresses that say nothing about where somebody works.
_PRIVATE = {"example.com", "example.org", "example.net", "gmail.com", "outlook.com", "yahoo.com", "icloud.com"}

_FIRST_NAMES = ("Anna", "Minh", "James", "Linh", "Maria", "Tuan", "Grace", "Omar", "Hoa", "Peter", "Sofia", "Duc")
_LAST_NAMES = ("Nguyen", "Miller", "Tran", "Costa", "Pham", "Novak", "Brown", "Le", "Keller", "Singh", "Hoang", "Lopez")
# Title, seniority, department and function.
_JOBS = (
    ("Chief Executive Officer", "c_suite", "c_suite", "executive"),
    ("VP of Sales", "vp", "master_sales", "sales"),
    ("Head of Marketing", "head", "master_marketing", "marketing"),
    ("Engineering Manager", "manager", "master_engineering_technical", "engineering"),
    ("Software Engineer", "entry", "master_engineering_technical", "engineering"),
    ("Purchasing Director", "director", "master_operations", "operations"),
    ("HR Manager", "manager", "master_human_resources", "human_resources"),
    ("Accountant", "entry", "master_finance", "accounting"),
)
_COMPANIES = (
    ("Lotus Software", "lotus-software.example", "information technology & services"),
    ("Mekong Foods", "mekong-foods.example", "food & beverages"),
    ("Harbour Logistics", "harbour-logistics.example", "logistics & supply chain"),
    ("Northwind Retail", "northwind-retail.example", "retail"),
    ("Blue River Health", "blue-river-health.example", "hospital & health care"),
    ("Granite Capital", "granite-capital.example", "financial services"),
    ("Saffron Travel", "saffron-travel.example", "leisure, travel & tourism"),
    ("Oak and Iron", "oak-and-iron.example", "construction"),
)
# City, state, country, and the beginning of numbers for fiction there.
_PLACES = (
    ("New York", "New York", "United States", "+1212555010"),
    ("Seattle", "Washington", "United States", "+1206555010"),
    ("Chicago", "Illinois", "United States", "+1312555010"),
    ("London", "England", "United Kingdom", "+44770090012"),
    ("Manchester", "England", "United Kingdom", "+44770090034"),
)


class PoisonError(Exception):
    """This person makes Apollo refuse the whole batch."""


@dataclass(frozen=True)
class Person:
    """Somebody who was found.

    Attributes:
        asked: The words that find the person again.
        shown: The person as Apollo answers it.
        costs: Whether something was found that costs a credit.
        mobile: The number of the mobile phone as E.164 writes it; None if there is none.
    """

    asked: dict[str, str]
    shown: dict[str, Any]
    costs: bool
    mobile: str | None

    @property
    def id(self) -> str:
        """Apollo's id, 24 hexadecimal digits."""
        return self.shown["id"]

    def phone_numbers(self) -> list[dict[str, Any]]:
        """The mobile phone as a delivery to a webhook has it; nothing if there is none."""
        if self.mobile is None:
            return []
        number = {"raw_number": self.mobile, "sanitized_number": self.mobile, "type_cd": "mobile"}
        return [number | {"status_cd": "valid_number", "confidence_cd": "high", "dnc_status_cd": None}]


class _Draw:
    """Choices that follow from an identity alone."""

    def __init__(self, identity: str) -> None:
        self._bytes = iter(hashlib.sha512(identity.encode()).digest())

    def share(self) -> float:
        return (next(self._bytes) * 256 + next(self._bytes)) / 65536

    def one_of(self, options: Sequence[T]) -> T:
        return options[next(self._bytes) % len(options)]


def clean(asked: Mapping[str, Any]) -> dict[str, str]:
    """The words that identify somebody, without spaces around them. What is empty or no text is left out."""
    texts = {name: asked[name].strip() for name in IDENTIFIERS if isinstance(asked.get(name), str)}
    return {name: text for name, text in texts.items() if text}


def find(asked: dict[str, str], *, personal_emails: bool = False) -> Person | None:
    """Find a person by what `clean` left, but for an `id`.

    Raises:
        PoisonError: The batch is to be refused.
    """
    name = _name_of(asked)
    fate = _FATE.match((asked.get("email") or name).lower())
    if fate and fate[1] == "poison":
        raise PoisonError
    identity = _identity(asked, name)
    if identity is None:
        return None
    draw = _Draw(identity)
    kind, mobile, locked = _fate(draw, fate[1] if fate else "", has_address="email" in asked)
    if kind == "unmatched":
        return None
    person_id = hashlib.sha256(f"person {identity}".encode()).hexdigest()[:24]
    first, last = _names(draw, asked, name)
    shown: dict[str, Any] = {"id": person_id, "first_name": first, "last_name": last, "name": f"{first} {last}".strip()}
    if kind == "nameonly":
        return Person(asked, _without_anything_else(shown, asked.get("email")), costs=False, mobile=None)
    place, number = draw.one_of(_PLACES), draw.one_of("0123456789")
    shown |= _details(draw, asked, shown, place, locked=locked)
    if personal_emails:
        shown["personal_emails"] = [f"{_word(first)}.{_word(last)}@example.org"]
    return Person(asked, shown, costs=True, mobile=f"{place[3]}{number}" if mobile else None)


def _fate(draw: _Draw, word: str, *, has_address: bool) -> tuple[str, bool, bool]:
    """Whether somebody is found, has a mobile phone, and has a locked address."""
    by_chance, mobile, locked = draw.share(), draw.share() < _HAS_MOBILE, draw.share() < _IS_LOCKED
    if word in {"unmatched", "nameonly"}:
        return word, False, False
    if word:
        return "found", word == "mobile" or (word != "nomobile" and mobile), word == "locked"
    if by_chance >= _COSTS:
        return "nameonly" if by_chance < _IS_NAME_ONLY else "unmatched", False, False
    return "found", mobile, locked and not has_address


def _identity(asked: Mapping[str, str], name: str) -> str | None:
    if "email" in asked:
        return hashlib.sha256(asked["email"].lower().encode()).hexdigest()
    if "hashed_email" in asked:
        return asked["hashed_email"].lower()
    if "linkedin_url" in asked:
        return asked["linkedin_url"].lower().rstrip("/")
    company = asked.get("domain") or asked.get("organization_name")
    return f"{name.casefold()} at {company.casefold()}" if name and company else None


def _name_of(asked: Mapping[str, str]) -> str:
    return asked.get("name") or " ".join(filter(None, (asked.get("first_name"), asked.get("last_name"))))


def _names(draw: _Draw, asked: Mapping[str, str], name: str) -> tuple[str, str]:
    by_chance = draw.one_of(_FIRST_NAMES), draw.one_of(_LAST_NAMES)
    if "name" not in asked and "first_name" in asked:
        return asked["first_name"], asked.get("last_name", by_chance[1])
    if name:
        first, _, last = name.rpartition(" ")
        return (first, last) if first else (last, by_chance[1])
    # People write their addresses like this: an.nguyen7@example.com.
    words = re.findall(r"[^\W\d_]+", asked.get("email", "").partition("@")[0])
    return (words[0].title(), words[-1].title()) if len(words) > 1 else by_chance


def _without_anything_else(shown: dict[str, Any], email: str | None) -> dict[str, Any]:
    nothing = dict.fromkeys(("title", "headline", "linkedin_url", "email_status", "organization_id", "organization"))
    return {**shown, **nothing, "email": email, "city": None, "state": None, "country": None, "employment_history": []}


def _details(
    draw: _Draw, asked: Mapping[str, str], names: Mapping[str, str], place: Sequence[str], *, locked: bool
) -> dict[str, Any]:
    title, seniority, department, function = draw.one_of(_JOBS)
    organization = _organization(draw, asked)
    slug = f"{_word(names['first_name'])}-{_word(names['last_name'])}-{names['id'][:6]}"
    since = 2008 + int(draw.share() * 16)
    history = [
        _employment(title, organization["name"], f"{since}-04-01", None),
        _employment("Associate", draw.one_of(_COMPANIES)[0], f"{since - 3}-09-01", f"{since}-03-01"),
    ]
    return {
        **_address(draw, asked, names, organization["primary_domain"], locked=locked),
        "title": title,
        "headline": f"{title} at {organization['name']}",
        "linkedin_url": asked.get("linkedin_url", f"http://www.linkedin.com/in/{slug}"),
        "photo_url": None,
        "twitter_url": draw.one_of((None, None, f"https://twitter.com/{slug}")),
        "github_url": draw.one_of((None, None, None, f"https://github.com/{slug}")),
        "facebook_url": None,
        "employment_history": history,
        "city": place[0],
        "state": place[1],
        "country": place[2],
        "organization_id": organization["id"],
        "organization": organization,
        "departments": [department],
        "seniority": seniority,
        "functions": [function],
        "revealed_for_current_team": True,
    }


def _address(
    draw: _Draw, asked: Mapping[str, str], names: Mapping[str, str], domain: str, *, locked: bool
) -> dict[str, Any]:
    status = draw.one_of(("verified", "verified", "verified", "guessed", "unavailable"))
    confidence = round(draw.share(), 2) if status == "guessed" else None
    if locked:
        email, status = LOCKED_EMAIL, "unavailable"
    elif "email" in asked:
        email = asked["email"]
    elif "hashed_email" in asked or status == "unavailable":
        email, status = None, "unavailable"
    else:
        email = f"{_word(names['first_name'])}.{_word(names['last_name'])}@{domain}"
    return {"email": email, "email_status": status, "extrapolated_email_confidence": confidence}


def _organization(draw: _Draw, asked: Mapping[str, str]) -> dict[str, Any]:
    name, domain, industry = draw.one_of(_COMPANIES)
    of_address = asked.get("email", "").rpartition("@")[2].lower()
    if "domain" in asked or "organization_name" in asked:
        name = asked.get("organization_name") or asked["domain"].partition(".")[0].title()
        domain = asked.get("domain") or f"{_word(name)}.example"
    elif of_address and of_address not in _PRIVATE:
        name, domain = of_address.partition(".")[0].replace("-", " ").title(), of_address
    # Everything else follows from the domain, so that all of a company's people see the same company.
    own = _Draw(domain)
    city, state, country, _ = own.one_of(_PLACES)
    by_chance = own.one_of(_COMPANIES)[2]
    industry = industry if (name, domain, industry) in _COMPANIES else by_chance
    return {
        "id": hashlib.sha256(f"organization {domain}".encode()).hexdigest()[:24],
        "name": name,
        "website_url": f"http://www.{domain}",
        "primary_domain": domain,
        "industry": industry,
        "estimated_num_employees": own.one_of((8, 25, 60, 140, 480, 1200, 5400)),
        "founded_year": 1960 + int(own.share() * 62),
        "phone": "+1 212-555-0199",
        "linkedin_url": f"http://www.linkedin.com/company/{_word(name)}",
        "keywords": [industry],
        "street_address": f"{1 + int(own.share() * 200)} Main Street",
        "city": city,
        "state": state,
        "country": country,
    }


def _employment(title: str, company: str, start: str, end: str | None) -> dict[str, Any]:
    return {
        "title": title, "organization_name": company, "start_date": start, "end_date": end, "current": end is None,
    }  # fmt: skip


def _word(text: str) -> str:
    """A name in the letters of addresses."""
    letters = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return re.sub(r"[^a-z0-9]+", "", letters) or "x"
