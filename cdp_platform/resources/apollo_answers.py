"""Answers of Apollo's API: people, their fields, phone numbers, and which answers are believed.

Shapes are those of Apollo's OpenAPI description of August 2026 and of the pages at docs.apollo.io up to October.
Numbers are read without floats: credits are decimals, and a ``request_id`` has up to 64 bits.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias
from urllib.parse import unquote

Phones: TypeAlias = Literal["none", "pending", "skipped"]

_LOCKED = "email_not_unlocked@"
# Names of fields, and where a person has them.
_OF_A_PERSON = {name: name for name in ("title", "headline", "seniority", "linkedin_url", "twitter_url")} | {
    name: name for name in ("city", "state", "country", "departments")
}
_OF_A_COMPANY = {
    "company": "name",
    "company_domain": "primary_domain",
    "company_website": "website_url",
    "industry": "industry",
    "employees": "estimated_num_employees",
}


class UnreadableError(Exception):
    """An answer that does not have the shape that Apollo describes. The message says where, and quotes nothing."""


@dataclass(frozen=True)
class Field:
    """A field that Apollo knows of a person.

    Attributes:
        value: a text, a number, or a list of texts or of objects.
        status: Apollo's own status or confidence of the value; None where it gives none.
    """

    value: Any
    status: str | None = None


@dataclass(frozen=True)
class Person:
    """Somebody whom Apollo found.

    Attributes:
        id: Apollo's id.
        fields: by name; only those that Apollo knows.
        addresses: all e-mail addresses in them, lower case.
        phone_numbers: all phone numbers in them, as E.164 writes them.
        phones: whether phone numbers will be delivered: no, yes, or by the delivery of an earlier call.
    """

    id: str
    fields: dict[str, Field]
    addresses: list[str]
    phone_numbers: list[str]
    phones: Phones = "none"


@dataclass(frozen=True)
class BulkAnswer:
    """The answer about several people.

    Attributes:
        request_id: Apollo's id of the request; under it phone numbers can be asked for.
        credits: what the answer cost without phone numbers; None where Apollo does not say.
        people: in the order in which they were asked about; None for nobody.
        phones: ``pending`` if a delivery of this call will come, ``skipped`` if only those of earlier calls will.
        left: requests that are left, by length of the window in seconds.
    """

    request_id: int | None
    credits: Decimal | None
    people: Sequence[Person | None]
    phones: Phones
    left: Mapping[int, int]


@dataclass(frozen=True)
class Delivery:
    """Phone numbers that Apollo delivered.

    Attributes:
        credits: what they cost; None where Apollo does not say.
        phones: the field ``phones`` by id of the person; None for somebody without any.
        phone_numbers: the numbers in it as E.164 writes them, by id of the person.
    """

    credits: Decimal | None
    phones: Mapping[str, Field | None]
    phone_numbers: Mapping[str, list[str]]


def read(body: bytes) -> dict[str, Any]:
    """A JSON object with decimals for fractions.

    Raises:
        UnreadableError: it is something else.
    """
    try:
        read = json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UnreadableError("it is not JSON") from None
    return _object(read, "it")


def request_id_of(answer: Mapping[str, Any]) -> int | None:
    """The id of a request: a number of at most 64 bits with a sign, also where it is written as a text."""
    value = answer.get("request_id")
    try:
        number = int(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def credits_of(answer: Mapping[str, Any]) -> Decimal | None:
    """The credits that were charged, of which there may be a fraction; None where the answer does not say."""
    return number_of(answer.get("credits_consumed"))


def number_of(value: Any) -> Decimal | None:
    """A number that is not negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    return number if number >= 0 else None


def matches_of(answer: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """The people of an answer, in the order of the request.

    Raises:
        UnreadableError: it has no such list.
    """
    matches = answer.get("matches")
    if not isinstance(matches, list):
        raise UnreadableError("it has no list `matches`")
    return [None if match is None else _object(match, "a match") for match in matches]


def contradiction(asked: Sequence[Mapping[str, str]], matches: Sequence[Mapping[str, Any] | None]) -> str | None:
    """Why an answer is about other people than those who were asked about; None if nothing says so.

    Nobody may have another id than the one given, or show an address, a LinkedIn page or a name that was given for
    somebody else in the request. Another address than the one given is believed only of somebody who has the name or
    LinkedIn page that was given with it: people change their employers.
    """
    if len(asked) != len(matches):
        return f"it has {len(matches)} matches for {len(asked)} people"
    given = [_marks_given(person) for person in asked]
    of_all = {kind: {marks[kind] for marks in given if kind in marks} for kind in ("email", "linkedin_url", "name")}
    for place, (marks, match) in enumerate(zip(given, matches, strict=True), start=1):
        if match is None:
            continue
        shown = _marks_shown(match)
        other = {kind for kind, mark in marks.items() if shown[kind] and mark not in shown[kind]}
        swapped = {kind for kind in other if kind in of_all and shown[kind] & of_all[kind]}
        vouched = any(marks.get(kind) in shown[kind] for kind in ("linkedin_url", "name"))
        if swapped or "id" in other or ("email" in other and not vouched):
            what = min(swapped) if swapped else "id" if "id" in other else "email"
            return f"match {place} of {len(matches)} has another {what} than the person who was asked about"
    return None


def people_of(answer: Mapping[str, Any], matches: Sequence[Mapping[str, Any] | None]) -> list[Person | None]:
    """The people of an answer.

    Raises:
        UnreadableError: somebody has no id.
    """
    phones = _phones_status(answer)
    return [None if match is None else _person(match, phones) for match in matches]


def delivery_of(payload: Mapping[str, Any]) -> Delivery:
    """The phone numbers of a delivery, as Apollo posts it or keeps it under the id of the request.

    Raises:
        UnreadableError: it does not say whose they are.
    """
    people = payload.get("people")
    if not isinstance(people, list):
        raise UnreadableError("it has no list `people`")
    phones: dict[str, Field | None] = {}
    numbers: dict[str, list[str]] = {}
    for each in people:
        person = _object(each, "a person")
        person_id = _id_of(person)
        phones[person_id], numbers[person_id] = _phones(person)
    return Delivery(credits_of(payload), phones, numbers)


def words_of(body: bytes) -> str:
    """The words of a refusal, which come in several shapes: plain text, or JSON with one of several names."""
    try:
        said = read(body)
    except UnreadableError:
        text = body[:2_000].decode("utf-8", "replace")
        return "" if "<" in text[:200] else text
    return ": ".join(_texts([said.get(name) for name in ("error_code", "error", "error_message", "message", "errors")]))


def _person(match: Mapping[str, Any], phones_of_all: Phones) -> Person:
    company = match.get("organization")
    company = company if isinstance(company, dict) else {}
    values = {name: match.get(theirs) for name, theirs in _OF_A_PERSON.items()}
    values |= {name: company.get(theirs) for name, theirs in _OF_A_COMPANY.items()}
    values["name"] = match.get("name") or " ".join(_texts([match.get("first_name"), match.get("last_name")]))
    fields = {name: Field(clean) for name, value in values.items() if (clean := _clean(value))}
    if email := _address(match.get("email")):
        fields["email"] = Field(email, _status(match.get("email_status"), match.get("extrapolated_email_confidence")))
    if personal := _addresses(match.get("personal_emails")):
        fields["personal_emails"] = Field(personal)
    phones, numbers = _phones(match)
    if phones:
        fields["phones"] = phones
    addresses = [address.lower() for address in dict.fromkeys([*([email] if email else []), *personal])]
    own = _phones_status(match)
    return Person(_id_of(match), fields, addresses, numbers, own if own != "none" else phones_of_all)


def _phones(of: Mapping[str, Any]) -> tuple[Field | None, list[str]]:
    entries = [each for each in _list(of.get("phone_numbers")) if isinstance(each, dict)]
    shown, numbers = [], []
    for entry in entries:
        # An answer and a delivery have different names for the same.
        number = _text(entry.get("sanitized_number") or entry.get("raw_number"))
        if not number:
            continue
        normal = _e164(number)
        numbers += [normal] if normal else []
        said = {"type": "type", "status": "status", "confidence": "confidence", "do_not_call": "dnc_status"}
        about = {name: _text(entry.get(f"{theirs}_cd") or entry.get(theirs)) for name, theirs in said.items()}
        shown.append({"number": normal or number, **{name: text for name, text in about.items() if text}})
    if not shown:
        return None, []
    return Field(shown, _status(shown[0].get("status"), shown[0].get("confidence"))), list(dict.fromkeys(numbers))


def _phones_status(of: Mapping[str, Any]) -> Phones:
    said = of.get("phone_enrichment")
    status = said.get("status") if isinstance(said, dict) else None
    return status if status in ("pending", "skipped") else "none"


def _e164(number: str) -> str | None:
    import phonenumbers  # noqa: PLC0415 (heavy; definitions load without it)

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _status(status: Any, confidence: Any) -> str | None:
    return " ".join(_texts([status, confidence])) or None


def _address(value: Any) -> str:
    text = _text(value)
    return text if "@" in text and not text.lower().startswith(_LOCKED) else ""


def _addresses(value: Any) -> list[str]:
    return [address for each in _list(value) if (address := _address(each))]


def _marks_given(person: Mapping[str, str]) -> dict[str, str]:
    name = person.get("name") or " ".join(person.get(part, "") for part in ("first_name", "last_name"))
    marks = {
        "id": person.get("id", ""),
        "email": person.get("email", "").lower(),
        "linkedin_url": _page(person.get("linkedin_url")),
        "name": _folded(name) if " " in name.strip() else "",
    }
    return {kind: mark for kind, mark in marks.items() if mark}


def _marks_shown(match: Mapping[str, Any]) -> dict[str, set[str]]:
    contact = match.get("contact")
    emails = [*_addresses([match.get("email")]), *_addresses(match.get("personal_emails"))]
    if isinstance(contact, dict):
        # The account's own record of the person, under an address that it had at some time.
        listed = [each.get("email") for each in _list(contact.get("contact_emails")) if isinstance(each, dict)]
        emails += _addresses([contact.get("email"), *listed])
    names = [_text(match.get("name")), " ".join(_texts([match.get("first_name"), match.get("last_name")]))]
    return {
        "id": {_text(match.get("id"))},
        "email": {email.lower() for email in emails},
        "linkedin_url": {_page(match.get("linkedin_url"))} - {""},
        "name": {_folded(name) for name in names} - {""},
    }


def _page(address: Any) -> str:
    return unquote(_text(address)).lower().rpartition("://")[2].removeprefix("www.").rstrip("/")


def _folded(name: str) -> str:
    letters = unicodedata.normalize("NFD", name.casefold().replace("đ", "d"))
    return " ".join("".join(each for each in letters if not unicodedata.combining(each)).split())


def _clean(value: Any) -> Any:
    """A text or number, or a list of texts, as PostgreSQL can store it; None for what is empty or something else."""
    if isinstance(value, list):
        return [text for each in value if (text := _text(each))] or None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _text(value) or None


def _text(value: Any) -> str:
    """A text without what PostgreSQL cannot store; a number as a text; '' for anything else."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""


def _texts(values: Sequence[Any]) -> list[str]:
    """The texts among these, and among those that are lists of them, or objects."""
    listed = (
        each if isinstance(each, list) else [*each.values()] if isinstance(each, dict) else [each] for each in values
    )
    return [text for some in listed for each in some for inner in (_list(each) or [each]) if (text := _text(inner))]


def _id_of(person: Mapping[str, Any]) -> str:
    if not (person_id := _text(person.get("id"))):
        raise UnreadableError("a person in it has no id")
    return person_id


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableError(f"{what} is no JSON object")
    return value


def _no_number(_: str) -> NoReturn:
    raise ValueError
