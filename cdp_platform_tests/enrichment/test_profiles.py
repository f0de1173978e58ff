"""What enrichment found is added to profiles with the same address, and stays there."""

import json
from typing import Any

import pytest

from cdp_platform.customers.replay import replay
from cdp_platform.enrichment import profiles
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.written import Written
from cdp_platform_tests.leo import Leo

COLUMNS = "enriched_title, enriched_company, enriched_industry, enriched_seniority"
FOUND = {"title": "Head of Coffee", "company": "Lotus", "industry": "beverages", "seniority": "head"}


@pytest.fixture
def written(leo: Leo) -> Written:
    return Written(leo.connection, leo.tenant.tenant_id)


def add(leo: Leo) -> int:
    return profiles.add(leo.connection, leo.tenant.tenant_id)


def enriched(leo: Leo, profile_id: str) -> Any:
    ((found, *_rest),) = leo.rows(
        f"SELECT row_to_json(r) FROM (SELECT {COLUMNS} FROM customers.cdp_profiles"
        f" WHERE profile_id = '{profile_id}') AS r"
    )
    return {name.removeprefix("enriched_"): value for name, value in found.items() if value is not None}


def text(leo: Leo, profile_id: str) -> str | None:
    ((found,),) = leo.rows(f"SELECT content FROM embeddings.profile_texts WHERE entity_id = '{profile_id}'")
    return found


@pytest.mark.parametrize("addresses", [{"primaryEmail": "Nam@Example.com"}, {"secondaryEmails": ["nam@example.com"]}])
def test_a_profile_with_the_address_of_a_contact_has_what_was_found(leo: Leo, written: Written, addresses: dict):
    leo.profile("nam", **addresses)
    leo.profile("mai", primaryEmail="mai@example.com")
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    assert add(leo) == 1
    assert enriched(leo, "nam") == FOUND
    assert enriched(leo, "mai") == {}


def test_a_profile_that_comes_after_its_contact_has_it_too(leo: Leo, written: Written):
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    assert add(leo) == 0
    leo.profile("nam", primaryEmail="nam@example.com")
    leo.sync()
    assert add(leo) == 1
    assert enriched(leo, "nam") == FOUND


def test_nothing_is_written_a_second_time(leo: Leo, written: Written):
    leo.profile("nam", primaryEmail="nam@example.com")
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    add(leo)
    before = leo.versions()
    assert add(leo) == 0
    assert leo.versions() == before


def test_the_newest_answer_counts_whole(leo: Leo, written: Written):
    leo.profile("nam", primaryEmail="nam@example.com", secondaryEmails=["nam@work.example"])
    leo.sync()
    search = written.search()
    old = written.contact(search, "nam@example.com", outcome="enriched")
    written.fields(old, at="2026-10-01", **FOUND)
    newer = written.contact(search, "nam@work.example", outcome="enriched")
    written.fields(newer, at="2026-11-01", title="Director")
    add(leo)
    assert enriched(leo, "nam") == {"title": "Director"}


@pytest.mark.parametrize("outcome", ["waiting", "held", "original", "no_match"])
def test_a_contact_that_was_not_enriched_adds_nothing(leo: Leo, written: Written, outcome: str):
    leo.profile("nam", primaryEmail="nam@example.com")
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome=outcome, **FOUND)
    assert add(leo) == 0


def test_another_tenants_contact_adds_nothing(leo: Leo, new_leo: Any):
    other = new_leo("other")
    leo.profile("nam", primaryEmail="nam@example.com")
    leo.sync()
    theirs = Written(other.connection, "other")
    theirs.contact(theirs.search(), "nam@example.com", outcome="enriched", **FOUND)
    assert add(leo) == add(other) == 0


def test_no_sync_reconciliation_or_replay_overwrites_it(leo: Leo, written: Written):
    leo.profile("nam", 1, primaryEmail="nam@example.com", jobTitles=["barista"])
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    add(leo)
    leo.profile("nam", 2, primaryEmail="nam@example.com", jobTitles=["roaster"])
    assert leo.sync().changed == 1
    assert enriched(leo, "nam") == FOUND
    leo.profile("nam", 1, primaryEmail="nam@example.com", jobTitles=["owner"])
    assert leo.reconcile().changed == 1
    assert enriched(leo, "nam") == FOUND
    # A document that waits as rejected, and that a mended mapping can read.
    leo.profile("nam", 3, primaryEmail="nam@example.com", jobTitles=7)
    assert leo.sync().rejected == 1
    (waiting,) = leo.waiting()
    mended = json.dumps({**waiting.document, "jobTitles": ["taster"]})
    leo.rows(f"UPDATE ops.rejected_record SET document = '{mended}' RETURNING 1")
    with leo.reading() as (source, _mapper):
        replay(leo.connection, source, leo.tenant)
    ((titles,),) = leo.rows("SELECT job_titles FROM customers.cdp_profiles WHERE profile_id = 'nam'")
    assert titles == ["taster"]
    assert enriched(leo, "nam") == FOUND


def test_a_profile_that_a_sync_is_writing_is_left_to_the_next_time(leo: Leo, written: Written, warehouse: Warehouse):
    leo.profile("nam", primaryEmail="nam@example.com")
    leo.profile("mai", primaryEmail="mai@example.com")
    leo.sync()
    search = written.search()
    for name in ("nam", "mai"):
        written.contact(search, f"{name}@example.com", outcome="enriched", **FOUND)
    with connect(warehouse.settings) as other, tenant_transaction(other, "acme"):
        other.execute("UPDATE customers.cdp_profiles SET first_name = 'Nam' WHERE profile_id = 'nam'")
        assert add(leo) == 1
    assert (enriched(leo, "nam"), enriched(leo, "mai")) == ({}, FOUND)
    assert add(leo) == 1
    assert enriched(leo, "nam") == FOUND


def test_what_is_embedded_gains_the_work_and_no_address_or_number(leo: Leo, written: Written):
    leo.profile("nam", primaryEmail="nam@example.com", livingCity="Huế", contentKeywords=["tea"])
    leo.profile("mai", primaryEmail="mai@example.com", livingCity="Vinh")
    leo.sync()
    leo.rows("DELETE FROM embeddings.text_batch RETURNING 1")
    written.contact(
        written.search(),
        "nam@example.com",
        outcome="enriched",
        title="Head of Coffee, call +84 912 345 678",
        company="Lotus (nam@lotus.example)",
        industry="beverages",
        seniority="head",
        phones=["+84912345678"],
        email="nam@lotus.example",
        city="Hanoi",
    )
    add(leo)
    found = text(leo, "nam")
    assert found is not None
    assert found.startswith("Huế; tea; Head of Coffee, call")
    assert all(word in found for word in ("Lotus", "beverages", "head"))
    assert not any(word in found for word in ("@", "912", "Hanoi"))
    # Whose text did not change keeps its vector.
    assert leo.rows("SELECT entity_ids FROM embeddings.text_batch") == [(["nam"],)]


def test_a_profile_that_was_not_enriched_has_the_text_that_it_had(leo: Leo):
    leo.profile("nam", livingCity="Huế", jobTitles=["barista"], contentKeywords=["tea"])
    leo.sync()
    assert text(leo, "nam") == "Huế; barista, tea"


def test_the_profile_that_another_was_merged_into_has_its_answer(leo: Leo, written: Written):
    leo.profile("old", 1, primaryEmail="nam@example.com")
    leo.profile("root", 1, primaryEmail="nam@work.example")
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    add(leo)
    leo.profile("old", 2, primaryEmail="nam@example.com", rootProfileId="root", status=0)
    leo.sync()
    assert leo.rows("SELECT closed_reason FROM customers.cdp_profiles WHERE profile_id = 'old'") == [("merged",)]
    assert text(leo, "old") is None
    assert add(leo) == 1
    assert enriched(leo, "root") == FOUND


def test_of_an_erased_person_nothing_is_left(leo: Leo, written: Written):
    leo.profile("nam", primaryEmail="nam@example.com", livingCity="Huế")
    leo.sync()
    written.contact(written.search(), "nam@example.com", outcome="enriched", **FOUND)
    add(leo)
    leo.erase("nam")
    assert leo.rows("SELECT 1 FROM customers.cdp_profiles") == []
    assert written.rows("SELECT 1 FROM enrichment.contact_field UNION ALL SELECT 1 FROM enrichment.contact") == []
    leo.profile("nam2", 3, primaryEmail="nam@example.com")
    leo.sync()
    assert add(leo) == 0
