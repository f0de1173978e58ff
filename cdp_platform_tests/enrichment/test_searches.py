"""Searches: a list becomes contacts in one piece, equal contacts one question, and no status goes backwards."""

import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest

from cdp_platform.customers import persons
from cdp_platform.enrichment import searches
from cdp_platform.enrichment.contact_file import BadLine, Line
from cdp_platform.enrichment.searches import ImportResult
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import rejected, tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import Warehouse

_JANE = {"Email": "jane@acme.example", "Name": "Jane Doe"}


@pytest.fixture
def acme(app: psycopg.Connection) -> psycopg.Connection:
    for tenant_id in ("acme", "bolt"):
        tenants.add(app, tenant_id, arango_database="")
    return app


def _created(app: psycopg.Connection, *contacts: Any, tenant_id: str = "acme", **of_search: Any) -> ImportResult:
    values: dict[str, Any] = {"name": "Spring", "price": Decimal("2.99"), "currency": "USD"} | of_search
    return searches.create(app, tenant_id, contacts=contacts, **values)


def _rows(app: psycopg.Connection, query: str, tenant_id: str = "acme") -> list[tuple]:
    with tenant_transaction(app, tenant_id):
        return app.execute(query.encode()).fetchall()


def _search(app: psycopg.Connection, search_id: UUID) -> searches.Search:
    with tenant_transaction(app, "acme"):
        return searches.get(app, "acme", search_id)


def _moved(app: psycopg.Connection, search_id: UUID, before: Any, after: Any, reason: str | None = None) -> bool:
    with tenant_transaction(app, "acme"):
        return searches.move(app, "acme", search_id, before, after, reason=reason)


def test_a_list_becomes_contacts_and_its_counts_add_up(acme: psycopg.Connection) -> None:
    bad = BadLine(4, "not_a_row", "it has not as many fields as the header", {"values": ["x"]})
    result = _created(acme, Line(2, _JANE), Line(3, {"Name": "Only"}), bad, Line(5, {"email": "JANE@acme.example"}))
    assert result == ImportResult(
        result.search_id,
        lines=4,
        contacts=3,
        questions=1,
        erased=0,
        unusable={"it has only a name": 1},
        rejected={"it has not as many fields as the header": 1},
    )
    search = _search(acme, result.search_id)
    assert (search.status, search.waiting, search.unusable, search.rejected) == ("preview", 2, 1, 1)
    assert (search.price, search.currency, search.contacts) == (Decimal("2.99"), "USD", 3)
    found = _rows(acme, "SELECT line, given, outcome, email FROM enrichment.contact ORDER BY contact_id")
    assert found == [
        (2, _JANE, "waiting", "jane@acme.example"),
        (3, {"Name": "Only"}, "unusable", None),
        (5, {"email": "JANE@acme.example"}, "waiting", "jane@acme.example"),
    ]
    with tenant_transaction(acme, "acme"):
        (record,) = rejected.waiting(acme, "acme")
    assert (record.source, record.code, record.path) == ("enrichment_contact", "not_a_row", "$.line[4]")


def test_equal_contacts_are_one_question_in_all_searches_of_a_tenant_alone(acme: psycopg.Connection) -> None:
    _created(acme, _JANE, {"e-mail": " JANE@ACME.example", "company": "Acme"})
    _created(acme, {"email": "jane@acme.example"})
    _created(acme, _JANE, tenant_id="bolt")
    hashes = "SELECT DISTINCT question_hash FROM enrichment.contact"
    (of_acme,), (of_bolt,) = _rows(acme, hashes), _rows(acme, hashes, "bolt")
    assert of_acme != of_bolt
    assert b"jane" not in of_acme[0]


def test_what_cannot_be_stored_is_rejected_and_kept_to_look_at(acme: psycopg.Connection) -> None:
    result = _created(acme, _JANE, {"email": "a@b.example", "note": "x\x00y"}, {"more": {"d\x00": 1}}, {})
    assert result.rejected == {"a field has a NUL character": 2, "it has no field": 1}
    with tenant_transaction(acme, "acme"):
        documents = [record.document for record in rejected.waiting(acme, "acme")]
    assert {"email": "a@b.example", "note": "x\x00y"} in documents


@pytest.mark.parametrize("column", ["given", "question", "question_hash", "email", "line"])
def test_what_came_with_a_contact_never_changes(acme: psycopg.Connection, column: str) -> None:
    _created(acme, _JANE)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _rows(acme, f"UPDATE enrichment.contact SET {column} = {column}")
    _rows(acme, "UPDATE enrichment.contact SET outcome = 'held', reason = 'x' RETURNING 1")


def test_a_list_that_breaks_off_leaves_nothing(acme: psycopg.Connection) -> None:
    def broken() -> Iterator[Any]:
        for number in range(6_000):
            yield {"email": f"p{number}@acme.example"}
        yield BadLine(6_001, "not_json", "it is no JSON in UTF-8", {"text": "x"})
        raise ConfigurationError("the file ends in the middle")

    with pytest.raises(ConfigurationError, match="ends in the middle"):
        searches.create(acme, "acme", name="Spring", price=Decimal(1), currency="USD", contacts=broken())
    for table in ("enrichment.search", "enrichment.contact", "ops.rejected_record"):
        assert _rows(acme, f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "  "}, "needs a name"),
        ({"currency": "XXX"}, "is no currency"),
        ({"currency": "usd"}, "is no currency"),
        ({"price": Decimal("2.999")}, "at most 2 decimals"),
        ({"price": Decimal("0.5"), "currency": "VND"}, "at most 0 decimals"),
        ({"price": Decimal("NaN")}, "at least 0"),
        ({"price": Decimal(-1)}, "at least 0"),
        ({"credit_limit": Decimal("Infinity")}, "credit limit"),
        ({"money_limit": Decimal(-1)}, "money limit"),
    ],
)
def test_a_search_with_wrong_money_is_not_made(acme: psycopg.Connection, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        _created(acme, _JANE, **wrong)
    assert _rows(acme, "SELECT 1 FROM enrichment.search") == []


def test_an_empty_list_is_no_search(acme: psycopg.Connection) -> None:
    with pytest.raises(ConfigurationError, match="no contact"):
        _created(acme)
    assert _rows(acme, "SELECT 1 FROM enrichment.search") == []


def test_a_search_moves_only_from_where_it_is_taken_to_be(acme: psycopg.Connection) -> None:
    search_id = _created(acme, _JANE).search_id
    assert _moved(acme, search_id, "preview", "paid")
    paid_at = _search(acme, search_id).paid_at
    assert not _moved(acme, search_id, "preview", "paid")
    assert not _moved(acme, uuid4(), "preview", "paid")
    assert _moved(acme, search_id, "paid", "preview", "refunded")
    assert _search(acme, search_id).paid_at is None
    assert _moved(acme, search_id, "preview", "paid")
    assert paid_at is not None
    assert _moved(acme, search_id, "paid", "enriching")
    assert _moved(acme, search_id, "enriching", "ready")
    for after in ("preview", "paid", "enriching", "failed"):
        with pytest.raises(psycopg.errors.CheckViolation, match="does not become"):
            _moved(acme, search_id, "ready", after)
    assert _search(acme, search_id).ended_at is not None


def test_only_a_failed_search_is_tried_again_and_its_payment_counts(acme: psycopg.Connection) -> None:
    search_id = _created(acme, _JANE).search_id
    with pytest.raises(ConfigurationError, match="is preview"), tenant_transaction(acme, "acme"):
        searches.retry(acme, "acme", search_id)
    for before, after in (("preview", "paid"), ("paid", "enriching"), ("enriching", "failed")):
        assert _moved(acme, search_id, before, after)
    paid_at = _search(acme, search_id).paid_at
    with tenant_transaction(acme, "acme"):
        searches.retry(acme, "acme", search_id)
    found = _search(acme, search_id)
    assert (found.status, found.paid_at, found.ended_at) == ("paid", paid_at, None)


def test_tenants_do_not_see_each_others_searches(acme: psycopg.Connection) -> None:
    search_id = _created(acme, _JANE).search_id
    with tenant_transaction(acme, "bolt"), pytest.raises(ConfigurationError, match="has no search"):
        searches.get(acme, "bolt", search_id)
    with tenant_transaction(acme, "acme"):
        assert [each.search_id for each in searches.all_of(acme, "acme")] == [search_id]


def _profile(app: psycopg.Connection, profile_id: str, email: str) -> None:
    Sender(app, tenants.get(app, "acme")).profiles({"profile_id": profile_id, "primary_email": email})


def test_an_erased_person_stays_out_of_every_later_list(acme: psycopg.Connection) -> None:
    _profile(acme, "p1", "jane@acme.example")
    persons.erase(acme, "acme", ["p1"])
    result = _created(
        acme,
        _JANE,
        {"name": "J. Doe", "company": "Acme", "Notes": "write to JANE@acme.example"},
        {"email": "june@acme.example"},
        BadLine(4, "not_a_row", "it has not as many fields as the header", {"values": ["Jane@ACME.example", "x"]}),
        BadLine(5, "not_a_row", "it has not as many fields as the header", {"values": ["june@acme.example", "x"]}),
    )
    assert (result.contacts, result.erased, result.questions) == (1, 2, 1)
    assert _rows(acme, "SELECT email FROM enrichment.contact") == [("june@acme.example",)]
    assert _rows(acme, "SELECT document #>> '{values,0}' FROM ops.rejected_record") == [("june@acme.example",)]


def test_an_erasure_takes_contacts_and_rejected_lines_with_an_address_of_the_person(acme: psycopg.Connection) -> None:
    _profile(acme, "p1", "jane@acme.example")
    result = _created(
        acme,
        {"email": "doe@home.example", "Secondary Email": "Jane@acme.example"},
        {"email": "june@acme.example"},
        BadLine(3, "not_json", "it is no JSON in UTF-8", {"text": '{"email": "jane@acme.example"'}),
        BadLine(4, "not_json", "it is no JSON in UTF-8", {"text": '{"email": "june@acme.example"'}),
    )
    receipt = persons.erase(acme, "acme", ["p1"])
    assert (receipt.rows["enrichment.contact"], receipt.rows["ops.rejected_record"]) == (1, 1)
    assert _rows(acme, "SELECT given FROM enrichment.contact") == [({"email": "june@acme.example"},)]
    assert _rows(acme, "SELECT document_key FROM ops.rejected_record") == [(f"{result.search_id} 00000004",)]
    assert _search(acme, result.search_id).erased == 1


def test_an_erasure_waits_for_a_list_that_comes_in_and_takes_its_contact(
    acme: psycopg.Connection, warehouse: Warehouse
) -> None:
    _profile(acme, "p1", "jane@acme.example")

    def erase() -> None:
        with connect(warehouse.settings) as connection:
            persons.erase(connection, "acme", ["p1"])

    erasing = threading.Thread(target=erase)

    def slow() -> Iterator[Any]:
        yield _JANE
        erasing.start()
        with warehouse.superuser() as watcher:
            while not watcher.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone():
                time.sleep(0.01)
        yield {"email": "june@acme.example"}

    result = searches.create(acme, "acme", name="Spring", price=Decimal(1), currency="USD", contacts=slow())
    assert result.contacts == 2
    erasing.join(60)
    assert _rows(acme, "SELECT email FROM enrichment.contact") == [("june@acme.example",)]
    assert _search(acme, result.search_id).erased == 1


def test_an_import_that_is_killed_anywhere_leaves_a_whole_search_or_none(
    acme: psycopg.Connection, warehouse: Warehouse
) -> None:
    contacts = [_JANE, {"Name": "Only"}, BadLine(3, "not_json", "it is no JSON in UTF-8", {"text": "x"})]

    def work(_: None) -> None:
        with connect(warehouse.settings) as connection:
            _created(connection, *contacts)

    def fresh() -> None:
        with warehouse.superuser() as connection:
            connection.execute("TRUNCATE enrichment.search CASCADE")
            connection.execute("DELETE FROM ops.rejected_record")

    whole = 0
    for _ in crashes.after_every_write(work, fresh):
        found = _rows(acme, "SELECT waiting, unusable, rejected FROM enrichment.search")
        counted = _rows(
            acme, "SELECT (SELECT count(*) FROM enrichment.contact), (SELECT count(*) FROM ops.rejected_record)"
        )
        assert (found, counted) in (([], [(0, 0)]), ([(1, 1, 1)], [(2, 1)]))
        whole += bool(found)
    assert whole == 1


def test_a_list_takes_little_time_of_the_processor(acme: psycopg.Connection) -> None:
    # Of this process and of PostgreSQL, so that others at work on the machine do not count: 15 s for 100,000 contacts.
    (pid,) = acme.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    backend = psutil.Process(pid)

    def spent() -> float:
        there = backend.cpu_times()
        return time.process_time() + there.user + there.system

    began = spent()
    people = ({"Name": f"Jane Doe {n}", "Company": "Acme", "Email": f"p{n}@acme.example"} for n in range(20_000))
    assert (
        searches.create(acme, "acme", name="S", price=Decimal(1), currency="USD", contacts=people).questions == 20_000
    )
    assert spent() - began < 3
