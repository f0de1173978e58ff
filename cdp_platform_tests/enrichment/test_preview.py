"""What is shown of a search before it is paid for says nothing that could be used without paying."""

import json
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from cdp_platform.enrichment import masking, searches
from cdp_platform.enrichment.preview import Masked, preview
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.command_line import answers, refusal, says
from cdp_platform_tests.conftest import Warehouse

# Every word of these may identify somebody.
_PLANTED = {
    "First Name": ["Wilhelmina", "Xantippe", "Yolanda"],
    "Last Name": ["Quackenbush", "Zimmerwald", "Featherstone"],
    "Email": ["wilhelmina.q@secretcorp.example", "xantippe@secretcorp.example", "yolanda@hiddenshop.example"],
    "Company": ["Secretcorp Holdings", "Secretcorp Holdings", "Hiddenshop"],
    "Website": ["secretcorp.example", "secretcorp.example", "hiddenshop.example"],
    "Person Linkedin Url": ["linkedin.com/in/wquackenbush", "", "linkedin.com/in/yfeather"],
    "Mobile Phone": ["+84 901 234 567", "+1 (415) 555-0199", "123456"],
    "Notes": ["met at Fairlawn", "private: +84987654321", "secondary yo@elsewhere.example"],
}
_SECRETS = [
    *("wilhelmina", "xantippe", "yolanda", "quackenbush", "zimmerwald", "featherstone", "secretcorp", "hiddenshop"),
    *("fairlawn", "yfeather", "elsewhere", "901234567", "1234567", "901 234", "555-0199", "5550199", "123456"),
    "987654321",
]


@pytest.fixture
def search_id(app: psycopg.Connection, warehouse: Warehouse) -> UUID:
    tenants.add(app, "acme", arango_database="")
    contacts = [{column: values[at] for column, values in _PLANTED.items()} for at in range(3)]
    result = searches.create(
        app,
        "acme",
        name="Spring",
        price=Decimal("2.99"),
        currency="USD",
        contacts=[*contacts, {"Name": "Wilhelmina Quackenbush"}, {"email": "quackenbush@"}],
    )
    return result.search_id


def test_contacts_are_masked_and_a_domain_shows_one_address(app: psycopg.Connection, search_id: UUID) -> None:
    with tenant_transaction(app, "acme"):
        found = preview(app, "acme", search_id)
    assert (found.contacts, found.usable, found.price, found.currency) == (5, 3, Decimal("2.99"), "USD")
    unusable = "its e-mail address is not valid, and nothing else says who it is"
    assert found.shown == [
        Masked(1, "W. Q.", "w•••@s•••.example", "849•••67", "S•••", linkedin=True, reason=None),
        Masked(2, "X. Z.", None, "141•••99", "S•••", linkedin=False, reason=None),
        Masked(3, "Y. F.", "y•••@h•••.example", "•••", "H•••", linkedin=True, reason=None),
        Masked(4, "W. Q.", None, None, None, linkedin=False, reason="it has only a name"),
        Masked(5, "", None, None, None, linkedin=False, reason=unusable),
    ]


def test_no_answer_before_payment_shows_a_person(app: psycopg.Connection, search_id: UUID, tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    table = zip(*([column, *values] for column, values in _PLANTED.items()), strict=True)
    header, *rows = (",".join(f'"{each}"' for each in row) for row in table)
    path.write_text("\n".join([header, *rows, '"Wilhelmina Quackenbush"']) + "\n")
    of_search = ("--tenant", "acme", "--search", str(search_id))
    imported = ("enrichment", "import", "--tenant", "acme", "--file", str(path), "--name", "More", "--price", "1")
    with tenant_transaction(app, "acme"):
        found = [repr(preview(app, "acme", search_id)), repr(searches.get(app, "acme", search_id))]
    for command in ("preview", "estimate"):
        found += [says("enrichment", command, *of_search), json.dumps(answers("enrichment", command, *of_search))]
    found += [says(*imported, "--currency", "USD", code=1), says("rejected", "list", "--tenant", "acme")]
    found.append(says(*imported, "--currency", "USD", "--json", code=1))
    for text in found:
        assert len(text) > 100
        assert [secret for secret in _SECRETS if secret in text.casefold()] == []


def test_another_tenants_search_is_not_shown(app: psycopg.Connection, search_id: UUID) -> None:
    tenants.add(app, "bolt", arango_database="")
    assert "has no search" in refusal("enrichment", "preview", "--tenant", "bolt", "--search", str(search_id))


def test_the_rest_does_not_tell_its_length() -> None:
    assert masking.email("a@b.example") == masking.email("abcdef@bolt.example") == "a•••@b•••.example"
    assert masking.phone("12345678") == "123•••78"
    assert masking.phone("1234567") == masking.phone("") == "•••"
    assert masking.name({"name": "Jane van der Doe"}) == "J. D."
    assert masking.name({"last_name": "Doe"}) == "D."
