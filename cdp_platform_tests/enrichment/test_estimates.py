"""A search's cost is said before anything is asked: known answers cost nothing, and limits say what they leave."""

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from cdp_platform.enrichment import searches
from cdp_platform.enrichment.estimates import Estimate, estimate
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops import tenants
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.command_line import answers, invoke, refusal, says
from cdp_platform_tests.conftest import Warehouse

_CALL = """
INSERT INTO enrichment.provider_call
    (tenant_id, call_id, search_id, provider, account, personal_emails, phones, people, spend_day, credits_reserved)
VALUES ('acme', %(call)s, %(search)s, 'apollo', 'a', false, false, 1, current_date, 0)
"""
# An answer to the question of a line.
_ANSWER = """
INSERT INTO enrichment.answer (tenant_id, provider, question_hash, personal_emails, phones, state, call_id, answered_at,
    expires_at)
SELECT 'acme', 'apollo', question_hash, false, %(phones)s, %(state)s, %(call)s,
    CASE WHEN %(state)s <> 'asked' THEN now() END, CASE WHEN %(state)s <> 'asked' THEN now() + %(life)s::interval END
FROM enrichment.contact WHERE search_id = %(search)s AND line = %(line)s
"""


@pytest.fixture
def acme(app: psycopg.Connection) -> psycopg.Connection:
    tenants.add(app, "acme", arango_database="")
    return app


def _search(app: psycopg.Connection, people: int = 6, **of_search: Any) -> UUID:
    """Of so many people, and one twice, and one of whom nothing is known."""
    contacts = [{"email": f"p{number}@acme.example"} for number in range(people)]
    contacts += [{"email": "P0@acme.example"}, {"name": "Only"}]
    values: dict[str, Any] = {"name": "Spring", "price": Decimal("2.99"), "currency": "USD"} | of_search
    return searches.create(app, "acme", contacts=contacts, **values).search_id


def _answered(app: psycopg.Connection, search_id: UUID, line: int, state: str, *, phones: bool, life: str) -> None:
    values = {"call": uuid4(), "search": search_id, "line": line, "state": state, "phones": phones, "life": life}
    with tenant_transaction(app, "acme"):
        app.execute(_CALL, values)
        app.execute(_ANSWER, values)


def _estimate(app: psycopg.Connection, search_id: UUID, **settings: Any) -> Estimate:
    with tenant_transaction(app, "acme"):
        return estimate(app, tenants.get(app, "acme"), search_id, EnrichmentSettings(**settings))


@pytest.mark.parametrize(("phones", "cost"), [(False, 3), (True, 4 * 9)])
def test_what_is_known_or_under_way_is_not_paid_again(acme: psycopg.Connection, phones: bool, cost: int) -> None:
    search_id = _search(acme, phones=phones)
    _answered(acme, search_id, 1, "match", phones=True, life="1 day")
    # It answers no question for phones.
    _answered(acme, search_id, 2, "no_match", phones=False, life="1 day")
    _answered(acme, search_id, 3, "match", phones=True, life="-1 second")
    _answered(acme, search_id, 4, "asked", phones=True, life="0")
    found = _estimate(acme, search_id)
    assert (found.contacts, found.questions, found.answered, found.under_way) == (7, 6, 1 if phones else 2, 1)
    assert (found.least_credits, found.most_credits) == (0, cost)
    assert (found.most_money, found.currency, found.limits) == (cost * Decimal("0.10"), "USD", [])


def test_every_limit_says_what_it_leaves_the_narrowest_first(acme: psycopg.Connection) -> None:
    own = EnrichmentTenantSettings(enrichment_credit_limit=Decimal(100), enrichment_daily_credits=Decimal(5))
    tenants.add(acme, "acme", settings=[own])
    search_id = _search(acme, credit_limit=Decimal(50), money_limit=Decimal("0.5"))
    found = _estimate(acme, search_id, enrichment_daily_credits=1_000, enrichment_daily_budget=Decimal("0.55"))
    assert [(each.limit, each.unit, each.left, each.needed, each.is_enough) for each in found.limits] == [
        ("day", "credits", 5, 6, False),
        ("search", "USD", Decimal("0.5"), Decimal("0.6"), False),
        ("day", "USD", Decimal("0.55"), Decimal("0.6"), False),
        ("search", "credits", 50, 6, True),
        ("tenant", "credits", 100, 6, True),
    ]


def test_what_was_used_is_taken_off_the_limits(acme: psycopg.Connection) -> None:
    tenants.add(acme, "acme", settings=[EnrichmentTenantSettings(enrichment_credit_limit=Decimal(100))])
    search_id = _search(acme, credit_limit=Decimal(50))
    with tenant_transaction(acme, "acme"):
        acme.execute("UPDATE enrichment.search SET credits = 1.5, credits_reserved = 10")
        acme.execute("INSERT INTO enrichment.spend VALUES ('acme', 'apollo', current_date, 'credits', 11.5)")
    found = _estimate(acme, search_id, enrichment_daily_credits=20)
    assert {each.limit: each.left for each in found.limits} == {
        "search": Decimal("38.5"),
        "tenant": Decimal("88.5"),
        "day": Decimal("8.5"),
    }


def test_a_file_is_imported_estimated_and_tried_again_by_commands(
    acme: psycopg.Connection, warehouse: Warehouse, tmp_path: Path
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("sep=;\nE-Mail;Vorname\na@acme.example;A\nA@acme.example;A\n;B\nx\n")
    given = ("--tenant", "acme", "--file", str(path), "--name", "Spring", "--price", "2.99", "--currency", "USD")
    told = says("enrichment", "import", *given, "--phones", "--credit-limit", "12.5", code=1)
    assert "has 3 contacts of 4 lines, who are 1 different people to ask about" in told
    assert "it has not as many fields as the header, or its quotation marks do not fit 1" in told
    with tenant_transaction(acme, "acme"):
        (search,) = searches.all_of(acme, "acme")
    assert (search.phones, search.personal_emails, search.credit_limit) == (True, False, Decimal("12.5"))
    of_search = ("--tenant", "acme", "--search", str(search.search_id))
    told = says("enrichment", "estimate", *of_search)
    assert "to ask about 1" in told
    assert "It costs at most 9 credits, which are 0.90 USD." in told
    assert answers("enrichment", "estimate", *of_search)["limits"][0]["left"] == "12.5"
    assert "only one that failed is tried again" in refusal("enrichment", "retry", *of_search)
    with tenant_transaction(acme, "acme"):
        for before, after in (("preview", "paid"), ("paid", "enriching"), ("enriching", "failed")):
            assert searches.move(acme, "acme", search.search_id, before, after)
    assert "is paid again" in says("enrichment", "retry", *of_search)


def test_wrong_options_are_refused_before_anything_is_read(acme: psycopg.Connection, warehouse: Warehouse) -> None:
    given = ("enrichment", "import", "--tenant", "acme", "--name", "S", "--currency", "USD", "--file")
    assert "does not exist" in invoke(*given, "absent.csv", "--price", "1").output
    assert "is no number" in invoke(*given, __file__, "--price", "many").output
    assert "no column that says who" in refusal(*given, __file__, "--price", "1")
