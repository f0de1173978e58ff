"""One request for people: read, looked up, charged and answered.

The request is written down with its costs before the answer is made.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cdp_sandbox.apollo import refusals
from cdp_sandbox.apollo.people import IDENTIFIERS, Person, PoisonError, clean, find
from cdp_sandbox.apollo.settings import BULK_MATCH
from cdp_sandbox.apollo.store import Call, Charge, OutOfCreditsError, Store, credits_of

_MOST_PEOPLE = 10
_PERSON, _FRACTION = 100, 35  # hundredths of a credit
_TRUE, _FALSE = {True, "true", "1"}, {False, None, "", "false", "0"}


@dataclass(frozen=True)
class Request:
    """The words of a request for people.

    Attributes:
        endpoint: As in `settings.py`.
        people: The words for each person.
        personal_emails: Whether private addresses are to be in the answer.
        waterfall: Whether other vendors are to be asked, which leaves the counts out of the answer.
    """

    endpoint: str
    people: list[dict[str, str]]
    personal_emails: bool
    waterfall: bool


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
    )


def enrich(store: Store, request: Request, key_hash: str, *, fault: str = "") -> dict[str, Any]:
    """Find the people, charge for them, and return the answer. A person who is asked for twice costs once.

    Args:
        store: The account.
        request: The request.
        key_hash: Who asks.
        fault: What is going to spoil the answer; `fractional` makes each person cost a part of a credit.

    Raises:
        RefusalError: 422, somebody cannot be looked up, or it would cost too much.
    """
    try:
        found = [_find(store, asked, request) for asked in request.people]
    except PoisonError as error:
        raise refusals.poisoned() from error
    people = {person.id: person for person in found if person is not None}
    price = _FRACTION if fault == "fractional" else _PERSON
    charges = [Charge(person.id, person.asked, price, 0) for person in people.values() if person.costs]
    # Most are beyond the whole numbers that a float has.
    request_id = random.getrandbits(64) - 2**63
    matched = len(found) - found.count(None)
    call = Call(request.endpoint, key_hash, len(found), 200, matched, request_id, fault=fault)
    try:
        store.take(call, charges, [(person.id, person.asked) for person in people.values()])
    except OutOfCreditsError as error:
        raise refusals.out_of_credits() from error
    shown = [person and person.shown for person in found]
    if request.endpoint != BULK_MATCH:
        return {"person": shown[0], "request_id": request_id}
    counts = {} if request.waterfall else _counts(len(found), matched, charges)
    return {
        "status": "success", "error_code": None, "error_message": None, **counts, "request_id": request_id,
        "matches": shown,
    }  # fmt: skip


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
            answer = {name: value for name, value in answer.items() if name not in _counts(0, 0, [])}
    return {**answer, "matches": matches}


def _find(store: Store, asked: dict[str, str], request: Request) -> Person | None:
    if "id" in asked:
        asked = store.words_of(asked["id"]) or {}
    return find(asked, personal_emails=request.personal_emails)


def _counts(asked: int, matched: int, charges: list[Charge]) -> dict[str, Any]:
    return {
        "total_requested_enrichments": asked,
        "unique_enriched_records": len(charges),
        "missing_records": asked - matched,
        "credits_consumed": credits_of(sum(charge.lead for charge in charges)),
    }


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    value = value.lower() if isinstance(value, str) else value
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise refusals.invalid(f"{name} has to be true or false.")
