"""The masked preview of a search, for whoever has to pay."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import psycopg

from cdp_platform.enrichment import contact_fields, masking, searches


@dataclass(frozen=True)
class Masked:
    """A contact, masked.

    Attributes:
        line: of its file.
        name: initials; empty without a name.
        email: None without an address, or where a contact before this one has an address of the same domain.
        phone: first three and last two digits; None without a number.
        company: first letter; None without one.
        linkedin: whether it has a page at LinkedIn.
        reason: why it is not usable; None where it is.
    """

    line: int
    name: str
    email: str | None
    phone: str | None
    company: str | None
    linkedin: bool
    reason: str | None


@dataclass(frozen=True)
class Preview:
    """A search and some of its contacts, masked.

    Attributes:
        contacts: contacts of the search in all.
        usable: those that the provider can be asked about.
        price: of the search, in currency.
        shown: the first contacts.
    """

    search_id: UUID
    name: str
    status: searches.Status
    contacts: int
    usable: int
    price: Decimal
    currency: str
    personal_emails: bool
    phones: bool
    shown: list[Masked]


def preview(connection: psycopg.Connection, tenant_id: str, search_id: UUID, at_most: int = 20) -> Preview:
    """The part of a search that may be shown before it is paid for; inside a transaction of the tenant.

    Raises:
        ConfigurationError: the tenant has no such search.
    """
    search = searches.get(connection, tenant_id, search_id)
    return Preview(
        *(search.search_id, search.name, search.status, search.contacts, search.contacts - search.unusable),
        *(search.price, search.currency, search.personal_emails, search.phones),
        list(_shown(connection, tenant_id, search_id, at_most)),
    )


def _shown(connection: psycopg.Connection, tenant_id: str, search_id: UUID, at_most: int) -> Iterator[Masked]:
    query = (
        "SELECT line, given, reason FROM enrichment.contact WHERE tenant_id = %s AND search_id = %s"
        " ORDER BY line LIMIT %s"
    )
    domains = set()
    for line, given, reason in connection.execute(query, [tenant_id, search_id, at_most]):
        fields = contact_fields.fields_of(given)
        email = contact_fields.email_of(fields)
        domain = email.rpartition("@")[2] if email else None
        yield Masked(
            line=line,
            name=masking.name(fields),
            email=masking.email(email) if email and domain not in domains else None,
            phone=masking.phone(fields["phone"]) if "phone" in fields else None,
            company=masking.company(fields["organization_name"]) if "organization_name" in fields else None,
            linkedin="linkedin_url" in fields,
            reason=reason,
        )
        domains.add(domain)
