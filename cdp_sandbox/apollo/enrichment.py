"""One request for people: read, looked up, charged and answered.

The request is written down with its costs before the answer is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cdp_sandbox.apollo import refusals
from cdp_sandbox.apollo.people import IDENTIFIERS, Person, PoisonError, clean, find
from cdp_sandbox.apollo.settings import BULK_MATCH, Settings
from cdp_sandbox.apollo.store import Call, Charge, Delivery, OutOfCreditsError, Store, credits_of

_MOST_PEOPLE = 10
_PERSON, _FRACTION, _MOBILE = 100, 35, 800  # hundredths of a credit
_TRUE, _FALSE = {True, "true", "1"}, {False, None, "", "false", "0"}


@dataclass(frozen=True)
class Request:
    """The words of a request for people.

    Attributes:
        endpoint: As in `settings.py`.
        people: The words for each person.
        personal_emails: Whether private addresses are to be in the answer.
        waterfall: Whether other vendors are to be asked, which leaves the counts out of the answer.
        webhook_url: Where phone numbers are delivered; empty if none are asked for.
    """

    endpoint: str
    people: list[dict[str, str]]
    personal_emails: bool
    waterfall: bool
    webhook_url: str


def read(endpoint: str, query: Mapping[str, str], content: bytes) -> Request:
    """Read a request. Options are in the query, or else in the body.

    Raises:
        RefusalError: 400 or 422, it is not one that Apollo takes.
    """
    try:
        body = orjson.loads(content or b"{}")
    except orjson.JSONDecodeError as error:
        raise refusals.invalid("The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise refusals.invalid("The body has to be a JSON object.")
    if "api_key" in body:
        raise refusals.key_in_body()
    given = {**body, **query}
    asked = (
        body.get("details") if endpoint == BULK_MATCH else [{key: given[key] for key in IDENTIFIERS if key in given}]
    )
    if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
        raise refusals.invalid("details has to be an array of objects, one for each person.")
    if len(asked) > _MOST_PEOPLE:
        raise refusals.too_many_people(_MOST_PEOPLE)
    return Request(
        endpoint,
        [clean(one) for one in asked],
        personal_emails=_flag(given, "reveal_personal_emails"),
        waterfall=_flag(given, "run_waterfall_email") or _flag(given, "run_waterfall_phone"),
        webhook_url=_webhook_url(given) if _flag(given, "reveal_phone_number") else "",
    )


def enrich(store: Store, request: Request, key_hash: str, *, fault: str = "") -> tuple[dict[str, Any], Delivery | None]:
    """Find the people and charge for them. A person who is asked for twice costs once.

    Args:
        store: The account.
        request: The request.
        key_hash: Who asks.
        fault: What is going to spoil the answer; `fractional` makes each person cost a part of a credit.

    Returns:
        The answer, and the phone numbers that are to be delivered later.

    Raises:
        RefusalError: 422, somebody cannot be looked up, or it would cost too much.
    """
    try:
        found = [_find(store, asked, request) for asked in request.people]
    except PoisonError as error:
        raise refusals.poisoned() from error
    people = {person.id: person for person in found if person is not None}
    calling = _with_phones(store, people, key_hash) if request.webhook_url else {}
    charges = list(_charges(people.values(), calling, _FRACTION if fault == "fractional" else _PERSON))
    # Most are beyond the whole numbers that a float has.
    request_id = random.getrandbits(64) - 2**63
    matched = len(found) - found.count(None)
    call = Call(request.endpoint, key_hash, len(found), 200, matched, request_id, fault=fault)
    delivery = _delivery(store.settings, request.webhook_url, request_id, list(calling.values())) if calling else None
    try:
        words = {person.id: person.asked for person in people.values()}
        delivery = store.take(call, charges, words, delivery, calling)
    except OutOfCreditsError as error:
        raise refusals.out_of_credits() from error
    shown = [person and _shown(person, request, calling) for person in found]
    if request.endpoint != BULK_MATCH:
        return {"person": shown[0], "request_id": request_id}, delivery
    counts = {} if request.waterfall else _counts(len(found), matched, [charge.lead for charge in charges])
    answer = {"status": "success", "error_code": None, "error_message": None, **counts}
    return answer | {"request_id": request_id, "matches": shown}, delivery


def distorted(answer: dict[str, Any], how: str) -> dict[str, Any]:
    """The answer of `bulk_match`, spoiled in one of the ways that `app.py` lists."""
    matches = answer["matches"]
    match how:
        case "wrong_order":
            matches = matches[::-1]
        case "short":
            matches = matches[:-1]
        case "swapped_people":
            first, second, *_ = (*(index for index, person in enumerate(matches) if person), 0, 0)
            matches[first], matches[second] = matches[second], matches[first]
        case "no_counts":
            answer = {name: value for name, value in answer.items() if name not in _counts(0, 0, ())}
    return {**answer, "matches": matches}


def _find(store: Store, asked: dict[str, str], request: Request) -> Person | None:
    if "id" in asked:
        asked = store.words_of(asked["id"]) or {}
    return find(asked, personal_emails=request.personal_emails)


def _with_phones(store: Store, people: Mapping[str, Person], key_hash: str) -> dict[str, Person]:
    """The people whose phones are to be delivered: all but those who are in a delivery to come."""
    coming = store.awaited(key_hash, people.keys())
    return {person_id: person for person_id, person in people.items() if person_id not in coming}


def _charges(people: Iterable[Person], calling: Mapping[str, Person], price: int) -> Iterator[Charge]:
    """The costs of those that cost something. `price` is that of demographics or an address."""
    for person in people:
        lead = price if person.costs else 0
        dial = _MOBILE if person.mobile and person.id in calling else 0
        if lead or dial:
            yield Charge(person.id, person.asked, lead, dial)


def _shown(person: Person, request: Request, calling: Mapping[str, Person]) -> dict[str, Any]:
    if not request.webhook_url:
        return person.shown
    return person.shown | {"phone_enrichment": {"status": "pending" if person.id in calling else "skipped"}}


def _delivery(settings: Settings, url: str, request_id: int, people: Sequence[Person]) -> Delivery:
    phones = [person.phone_numbers() for person in people]
    with_phone = [_MOBILE for numbers in phones if numbers]
    body = {
        "status": "success",
        **_counts(len(people), len(with_phone), with_phone),
        "request_id": request_id,
        "people": [
            {"id": person.id, "status": "success", "phone_numbers": numbers}
            for person, numbers in zip(people, phones, strict=True)
        ],
    }
    due = datetime.now(UTC) + timedelta(seconds=settings.delivery_seconds)
    return Delivery(url, due, settings.deliveries, orjson.dumps(body))


def _counts(asked: int, matched: int, costs: Sequence[int]) -> dict[str, Any]:
    """The counts of an answer or a delivery. `costs` are hundredths of a credit, one for each person."""
    return {
        "total_requested_enrichments": asked,
        "unique_enriched_records": sum(cost > 0 for cost in costs),
        "missing_records": asked - matched,
        "credits_consumed": credits_of(sum(costs)),
    }


def _webhook_url(given: Mapping[str, Any]) -> str:
    url = given.get("webhook_url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise refusals.invalid("Please add a valid 'webhook_url' parameter when using 'reveal_phone_number'.")
    return url


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    value = value.lower() if isinstance(value, str) else value
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise refusals.invalid(f"{name} has to be true or false.")
