"""The people of the stand-in for Apollo: who is found, by what, and in which shape."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from cdp_platform_tests.apollo_stub import ApolloStub, read
from cdp_sandbox.apollo.people import LOCKED_EMAIL
from cdp_sandbox.demo import retail
from cdp_sandbox.demo.model import HARBOUR, PROFILES, SAIGON, DemoTenant

PETER = {"name": "Peter Pan", "organization_name": "Neverland"}


def test_an_answer_has_apollos_shape(apollo: ApolloStub):
    answer = apollo.ask("found1@shop.example", "unmatched@shop.example", "nameonly@shop.example")
    people, request_id = answer.pop("matches"), answer.pop("request_id")
    assert answer == {
        "status": "success",
        "error_code": None,
        "error_message": None,
        "total_requested_enrichments": 3,
        "unique_enriched_records": 1,
        "missing_records": 1,
        "credits_consumed": 1,
    }
    assert -(2**63) <= request_id < 2**63
    assert [person and person["email"] for person in people] == ["found1@shop.example", None, "nameonly@shop.example"]


def test_a_person_has_apollos_fields_and_no_confidence(apollo: ApolloStub):
    (person,) = apollo.ask("found@shop.example")["matches"]
    assert person.keys() == {
        *("id", "first_name", "last_name", "name", "linkedin_url", "title", "email", "email_status", "photo_url"),
        *("twitter_url", "github_url", "facebook_url", "headline", "employment_history", "state", "city", "country"),
        *("organization_id", "organization", "departments", "seniority", "functions"),
        *("extrapolated_email_confidence", "revealed_for_current_team"),
    }
    assert person["organization"].keys() == {
        *("id", "name", "website_url", "primary_domain", "industry", "estimated_num_employees", "founded_year"),
        *("phone", "linkedin_url", "keywords", "street_address", "city", "state", "country"),
    }
    assert person["organization_id"] == person["organization"]["id"]
    assert person["organization"]["primary_domain"] == "shop.example"


def test_request_ids_are_often_negative_and_beyond_the_whole_numbers_of_a_float(apollo: ApolloStub):
    ids = [apollo.ask("unmatched@shop.example")["request_id"] for _ in range(40)]
    assert len(set(ids)) == 40
    assert min(ids) < 0 < max(ids)
    assert sum(abs(one) > 2**53 for one in ids) > 35
    assert [call["request_id"] for call in apollo.calls()] == ids


@pytest.mark.parametrize(
    "words",
    [
        {"email": "found@shop.example"},
        {"hashed_email": "ab" * 32},
        {"linkedin_url": "http://www.linkedin.com/in/somebody-77"},
        {"first_name": "Peter", "last_name": "Pan", "domain": "neverland.example"},
        PETER,
    ],
    ids=lambda words: next(iter(words)),
)
def test_the_same_words_find_the_same_person_in_every_call(apollo: ApolloStub, words: dict[str, str]):
    first, second = (apollo.ask(words)["matches"] for _ in range(2))
    assert first == second
    assert first[0] is not None


def test_the_sha256_of_an_address_finds_who_has_it_and_tells_no_address(apollo: ApolloStub):
    addresses = [f"somebody{number}@shop.example" for number in range(10)]
    hashes = [{"hashed_email": hashlib.sha256(one.encode()).hexdigest()} for one in addresses]
    by_address, by_hash = apollo.ask(*addresses)["matches"], apollo.ask(*hashes)["matches"]
    assert [person and person["id"] for person in by_hash] == [person and person["id"] for person in by_address]
    assert {person["email"] for person in by_hash if person} == {None, LOCKED_EMAIL}


def test_an_id_finds_who_was_found_before_and_nobody_else(apollo: ApolloStub):
    (before,) = apollo.ask(PETER)["matches"]
    assert apollo.ask({"id": before["id"]}, {"id": "f" * 24})["matches"] == [before, None]


def test_a_name_alone_finds_nobody_and_costs_nothing(apollo: ApolloStub):
    assert apollo.ask({"name": "Peter Pan"}, {"organization_name": "Neverland"}, {})["matches"] == [None] * 3
    assert apollo.credits() == 0


def test_words_that_were_asked_with_come_back(apollo: ApolloStub):
    (person,) = apollo.ask({"email": "Found.7@Shop.example", **PETER, "domain": "never.example"})["matches"]
    assert person["email"] == "Found.7@Shop.example"
    assert (person["first_name"], person["last_name"], person["name"]) == ("Peter", "Pan", "Peter Pan")
    assert (person["organization"]["name"], person["organization"]["primary_domain"]) == ("Neverland", "never.example")


def test_all_of_a_company_see_the_same_company(apollo: ApolloStub):
    people = apollo.ask(*(f"found{number}@shop.example" for number in range(10)))["matches"]
    assert len({person["id"] for person in people}) == 10
    assert [person["organization"] for person in people] == [people[0]["organization"]] * 10


def test_an_address_can_be_locked(apollo: ApolloStub):
    (person,) = apollo.ask({"name": "Locked Pan", "domain": "neverland.example"})["matches"]
    assert person["email"] == LOCKED_EMAIL
    people = [asked for number in range(20) for asked in ask_by_name(apollo, number)]
    locked = [person for person in people if person and person["email"] == LOCKED_EMAIL]
    assert 0 < len(locked) < 60


def ask_by_name(apollo: ApolloStub, number: int) -> list[Any]:
    names = [{"name": f"Peter Pan{number}{each}", "domain": "neverland.example"} for each in range(10)]
    return apollo.ask(*names)["matches"]


def test_private_addresses_come_only_when_asked_for(apollo: ApolloStub):
    (without,), (with_them,) = (
        apollo.ask("found@shop.example", reveal_personal_emails=each)["matches"] for each in ("false", "true")
    )
    assert "personal_emails" not in without
    assert with_them["personal_emails"]


@pytest.mark.parametrize("tenant", [SAIGON, HARBOUR], ids=lambda tenant: tenant.id)
def test_most_people_of_the_demo_are_found_and_some_are_not(apollo: ApolloStub, tenant: DemoTenant):
    profiles = retail.collections(tenant, "small")[PROFILES]
    addresses = [profile["primaryEmail"] for profile in profiles if "@" in profile["primaryEmail"]][:100]
    answers = [apollo.ask(*addresses[start : start + 10]) for start in range(0, 100, 10)]
    people = [person for answer in answers for person in answer["matches"]]
    assert 75 <= sum(person is not None for person in people) < 100
    paid = sum(answer["unique_enriched_records"] for answer in answers)
    assert 60 <= paid < sum(person is not None for person in people)
    assert apollo.credits() == paid


def test_one_person_is_asked_for_by_itself(apollo: ApolloStub):
    answer = read(apollo.post("/api/v1/people/match", {"email": "found@shop.example"}))
    assert answer["person"]["email"] == "found@shop.example"
    assert apollo.credits() == Decimal(1)
    assert read(apollo.post("/api/v1/people/match", email="unmatched@shop.example"))["person"] is None
    assert apollo.credits() == Decimal(1)
