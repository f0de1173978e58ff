"""Searches: lists of contacts that a customer pays to have enriched.

A search begins as a preview. A payment makes it paid, a run takes it up (enriching), and it ends as ready or failed.
``enrichment.search_may_move`` has the moves. Its contacts are complete once it is there: both come in one transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Literal
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import class_row

from cdp_platform import currencies, json_documents
from cdp_platform.enrichment import contact_fields
from cdp_platform.enrichment.contact_file import BadLine, Line
from cdp_platform.enrichment.questions import Question, contact_of, hash_of
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import addresses, erasure, rejected
from cdp_platform.ops.rejected import Rejection
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Status = Literal["preview", "paid", "enriching", "ready", "failed"]

REJECTED_SOURCE = "enrichment_contact"
"""The source that rejected lines have in ``ops.rejected_record``."""

_AT_ONCE = 5_000
_CONTACTS = load.Target(
    "enrichment",
    "contact",
    "contact_id",
    (
        ("tenant_id", "text"),
        ("contact_id", "text"),
        ("search_id", "uuid"),
        ("line", "int4"),
        ("given", "jsonb"),
        ("question", "jsonb"),
        ("question_hash", "bytea"),
        ("email", "text"),
        ("other_emails", "text[]"),
        ("outcome", "text"),
        ("reason", "text"),
    ),
)


@dataclass(frozen=True)
class Search:
    """One row of ``enrichment.search``; the comments of its columns say what each is."""

    search_id: UUID
    name: str
    status: Status
    status_reason: str | None
    status_changed_at: datetime
    personal_emails: bool
    phones: bool
    price: Decimal
    currency: str
    credit_limit: Decimal | None
    money_limit: Decimal | None
    credits_reserved: Decimal
    credits: Decimal
    credit_price: Decimal
    credit_currency: str
    payment_fee: Decimal
    cost: Decimal
    waiting: int
    enriched: int
    no_match: int
    unusable: int
    held: int
    original: int
    erased: int
    rejected: int
    not_before: datetime | None
    created_at: datetime
    paid_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def contacts(self) -> int:
        """Number of contacts that it has."""
        return self.waiting + self.enriched + self.no_match + self.unusable + self.held + self.original


@dataclass(frozen=True)
class ImportResult:
    """The outcome of the lines of a list.

    Attributes:
        search_id: of the search that has the contacts.
        lines: of the list that are not empty: contacts, erased and rejected ones.
        contacts: contacts that the search has, usable or not.
        questions: different people among those that are usable; each is asked about once.
        erased: contacts that stayed out, as their person is erased.
        unusable: contacts that identify nobody, by reason.
        rejected: lines that are no contacts, by reason; they are in ``ops.rejected_record``.
    """

    search_id: UUID
    lines: int
    contacts: int
    questions: int
    erased: int
    unusable: dict[str, int]
    rejected: dict[str, int]


def create(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    name: str,
    price: Decimal,
    currency: str,
    contacts: Iterable[Mapping[str, Any] | Line | BadLine],
    personal_emails: bool = False,
    phones: bool = False,
    credit_limit: Decimal | None = None,
    money_limit: Decimal | None = None,
) -> ImportResult:
    """Make a search in ``preview`` of a list of contacts, all of it in one transaction.

    Args:
        connection: of the platform's role.
        tenant_id: whose search.
        name: what people call it.
        price: the customer's, in currency.
        currency: ISO 4217 code.
        contacts: lines of a file, or the fields of each contact, which are numbered from 1.
        personal_emails: whether private e-mail addresses are asked for.
        phones: whether mobile phones are asked for.
        credit_limit: most credits that it may use.
        money_limit: most that its credits may cost, in the currency of credits.

    Raises:
        ConfigurationError: name, price, currency or a limit is not usable, or the list has no line. What reading the
            list raises passes through, and nothing is kept.
    """
    _require_usable(name, price, currency, {"credit limit": credit_limit, "money limit": money_limit})
    search_id = uuid4()
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        asked = {"personal_emails": personal_emails, "phones": phones}
        limits = {"credit_limit": credit_limit, "money_limit": money_limit}
        values = {"name": name.strip(), "price": price, "currency": currency, **asked, **limits}
        connection.execute(statement("enrichment", "add_search"), {"tenant": tenant_id, "search": search_id, **values})
        intake = _Intake(tenant_id, search_id, addresses.salt_of(connection, tenant_id))
        lines = _numbered(contacts)
        while batch := list(islice(lines, _AT_ONCE)):
            load.stage(connection, _CONTACTS, intake.rows(batch))
            rejected.record(connection, tenant_id, REJECTED_SOURCE, intake.take_rejections())
        if not intake.lines:
            raise ConfigurationError("The list has no contact. Is it the right file?")
        load.merge(connection, _CONTACTS, replacing=False)
        connection.execute(
            "UPDATE enrichment.search SET rejected = %s WHERE tenant_id = %s AND search_id = %s",
            [intake.rejected.total(), tenant_id, search_id],
        )
        search = get(connection, tenant_id, search_id)
        query = "SELECT count(DISTINCT question_hash) FROM enrichment.contact WHERE tenant_id = %s AND search_id = %s"
        (questions,) = connection.execute(query, [tenant_id, search_id]).fetchone() or (0,)
    return ImportResult(
        *(search_id, intake.lines, search.contacts, questions, search.erased),
        *(dict(counted.most_common()) for counted in (intake.unusable, intake.rejected)),
    )


def get(connection: psycopg.Connection, tenant_id: str, search_id: UUID) -> Search:
    """A search; inside a transaction of the tenant.

    Raises:
        ConfigurationError: the tenant has no such search.
    """
    found = _searches(connection, tenant_id, search_id)
    if not found:
        raise ConfigurationError(f"{tenant_id} has no search {search_id}: `cdp enrichment status` lists its searches.")
    return found[0]


def all_of(connection: psycopg.Connection, tenant_id: str) -> list[Search]:
    """The searches of a tenant, oldest first; inside a transaction of the tenant."""
    return _searches(connection, tenant_id, None)


def move(
    connection: psycopg.Connection,
    tenant_id: str,
    search_id: UUID,
    before: Status,
    after: Status,
    *,
    reason: str | None = None,
) -> bool:
    """Move a search that is in the status ``before``; inside a transaction of the tenant.

    Returns:
        False where it is in another status, or is not there: nothing changed.

    Raises:
        psycopg.errors.CheckViolation: no search makes this move.
    """
    row = connection.execute(
        "SELECT enrichment.move_search(%s, %s, %s, %s, %s)", [tenant_id, search_id, before, after, reason]
    ).fetchone()
    return bool(row and row[0])


def retry(connection: psycopg.Connection, tenant_id: str, search_id: UUID) -> None:
    """Have a failed search taken up again, as it was paid for; inside a transaction of the tenant.

    Raises:
        ConfigurationError: there is no such search, or it has not failed.
    """
    if not move(connection, tenant_id, search_id, "failed", "paid"):
        search = get(connection, tenant_id, search_id)
        raise ConfigurationError(
            f"Search {search_id} is {search.status}: only one that failed is tried again, and nothing was changed."
        )


@dataclass
class _Intake:
    """The outcome of the lines so far."""

    tenant_id: str
    search_id: UUID
    salt: bytes
    lines: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    _rejections: list[Rejection] = field(default_factory=list)

    def rows(self, batch: Iterable[Line | BadLine]) -> Iterator[Sequence[Any]]:
        """The rows of contacts, in the order of the table's columns; other lines become rejections."""
        for each in batch:
            self.lines += 1
            bad = each if isinstance(each, BadLine) else _unstorable(each)
            if bad:
                self.rejected[bad.message] += 1
                self._rejections.append(self._rejection(bad))
            elif isinstance(each, Line):
                yield self._row(each)

    def take_rejections(self) -> list[Rejection]:
        """The rejections since the last call."""
        taken, self._rejections = self._rejections, []
        return taken

    def _row(self, contact: Line) -> Sequence[Any]:
        found = contact_of(contact.given)
        asked: tuple[Any, ...]
        if isinstance(found.question, Question):
            asked = found.question.fields, hash_of(self.salt, found.question.identity)
            outcome: tuple[Any, ...] = "waiting", None
        else:
            self.unusable[found.question.reason] += 1
            asked, outcome = (None, None), ("unusable", found.question.reason)
        contact_id = f"{self.search_id} {contact.line:08}"
        line = self.tenant_id, contact_id, self.search_id, contact.line, contact.given
        return load.encoded(_CONTACTS, (*line, *asked, found.email, found.other_emails, *outcome))

    def _rejection(self, bad: BadLine) -> Rejection:
        named = sorted({found for _, text in json_documents.walk(bad.document) for found in _addresses(text)})
        key = f"{self.search_id} {bad.line:08}"
        return Rejection(
            key, bad.code, f"$.line[{bad.line}]", bad.message, bad.document, [], addresses=named, read_once=True
        )


def _addresses(text: Any) -> Iterable[str]:
    return contact_fields.normal_addresses_in(text) if isinstance(text, str) else ()


def _numbered(contacts: Iterable[Mapping[str, Any] | Line | BadLine]) -> Iterator[Line | BadLine]:
    for number, each in enumerate(contacts, start=1):
        yield each if isinstance(each, Line | BadLine) else Line(number, dict(each))


def _unstorable(contact: Line) -> BadLine | None:
    if not contact.given:
        return BadLine(contact.line, "empty", "it has no field", {})
    # A text with NUL is one that JSON escapes like this; a text of these six characters is escaped once more.
    is_suspect = b"\\u0000" in orjson.dumps(contact.given)
    if is_suspect and json_documents.first_path(
        contact.given, lambda value: isinstance(value, str) and "\x00" in value
    ):
        return BadLine(contact.line, "nul_character", "a field has a NUL character", contact.given)
    return None


def _require_usable(name: str, price: Decimal, currency: str, limits: Mapping[str, Decimal | None]) -> None:
    if not name.strip():
        raise ConfigurationError("The search needs a name: give one with --name.")
    decimals = currencies.minor_units(currency)
    if decimals is None:
        raise ConfigurationError(f"{currency!r} is no currency of ISO 4217: use a code such as USD.")
    if not price.is_finite() or price < 0 or price != round(price, decimals):
        raise ConfigurationError(f"A price in {currency} is at least 0 and has at most {decimals} decimals: {price}.")
    for what, limit in limits.items():
        if limit is not None and (not limit.is_finite() or limit < 0):
            raise ConfigurationError(f"The {what} has to be a number of at least 0: {limit}.")


def _searches(connection: psycopg.Connection, tenant_id: str, search_id: UUID | None) -> list[Search]:
    with connection.cursor(row_factory=class_row(Search)) as cursor:
        values = {"tenant": tenant_id, "search": search_id}
        return cursor.execute(statement("enrichment", "searches"), values).fetchall()
