"""The client of Apollo against the sandbox's stand-in, and against servers that answer what no stand-in does."""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.resources.apollo import Apollo, ContradictoryAnswerError, account_of
from cdp_platform.resources.apollo_answers import BulkAnswer
from cdp_platform_tests.apollo_stub import BULK_MATCH, ApolloStub
from cdp_platform_tests.catalog.hosts import Answer, Host, host, response
from cdp_sandbox.apollo import KEY, PEOPLE_KEY
from cdp_sandbox.processes import free_port

FOUND = [{"email": f"found{number}@shop.example"} for number in range(4)]
SECRET_URL = "http://127.0.0.1:9/phones/acme/9b1c/s3cr3t-of-the-call"
RESULT = "/api/v1/webhook_result/-42"


@pytest.fixture
def client(apollo: ApolloStub) -> Iterator[Apollo]:
    with Apollo(KEY, apollo.base_url) as made:
        yield made


@pytest.fixture
def web() -> Iterator[Host]:
    with host() as running:
        yield running


def match(client: Apollo, *people: Mapping[str, str], phones: bool = False, personal_emails: bool = False) -> Any:
    url = SECRET_URL if phones else None
    return client.bulk_match(people, personal_emails=personal_emails, phones=phones, webhook_url=url)


def answered(
    web: Host, answer: Answer, *people: Mapping[str, str], phones: bool = False, timeout: float = 10
) -> BulkAnswer:
    """Ask a server that gives this answer."""
    query = {"reveal_personal_emails": "false", "reveal_phone_number": "true" if phones else "false"}
    query |= {"webhook_url": SECRET_URL} if phones else {}
    web.answers[httpx2.URL(f"{web.url}{BULK_MATCH}", params=query).raw_path.decode()] = answer
    with Apollo(KEY, web.url, timeout) as client:
        return match(client, *(people or FOUND[:1]), phones=phones)


def body(status: int, said: Any, **headers: str) -> bytes:
    return response(status, said if isinstance(said, bytes) else json.dumps(said).encode(), **headers)


# --- people ---


def test_people_come_in_the_order_of_the_request_and_nobody_is_none(client: Apollo, apollo: ApolloStub):
    answer = match(client, FOUND[0], {"email": "unmatched@shop.example"}, FOUND[1])
    assert [person and person.addresses for person in answer.people] == [[FOUND[0]["email"]], None, [FOUND[1]["email"]]]
    assert answer.credits == apollo.credits() == 2
    assert answer.phones == "none"
    assert [call["request_id"] for call in apollo.calls()] == [answer.request_id]


def test_a_person_has_the_fields_that_apollo_knows_with_its_own_status(client: Apollo):
    person = match(client, {"email": "Found.Tester@Shop.example"}, personal_emails=True).people[0]
    assert {
        "name",
        "title",
        "company",
        "industry",
        "seniority",
        "city",
        "country",
        "departments",
    } <= person.fields.keys()
    assert person.fields["email"].value == "Found.Tester@Shop.example"
    assert person.fields["email"].status
    assert person.fields["company_domain"].value == "shop.example"
    assert isinstance(person.fields["employees"].value, int)
    personal = person.fields["personal_emails"].value
    assert person.addresses == ["found.tester@shop.example", *personal]


def test_a_match_without_anything_else_has_a_name_alone(client: Apollo):
    answer = match(client, {"email": "nameonly@shop.example"})
    assert answer.people[0].fields.keys() == {"name", "email"}
    assert answer.credits == 0


def test_a_locked_address_is_none(client: Apollo):
    person = match(client, {"email": "locked@shop.example"}).people[0]
    assert "email" not in person.fields
    assert person.addresses == []


def test_phones_are_announced_and_delivered_under_the_id_of_the_request(client: Apollo, apollo: ApolloStub):
    apollo.set(deliveries=0, delivery_seconds=0)
    answer = match(client, {"email": "mobile@shop.example"}, {"email": "nomobile@shop.example"}, phones=True)
    assert answer.phones == "pending"
    assert answer.credits == 2
    result = client.webhook_result(answer.request_id)
    assert result.state == "delivered"
    assert result.payload is not None
    assert result.payload["credits_consumed"] == 8


def test_phones_of_an_earlier_call_are_not_announced_again(client: Apollo, apollo: ApolloStub):
    apollo.set(deliveries=0, delivery_seconds=600)
    assert match(client, {"email": "mobile@shop.example"}, phones=True).phones == "pending"
    again = match(client, {"email": "mobile@shop.example"}, phones=True)
    assert (again.phones, again.people[0].phones) == ("skipped", "skipped")


def test_a_fraction_of_a_credit_is_not_rounded(client: Apollo, apollo: ApolloStub):
    apollo.spoil("distort", how="fractional")
    assert match(client, *FOUND[:3]).credits == Decimal("1.05") == apollo.credits()
    assert apollo.fired() == [1]


def test_counts_that_are_absent_are_not_zero(client: Apollo, apollo: ApolloStub):
    apollo.spoil("distort", how="no_counts")
    assert match(client, *FOUND).credits is None
    assert apollo.fired() == [1]


@pytest.mark.parametrize("how", ["wrong_order", "short", "swapped_people"])
def test_an_answer_about_others_is_refused_whole_and_its_credits_are_known(
    client: Apollo, apollo: ApolloStub, how: str
):
    apollo.spoil("distort", how=how)
    with pytest.raises(ContradictoryAnswerError) as caught:
        match(client, *FOUND)
    assert apollo.fired() == [1]
    assert caught.value.credits == apollo.credits() == 4
    assert caught.value.request_id == apollo.calls()[0]["request_id"]


def test_names_in_each_others_place_are_noticed_as_well(client: Apollo, apollo: ApolloStub):
    apollo.spoil("distort", how="swapped_people")
    with pytest.raises(ContradictoryAnswerError, match="another name"):
        match(client, *({"name": f"Found {name}", "domain": "shop.example"} for name in ("Keller", "Novak")))
    assert apollo.fired() == [1]


def test_what_is_left_of_each_window_is_told(client: Apollo, apollo: ApolloStub):
    apollo.set(plan="free")
    assert match(client, FOUND[0]).left == {60: 19, 3600: 99, 86_400: 599}
    apollo.set(plan="paid")
    assert match(client, FOUND[0]).left == {60: 998}


# --- refusals of the stand-in ---


def test_one_person_at_fault_is_refused_and_costs_nothing(client: Apollo, apollo: ApolloStub):
    with pytest.raises(RefusedError, match=r"HTTP 422.*could not be processed"):
        match(client, *FOUND, {"email": "poison@shop.example"})
    assert apollo.credits() == 0


def test_no_credits_are_for_a_person_to_buy(client: Apollo, apollo: ApolloStub):
    apollo.set(credits={"lead_credit": 1, "direct_dial_credit": 0})
    with pytest.raises(ConfigurationError, match="Buy credits"):
        match(client, *FOUND)
    assert apollo.credits() == 0


def test_a_key_that_apollo_does_not_know_is_for_a_person_to_set(apollo: ApolloStub):
    with Apollo("another", apollo.base_url) as client:
        for ask in (client.health, lambda: match(client, FOUND[0]), client.credits, client.usage):
            with pytest.raises(ConfigurationError, match="APOLLO_API_KEY"):
                ask()


def test_an_endpoint_that_the_key_may_not_use_is_named(apollo: ApolloStub):
    with Apollo(PEOPLE_KEY, apollo.base_url) as client:
        match(client, FOUND[0])
        with pytest.raises(ConfigurationError, match="usage_stats/credit_usage_stats"):
            client.credits()


def test_too_many_people_are_for_a_setting(client: Apollo):
    with pytest.raises(ConfigurationError, match="APOLLO_MAX_CONTACTS_PER_REQUEST"):
        match(client, *({"email": f"found{number}@shop.example"} for number in range(11)))


def test_a_full_window_says_when_to_come_back(client: Apollo, apollo: ApolloStub):
    apollo.set(limits={"people/bulk_match": {"minute": 1}})
    match(client, FOUND[0])
    with pytest.raises(PacedError) as caught:
        match(client, FOUND[0])
    assert 0 < caught.value.retry_after_seconds <= 60
    assert apollo.credits() == 1


# --- answers that are lost ---


@pytest.mark.parametrize("status", [408, 409, 500, 502, 504, 520])
def test_a_failure_on_the_way_may_have_been_charged(client: Apollo, apollo: ApolloStub, status: int):
    apollo.spoil("status", status=status)
    with pytest.raises(OutcomeUnknownError, match=f"HTTP {status}"):
        match(client, FOUND[0])
    assert apollo.fired() == [1]


def test_a_service_that_is_not_there_charged_nothing(client: Apollo, apollo: ApolloStub):
    apollo.spoil("status", status=503, retry_after=7)
    with pytest.raises(UnavailableError) as caught:
        match(client, FOUND[0])
    assert caught.value.retry_after_seconds == 7
    assert apollo.fired() == [1]


def test_a_connection_that_breaks_off_after_the_work_may_have_been_charged(client: Apollo, apollo: ApolloStub):
    apollo.spoil("drop_after")
    with pytest.raises(OutcomeUnknownError, match="closed without an answer"):
        match(client, FOUND[0])
    assert apollo.fired() == [1]
    assert apollo.credits() == 1


def test_a_page_in_place_of_an_answer_may_have_been_charged(client: Apollo, apollo: ApolloStub):
    apollo.spoil("distort", how="html")
    with pytest.raises(OutcomeUnknownError, match="not JSON"):
        match(client, FOUND[0])
    assert apollo.fired() == [1]


def test_who_was_never_connected_to_charged_nothing():
    with Apollo(KEY, f"http://127.0.0.1:{free_port()}") as client, pytest.raises(UnavailableError, match="refused"):
        match(client, FOUND[0])


def _trickles(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)


def _is_silent(connection: socket.socket) -> None:
    time.sleep(3)


@pytest.mark.parametrize("how", [_trickles, _is_silent])
def test_an_answer_that_takes_too_long_may_have_been_charged(web: Host, how: Answer):
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknownError):
        answered(web, how, timeout=0.5)
    assert time.monotonic() - begun < 2
    assert len(web.requests) == 1


def test_an_answer_without_an_end_is_not_held(web: Host):
    def endless(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 X\r\n\r\n")
            while True:
                connection.sendall(b" " * 2**20)

    with pytest.raises(OutcomeUnknownError, match="too large"):
        answered(web, endless)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b'{"matches": [NaN]}',
        b"[" * 100_000,
        {"status": "success"},
        {"matches": {}},
        {"matches": ["x"]},
        {"matches": [{"first_name": "An"}]},
        {"status": "failed", "error_code": "UNKNOWN_ERROR"},
    ],
)
def test_an_answer_that_cannot_be_read_may_have_been_charged(web: Host, said: Any):
    with pytest.raises(OutcomeUnknownError, match="cannot be read") as caught:
        answered(web, body(200, said))
    assert not isinstance(caught.value, ContradictoryAnswerError)


# --- refusals as Apollo has sent them ---


@pytest.mark.parametrize(
    ("status", "said", "error", "words"),
    [
        (422, {"error": "Insufficient credits. Please upgrade your plan."}, ConfigurationError, "Buy credits"),
        (422, b"You have insufficient credits! Upgrade your plan.", ConfigurationError, "Buy credits"),
        (402, {}, ConfigurationError, "Buy credits"),
        (422, {"error": "invalid linkedin_url"}, RefusedError, "invalid linkedin_url"),
        (422, {"errors": {"details": ["is invalid"]}}, RefusedError, "is invalid"),
        (
            422,
            {"status": "failed", "error_code": "UNKNOWN_ERROR", "error_message": "no implicit conversion of Symbol"},
            RefusedError,
            "UNKNOWN_ERROR: no implicit conversion",
        ),
        (
            400,
            {"status": "failed", "error_code": "INVALID_REQUEST", "error_message": "invalid request, missing details"},
            RefusedError,
            "INVALID_REQUEST: invalid request",
        ),
        (
            400,
            {"error": "Please add a valid 'webhook_url' parameter when using 'reveal_phone_number'"},
            ConfigurationError,
            "CDP_WEB_URL",
        ),
        (401, b"Invalid API key. See https://docs.apollo.io/reference/authentication", ConfigurationError, "active"),
        (
            403,
            {"error": "not accessible with this api_key", "error_code": "API_INACCESSIBLE"},
            ConfigurationError,
            "plan",
        ),
        (404, b"<html>", ConfigurationError, "APOLLO_BASE_URL"),
        (301, b"", ConfigurationError, "APOLLO_BASE_URL"),
        (429, {"message": "The maximum number of api calls is 600 times per hour."}, PacedError, "600 times per hour"),
    ],
)
def test_a_refusal_says_what_to_do(web: Host, status: int, said: Any, error: type[Exception], words: str):
    with pytest.raises(error, match=words) as caught:
        answered(web, body(status, said))
    assert not isinstance(caught.value, OutcomeUnknownError)


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503])
def test_no_error_and_no_log_quotes_a_person_a_key_or_the_webhook(
    web: Host, status: int, caplog: pytest.LogCaptureFixture
):
    person = {"name": "Nguyen Thi Planted", "email": "planted@shop.example", "domain": "shop.example"}
    said = {"error": f"{person['name']} <{person['email']}> {SECRET_URL} {KEY}"}
    with caplog.at_level(logging.INFO), pytest.raises((SourceError, ConfigurationError)) as caught:
        answered(web, body(status, said), person, phones=True)
    assert len(web.requests) == 1
    for planted in (*person.values(), "s3cr3t-of-the-call", KEY):
        assert planted not in str(caught.value)
        assert planted not in caplog.text


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\n"])
def test_what_is_no_key_is_said_before_any_request(key: str):
    with pytest.raises(ConfigurationError, match="APOLLO_API_KEY"):
        Apollo(key, "http://127.0.0.1:9")


# --- what costs nothing ---


def test_windows_and_credits_are_those_of_the_account(client: Apollo, apollo: ApolloStub):
    apollo.set(plan="free", credits={"lead_credit": 10, "direct_dial_credit": 20}, deliveries=0)
    before = client.credits()
    match(client, {"email": "mobile@shop.example"}, phones=True)
    after = client.credits()
    assert (before.consumed, after.consumed) == (0, 9)
    assert (after.lead.left, after.direct_dial.left) == (9, 12)
    assert before.cycle == after.cycle != ""
    windows = client.usage()
    assert {seconds: (window.limit, window.left) for seconds, window in windows.items()} == {
        60: (20, 19),
        3600: (100, 99),
        86_400: (600, 599),
    }
    client.health()


def test_a_free_question_whose_answer_is_lost_can_be_repeated(client: Apollo, apollo: ApolloStub):
    for path, ask in (("auth/health", client.health), ("usage_stats/credit_usage_stats", client.credits)):
        apollo.spoil("drop_after", path=f"/api/v1/{path}")
        with pytest.raises(UnavailableError):
            ask()
        assert apollo.fired() == [1]
        apollo.sandbox.clear()
        ask()


@pytest.mark.parametrize(
    ("status", "said", "state", "wait"),
    [
        (404, {"error_code": "result_pending", "retry_after_seconds": 10}, "pending", 10),
        (404, {"error": "result_pending", "retry_after_seconds": 2.5}, "pending", 2.5),
        (404, {"error_code": "request_id_unknown"}, "unknown", None),
        (410, {"error_code": "request_id_expired"}, "expired", None),
        (400, {"error_code": "invalid_request_id"}, "invalid", None),
        (200, {"webhook_status": "failed", "webhook_result": {"people": []}}, "delivered", None),
    ],
)
def test_a_result_is_there_or_says_whether_it_will_be(
    web: Host, status: int, said: dict[str, Any], state: str, wait: float | None
):
    web.answers[RESULT] = body(status, said)
    with Apollo(KEY, web.url) as client:
        result = client.webhook_result(-42)
    assert (result.state, result.retry_after_seconds) == (state, wait)
    assert (result.payload is not None) == (state == "delivered")


@pytest.mark.parametrize(("status", "error"), [(404, ConfigurationError), (429, PacedError), (500, UnavailableError)])
def test_no_result_is_no_verdict(web: Host, status: int, error: type[Exception]):
    web.answers[RESULT] = body(status, {"message": "?"})
    with Apollo(KEY, web.url) as client, pytest.raises(error):
        client.webhook_result(-42)


def test_the_name_of_an_account_does_not_tell_its_key():
    assert account_of("k1") != account_of("k2")
    assert "k1" not in account_of("k1")
