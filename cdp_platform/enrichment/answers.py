"""The provider's answers, from which alone contacts get what is found.

Grain of ``enrichment.answer``: one row per question and what was asked for. A question that a call asks has a row
already, so nobody asks it as well; a fresh answer is for every contact of the tenant with that question.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson
import psycopg
from psycopg import sql

from cdp_platform.enrichment.calls import PROVIDER, Hash, Question
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.resources.apollo_answers import Person
from cdp_platform.warehouse.statements import statement


def write(
    connection: psycopg.Connection,
    tenant_id: str,
    call_id: UUID,
    people: Sequence[tuple[Question, Person | None]],
    settings: EnrichmentTenantSettings,
) -> None:
    """Keep the answers of a call, in a transaction of `calls.transaction`.

    Questions that are not asked by the call any more, as their person was erased, get none.

    Args:
        connection: see above.
        tenant_id: whose.
        call_id: of the call.
        people: who was found for each question; None for nobody.
        settings: how long answers are fresh.
    """
    answers = [
        {
            "hash": question.hash.hex(),
            "person_id": person.id,
            "fields": {name: {"value": each.value, "status": each.status} for name, each in person.fields.items()},
            "addresses": [address.lower() for address in person.addresses],
            "phone_numbers": list(person.phone_numbers),
        }
        if person is not None and _says_more(question, person)
        else {"hash": question.hash.hex(), "addresses": [], "phone_numbers": []}
        for question, person in people
    ]
    connection.execute(
        statement("enrichment", "write_answers"),
        {
            "tenant": tenant_id,
            "call": call_id,
            "answers": orjson.dumps(answers).decode(),
            "match_days": settings.enrichment_match_days,
            "no_match_days": settings.enrichment_no_match_days,
        },
    )


def deliver(
    connection: psycopg.Connection, tenant_id: str, *, among: Sequence[Hash] | None = None
) -> Mapping[str, int]:
    """Give open contacts of searches under way the fresh answers to their questions, whoever bought them.

    Args:
        connection: inside a transaction of `calls.transaction`.
        tenant_id: whose contacts.
        among: hashes of questions, if only their contacts; None: all.

    Returns:
        Number of contacts by outcome: ``enriched``, ``no_match``.
    """
    chosen = sql.SQL("" if among is None else "AND c.question_hash = ANY (%(among)s)")
    query = statement("enrichment", "deliver").format(among=chosen)
    return dict(connection.execute(query, {"tenant": tenant_id, "provider": PROVIDER, "among": among}).fetchall())


def refuse(connection: psycopg.Connection, tenant_id: str, digest: Hash, reason: str) -> int:
    """The provider takes no question about a person: their contacts are ``unusable``; returns their number."""
    values = {"tenant": tenant_id, "hash": digest, "reason": reason}
    return connection.execute(statement("enrichment", "refuse_contacts"), values).rowcount


def _says_more(question: Question, person: Person) -> bool:
    """Whether an answer has anything but a name, which costs nothing, and the address that was asked with."""
    asked = question.fields.get("email", "").lower()
    return any(
        name != "name" and not (name == "email" and str(each.value).lower() == asked)
        for name, each in person.fields.items()
    )
