"""Questions: the fields that the provider is asked about a contact with, in one normal form.

Contacts with the same identity are one question, which is paid for once. The identity is the strongest thing that the
contact has: its e-mail address, LinkedIn page, id at the provider, or name with the domain or name of the company.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cdp_platform.enrichment import contact_fields

# Domains whose addresses say nothing about where somebody works. Of a provider that is missing here the domain is sent
# as the company's, beside the address that decides.
_PRIVATE_DOMAINS = frozenset(
    "126.com 163.com aol.com bk.ru comcast.net duck.com fastmail.com free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com"
    " gmx.de gmx.net googlemail.com hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr hotmail.it"
    " icloud.com inbox.ru laposte.net libero.it list.ru live.co.uk live.com live.fr mac.com mail.com mail.ru me.com"
    " msn.com orange.fr outlook.com outlook.com.vn outlook.de outlook.fr pm.me proton.me protonmail.com qq.com"
    " rediffmail.com rocketmail.com sfr.fr sina.com t-online.de tutanota.com uol.com.br verizon.net wanadoo.fr web.de"
    " yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.com.vn yahoo.de yahoo.es yahoo.fr"
    " yahoo.it yandex.com yandex.ru ymail.com zoho.com".split()
)
# Sites whose pages belong to others.
_SITES_OF_PAGES = frozenset(
    "facebook.com fb.com instagram.com linkedin.com medium.com t.me twitter.com x.com youtube.com zalo.me".split()
)
_PERSON_PAGE = re.compile(r"/(?:in|pub)/([^/]+)", re.IGNORECASE)
_PROVIDER_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Question:
    """The words that the provider is asked with about a person.

    Attributes:
        fields: by the provider's name of each: first_name and last_name or name, email, organization_name, domain, id,
            linkedin_url.
        identity: who is asked about; of equal ones only one is asked.
    """

    fields: dict[str, str]
    identity: str


@dataclass(frozen=True)
class Unusable:
    """A contact that identifies nobody, so that nothing is asked about it.

    Attributes:
        reason: why, without data of the person.
    """

    reason: str


@dataclass(frozen=True)
class Contact:
    """The meaning of a contact's fields.

    Attributes:
        question: the question about it, if it identifies anybody.
        email: its e-mail address in the normal form of profiles; None without a valid one.
        other_emails: every other address anywhere in it, in lower case.
    """

    question: Question | Unusable
    email: str | None
    other_emails: list[str]


def contact_of(given: Mapping[str, Any]) -> Contact:
    """Understand the fields of a contact, as its file has them."""
    said = contact_fields.fields_of(given)
    email = contact_fields.email_of(said)
    fields = _name(said)
    if email:
        local, _, domain = email.rpartition("@")
        fields["email"] = f"{local}@{domain_of(domain) or domain}"
    if domain := _company_domain(said.get("domain", ""), email):
        fields["domain"] = domain
    if company := said.get("organization_name"):
        fields["organization_name"] = company
    if "linkedin_url" in said and (page := linkedin_page(said["linkedin_url"])):
        fields["linkedin_url"] = page
    if "id" in said and _PROVIDER_ID.fullmatch(provider_id := said["id"].lower()):
        fields["id"] = provider_id
    identity = _identity(fields)
    question = Question(fields, identity) if identity else Unusable(_why_unusable(said, fields))
    return Contact(question, email, [each for each in contact_fields.emails_of(given) if each != email])


def hash_of(salt: bytes, identity: str) -> bytes:
    """SHA-256 of a tenant's salt and an identity, 32 bytes."""
    return hashlib.sha256(salt + identity.encode()).digest()


def domain_of(text: str) -> str | None:
    """The host of an address or web page as the DNS has it: ASCII, lower case, without ``www.``; None without one."""
    return _ascii(_host(text))


@lru_cache(maxsize=4096)
def _host(text: str) -> str:
    host = text.rpartition("@")[2] if "://" not in text else text.partition("://")[2]
    host = re.split(r"[/?#:\\]", host, maxsplit=1)[0].strip().strip(".").lower()
    return host.removeprefix("www.")


@lru_cache(maxsize=4096)
def _ascii(host: str) -> str | None:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        return validate_email(f"a@{host}", check_deliverability=False, strict=True).ascii_domain
    except EmailNotValidError:
        return None


def linkedin_page(text: str) -> str | None:
    """A person's page at LinkedIn in the form that the provider writes; None for any other page."""
    parts = urlsplit(text if "://" in text else f"https://{text}") if "[" not in text else None
    if parts is None or not re.search(r"(^|\.)linkedin\.com$", (parts.hostname or "").lower()):
        return None
    found = _PERSON_PAGE.match(parts.path)
    return f"http://www.linkedin.com/in/{quote(unquote(found[1]).strip().lower())}" if found else None


def _name(said: Mapping[str, str]) -> dict[str, str]:
    parts = {field: said[field] for field in ("first_name", "last_name") if field in said}
    # A whole name says more than a part of one.
    return {"name": said["name"]} if "name" in said and len(parts) < 2 else parts


def _company_domain(website: str, email: str | None) -> str | None:
    domain = domain_of(website) if website else None
    if domain in _SITES_OF_PAGES and re.search(r"\.[a-z]+/[^/]", website.casefold()):
        domain = None
    domain = domain or (domain_of(email) if email else None)
    return None if domain in _PRIVATE_DOMAINS else domain


def _identity(fields: Mapping[str, str]) -> str | None:
    for kind, field in (("email", "email"), ("linkedin", "linkedin_url"), ("id", "id")):
        if field in fields:
            return f"{kind}:{fields[field]}"
    name = _whole_name(fields)
    for kind, field in (("domain", "domain"), ("company", "organization_name")):
        if name and field in fields:
            return f"name:{name.casefold()}|{kind}:{fields[field].casefold()}"
    return None


def _whole_name(fields: Mapping[str, str]) -> str:
    if "name" in fields:
        return fields["name"]
    both = "first_name" in fields and "last_name" in fields
    return f"{fields['first_name']} {fields['last_name']}" if both else ""


def _why_unusable(said: Mapping[str, str], fields: Mapping[str, str]) -> str:
    if "email" in said and "email" not in fields:
        return "its e-mail address is not valid, and nothing else says who it is"
    if not fields:
        return "nothing says who it is"
    if not fields.keys() & {"domain", "organization_name"}:
        return "it has only a name"
    has_part = fields.keys() & {"first_name", "last_name"}
    return f"it has a company and {'only a part of a name' if has_part else 'no person'}"
