import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.resources.apollo_answers import (
    Field,
    UnreadableError,
    contradiction,
    credits_of,
    delivery_of,
    people_of,
    read,
    request_id_of,
    words_of,
)

AN = {"id": "a1", "email": "an@shop.example", "first_name": "An", "last_name": "Nguyễn", "name": "An Nguyễn"}
BO = {"id": "b2", "email": "bo@bank.example", "first_name": "Bo", "last_name": "Le", "name": "Bo Le"}


def person(**match: Any) -> Any:
    (found,) = people_of({}, [{"id": "p1", **match}])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (b"-9223372036854775808", -(2**63)),
        (b"9223372036854775807", 2**63 - 1),
        (b"1039995589705121900", 1039995589705121900),
        (b"-42", -42),
        (b'"-306885"', -306885),
        (b"9223372036854775808", None),
        (b"1e3", None),
        (b'"x"', None),
        (b"true", None),
        (b"null", None),
    ],
)
def test_the_id_of_a_request_keeps_every_digit(written: bytes, number: int | None):
    assert request_id_of(read(b'{"request_id": ' + written + b"}")) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (b"3", Decimal(3)),
        (b"0", Decimal(0)),
        (b"0.1", Decimal("0.1")),
        (b"1.05", Decimal("1.05")),
        (b"-1", None),
        (b'"3"', None),
        (b"true", None),
        (b"null", None),
    ],
)
def test_credits_are_decimals(written: bytes, number: Decimal | None):
    assert credits_of(read(b'{"credits_consumed": ' + written + b"}")) == number


def test_credits_that_are_absent_are_not_zero():
    assert credits_of({"total_requested_enrichments": 1, "waterfall": {"status": "accepted"}}) is None


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"id": "a1"}, AN),
        ({"email": "AN@shop.example"}, AN),
        ({"email": "old@shop.example", "name": "an  nguyen"}, AN),
        ({"email": "old@shop.example", "first_name": "An", "last_name": "Nguyen"}, AN),
        (
            {"email": "old@shop.example", "linkedin_url": "http://www.linkedin.com/in/an"},
            AN | {"linkedin_url": "https://linkedin.com/in/An/"},
        ),
        ({"email": "an@home.example"}, AN | {"personal_emails": ["An@Home.example"]}),
        ({"email": "an@crm.example"}, AN | {"contact": {"contact_emails": [{"email": "an@crm.example"}]}}),
        ({"email": "other@shop.example"}, AN | {"email": None}),
        ({"email": "other@shop.example"}, AN | {"email": "email_not_unlocked@domain.com"}),
        ({"name": "Somebody Else", "domain": "shop.example"}, AN),
        ({"linkedin_url": "http://www.linkedin.com/in/an-1"}, AN | {"linkedin_url": "http://www.linkedin.com/in/an-2"}),
        ({"email": "an@shop.example"}, None),
    ],
)
def test_who_may_be_the_person_asked_about_is_believed(asked: dict[str, str], match: dict[str, Any] | None):
    assert contradiction([asked], [match]) is None


@pytest.mark.parametrize(
    ("asked", "match", "what"),
    [
        ({"id": "c3"}, AN, "id"),
        ({"id": "c3", "email": "an@shop.example"}, AN, "id"),
        ({"email": "bo@bank.example"}, AN, "email"),
        ({"email": "old@shop.example", "name": "Bo Le"}, AN, "email"),
    ],
)
def test_who_has_another_id_or_address_is_not_believed(asked: dict[str, str], match: dict[str, Any], what: str):
    said = contradiction([{"email": "x@y.example"}, asked], [None, match])
    assert said == f"match 2 of 2 has another {what} than the person who was asked about"


@pytest.mark.parametrize(
    "identity",
    [
        lambda match: {"email": match["email"]},
        lambda match: {"email": match["email"], "name": "Same Name"},
        lambda match: {"name": match["name"]},
        lambda match: {"first_name": match["first_name"], "last_name": match["last_name"]},
        lambda match: {"linkedin_url": match["linkedin_url"]},
        lambda match: {"id": match["id"]},
    ],
)
def test_two_people_in_each_others_place_are_noticed_whatever_they_were_asked_with(identity: Any):
    matches = [each | {"linkedin_url": f"http://www.linkedin.com/in/{each['id']}"} for each in (AN, BO)]
    asked = [identity(match) for match in matches]
    assert contradiction(asked, matches) is None
    assert contradiction(asked, matches[::-1]) is not None


def test_the_number_of_matches_is_that_of_the_people():
    asked = [{"email": "an@shop.example"}]
    assert contradiction(asked, []) == "it has 0 matches for 1 people"
    assert contradiction(asked, [None, None]) == "it has 2 matches for 1 people"


@pytest.mark.parametrize(
    ("status", "confidence", "shown"),
    [("verified", None, "verified"), ("guessed", Decimal("0.83"), "guessed 0.83"), (None, None, None)],
)
def test_an_address_has_apollos_own_status_and_confidence(status: Any, confidence: Any, shown: str | None):
    found = person(email="An@Shop.example", email_status=status, extrapolated_email_confidence=confidence)
    assert found.fields["email"] == Field("An@Shop.example", shown)
    assert found.addresses == ["an@shop.example"]


def test_nothing_is_taken_for_a_field_that_is_empty_or_cannot_be_stored():
    found = person(
        first_name="An", title="", city=None, headline="a\0b \ud800", departments=["sales", None, {}], organization="?"
    )
    assert found.fields == {"name": Field("An"), "headline": Field("ab ?"), "departments": Field(["sales"])}


def test_the_accounts_own_record_of_a_person_is_not_the_persons_data():
    contact = {"email": "crm@shop.example", "phone_numbers": [{"sanitized_number": "+12125550100"}], "title": "Boss"}
    found = person(contact=contact)
    assert found.fields == {}
    assert (found.addresses, found.phone_numbers) == ([], [])


def test_phones_have_the_same_form_in_an_answer_and_a_delivery():
    number = {"raw_number": "+1 212-555-0100", "sanitized_number": "+12125550100"}
    expected = [{"number": "+12125550100", "type": "mobile", "status": "valid_number"}]
    found = person(phone_numbers=[number | {"type": "mobile", "status": "valid_number", "dnc_status": None}])
    assert found.fields["phones"] == Field(expected, "valid_number")
    assert found.phone_numbers == ["+12125550100"]
    coded = number | {"type_cd": "mobile", "status_cd": "valid_number", "confidence_cd": "high", "dnc_status_cd": "dnc"}
    delivery = delivery_of(
        {"credits_consumed": 8, "people": [{"id": "p1", "status": "success", "phone_numbers": [coded]}]}
    )
    assert delivery.credits == 8
    known = expected[0] | {"confidence": "high", "do_not_call": "dnc"}
    assert delivery.phones == {"p1": Field([known], "valid_number high")}
    assert delivery.phone_numbers == {"p1": ["+12125550100"]}


def test_a_delivery_tells_who_has_no_phone():
    people = [{"id": "p1", "status": "failure", "phone_numbers": []}, {"id": "p2", "status": "success"}]
    delivery = delivery_of({"status": "success", "credits_consumed": 0, "people": people})
    assert delivery.phones == {"p1": None, "p2": None}


@pytest.mark.parametrize("payload", [{}, {"people": {}}, {"people": ["x"]}, {"people": [{"phone_numbers": []}]}])
def test_a_delivery_that_says_not_whose_phones_they_are_is_refused(payload: Mapping[str, Any]):
    with pytest.raises(UnreadableError):
        delivery_of(payload)


@pytest.mark.parametrize(
    ("answer", "match", "phones"),
    [
        ({}, {}, "none"),
        ({"phone_enrichment": {"status": "pending"}}, {}, "pending"),
        ({"phone_enrichment": {"status": "pending"}}, {"phone_enrichment": {"status": "skipped"}}, "skipped"),
        ({}, {"phone_enrichment": {"status": "pending"}}, "pending"),
        ({}, {"phone_enrichment": {"status": ["pending"]}}, "none"),
    ],
)
def test_phones_are_announced_for_all_or_for_each(answer: dict[str, Any], match: dict[str, Any], phones: str):
    (found,) = people_of(answer, [{"id": "p1", **match}])
    assert found is not None
    assert found.phones == phones


_NAMES = (
    "id email email_status personal_emails name first_name linkedin_url title departments organization contact "
    "contact_emails phone_numbers sanitized_number status phone_enrichment estimated_num_employees"
).split()
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False)
    | st.sampled_from(["", "a@b.c", "p1", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6),
    max_leaves=30,
)


@given(match=st.dictionaries(st.sampled_from(_NAMES), _ANYTHING), asked=st.dictionaries(st.just("email"), st.text()))
def test_a_match_of_any_shape_is_read_or_refused(match: dict[str, Any], asked: dict[str, str]):
    contradiction([asked], [match])
    try:
        (found,) = people_of({}, [match])
        delivery_of({"people": [match]})
    except UnreadableError:
        return
    assert found is not None
    assert found.id
    json.dumps({name: [field.value, field.status] for name, field in found.fields.items()})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"Invalid API key.", "Invalid API key."),
        (b'{"error": "no", "error_code": "API_INACCESSIBLE"}', "API_INACCESSIBLE: no"),
        (b'{"errors": ["one", "two"]}', "one: two"),
        (b'{"errors": {"email": ["is invalid"]}}', "is invalid"),
        (b"<!doctype html><title>apollo.io</title>", ""),
        (b"", ""),
    ],
)
def test_a_refusal_has_words_in_every_shape(body: bytes, words: str):
    assert words_of(body) == words
