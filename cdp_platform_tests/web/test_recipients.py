"""Pages of recipients: a GET changes nothing, a POST acts before it answers, and no page tells who is known."""

import re
import time
from statistics import median
from typing import Any

import httpx2
import psycopg
import pytest

from cdp_platform.campaigns.links import Links
from cdp_platform.customers import persons
from cdp_platform.ops.tokens import Tokens
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.web.conftest import Web

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def messages(sender: Sender, number: int = 1, *, event: str = "spring", consent: str = "given", **columns: Any) -> list:
    """Messages that were sent to so many people: what a link says of each."""
    sender.event(event)
    ids = sender.people(number, consent=None, **columns)
    sender.consent(ids, consent)
    sender.reserve(ids, event)
    sender.rows("UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now()")
    sender.rows("UPDATE campaigns.delivery_log SET state = 'confirmed'")
    return sender.rows(
        "SELECT tenant_id, channel, message_key, address_hash FROM campaigns.delivery_log WHERE event_id = %s"
        " ORDER BY profile_id",
        [event],
    )


def state(sender: Sender) -> tuple[list, list]:
    """Consent of everybody by channel, and what is suppressed why."""
    return (
        sender.rows("SELECT profile_id, channel, state FROM campaigns.consent_management ORDER BY 1, 2"),
        sender.rows("SELECT channel, reason FROM campaigns.suppression ORDER BY 1, 2"),
    )


def words(answer: httpx2.Response, *tokens: str) -> tuple[int, str]:
    """Status and text, without the token that the address had anyway."""
    text = answer.text
    for token in tokens:
        text = text.replace(token, "TOKEN")
    return answer.status_code, text


def test_a_scanner_that_opens_every_link_changes_nothing(sender: Sender, web: Web):
    ((tenant, channel, key, address_hash),) = messages(sender, consent="requested")
    before = state(sender)
    for link in (web.links.opt_out, web.links.preferences, web.links.confirm):
        path = web.path(link(tenant, channel, key, address_hash))
        for method in ("GET", "HEAD"):
            for headers in ({}, {"Sec-Purpose": "prefetch"}, {"User-Agent": "Barracuda Sentinel"}):
                answer = web.client.request(method, path, headers=headers)
                assert answer.status_code == 200
        # It also opens what the page links to.
        for found in re.findall(r'href="([^"]+)"', web.client.get(path).text):
            assert web.client.get(httpx2.URL(path).join(found)).status_code == 200
    assert state(sender) == before
    assert web.journal.read() == ([], 0)


@pytest.mark.parametrize(
    "body",
    [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}, {}],
    ids=["form", "parts", "empty"],
)
def test_one_click_opts_out_before_it_answers_without_cookie_or_redirect(
    sender: Sender, web: Web, body: dict[str, Any]
):
    (first, _) = messages(sender, 2)
    path = web.path(web.links.opt_out(*first))
    answer = web.client.post(path, **body)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert state(sender) == (
        [("p0000", "email", "withdrawn"), ("p0001", "email", "given")],
        [("email", "opt_out")],
    )
    ((source, evidence),) = sender.rows(
        "SELECT source, evidence FROM campaigns.consent_management WHERE state = 'withdrawn'"
    )
    assert (source, evidence) == ("one-click", first[2])


def test_opting_out_again_changes_nothing_and_says_the_same(sender: Sender, web: Web):
    (message,) = messages(sender)
    path = web.path(web.links.opt_out(*message))
    first, before = web.client.post(path, data=ONE_CLICK), state(sender)
    second = web.client.post(path, data=ONE_CLICK)
    assert words(first) == words(second)
    assert state(sender) == before


def test_everybody_with_the_address_is_opted_out(sender: Sender, web: Web):
    (message,) = messages(sender)
    sender.profiles({"profile_id": "twin", "primary_email": "p0000@example.org"})
    sender.consent(["twin"])
    web.client.post(web.path(web.links.opt_out(*message)), data=ONE_CLICK)
    assert {each[2] for each in state(sender)[0]} == {"withdrawn"}


def test_a_link_works_for_ever_also_when_the_delivery_is_gone(sender: Sender, web: Web):
    (message,) = messages(sender)
    sender.rows("DELETE FROM campaigns.delivery_log")
    web.client.post(web.path(web.links.opt_out(*message)), data=ONE_CLICK)
    assert state(sender)[1] == [("email", "opt_out")]


def test_a_link_of_a_key_that_was_rotated_works_until_the_key_is_taken_away(sender: Sender, web: Web):
    (message,) = messages(sender)
    older = Links(web.links.base_url, Tokens(["o" * 32]))
    web.client.post(web.path(older.opt_out(*message)), data=ONE_CLICK)
    assert state(sender)[1] == []


@pytest.fixture
def strange_tokens(sender: Sender, web: Web, app: psycopg.Connection) -> dict[str, str]:
    """Tokens for the page to opt out: a good one, one of an erased person, and such as nobody signed."""
    good, erased = messages(sender, 2)
    persons.erase(app, sender.tenant_id, ["p0001"])
    token = web.links.opt_out(*good).rpartition("/")[2]
    forger = Links(web.links.base_url, Tokens(["f" * 32]))
    return {
        "good": token,
        "erased": web.links.opt_out(*erased).rpartition("/")[2],
        "forged": forger.opt_out(*good).rpartition("/")[2],
        "of another page": web.links.confirm(*good).rpartition("/")[2],
        "of an unknown message": web.links.opt_out("acme", "email", "0" * 40, bytes(32)).rpartition("/")[2],
        "cut": token[:-9],
        "nonsense": "nobody-signed-this",
        "odd": "%22%3E%3Cscript%3E",
        "long": "x" * 5000,
    }


@pytest.mark.parametrize("page", ["u", "p", "c"])
def test_erased_forged_and_unknown_tokens_get_the_same_words(strange_tokens: dict[str, str], web: Web, page: str):
    for method in ("GET", "POST"):
        said = {
            name: words(web.client.request(method, f"/{page}/{token}"), token) for name, token in strange_tokens.items()
        }
        assert set(said.values()) == {said["good"]}
        assert said["good"][0] == 200


def test_erased_and_forged_tokens_take_the_same_time(strange_tokens: dict[str, str], web: Web):
    took: dict[str, list[float]] = {"good": [], "erased": [], "forged": []}
    for _ in range(5):
        for name, times in took.items():
            began = time.perf_counter()
            web.client.post(f"/u/{strange_tokens[name]}")
            times.append(time.perf_counter() - began)
    middle = [median(times) for times in took.values()]
    assert max(middle) - min(middle) < 0.05, took


def test_a_forged_token_changes_nothing(strange_tokens: dict[str, str], sender: Sender, web: Web):
    before = state(sender)
    for name in ("forged", "of another page", "cut", "nonsense", "odd", "long"):
        web.client.post(f"/u/{strange_tokens[name]}", data=ONE_CLICK)
    assert state(sender) == before


def test_an_erased_person_is_opted_out_by_address_and_not_known_again(
    strange_tokens: dict[str, str], sender: Sender, web: Web
):
    web.client.post(f"/u/{strange_tokens['erased']}", data=ONE_CLICK)
    assert state(sender) == ([("p0000", "email", "given")], [("email", "opt_out")])


def test_a_token_of_one_tenant_does_nothing_to_another(new_sender, web: Web):
    one, two = new_sender("one"), new_sender("two")
    (message,), _ = messages(one), messages(two)
    before = state(two)
    web.client.post(web.path(web.links.opt_out(*message)), data=ONE_CLICK)
    # Nor does the address hash of one tenant in a token of the other, which only we could sign.
    web.client.post(web.path(web.links.opt_out("two", *message[1:])), data=ONE_CLICK)
    assert state(one) == ([("p0000", "email", "withdrawn")], [("email", "opt_out")])
    assert state(two)[0] == before[0]


def test_a_page_needs_nothing_from_elsewhere_and_stays_out_of_indexes_caches_and_frames(web: Web):
    for path in ("/u/x", "/p/x", "/c/x", "/elsewhere", "/healthz"):
        headers = web.client.get(path).headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "set-cookie" not in headers


def test_an_address_that_is_none_has_a_page_that_says_what_to_do(web: Web):
    for path, status in (("/", 404), ("/u/", 404), ("/u/a/b", 404), ("/x/y", 404)):
        answer = web.client.get(path)
        assert answer.status_code == status
        assert "Open the link in the message again" in answer.text
    assert web.client.put("/u/x").status_code == 405


def test_a_body_that_is_too_large_or_never_ends_is_not_read(web: Web):
    assert web.client.post("/u/x", content=b"x" * 100_000).status_code == 413


def test_nobody_is_told_that_it_worked_while_the_warehouse_is_away(sender: Sender, web: Web, warehouse):
    (message,) = messages(sender)
    path = web.path(web.links.opt_out(*message))
    name = warehouse.settings.db_name
    with warehouse.server.superuser() as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            for token in (path, "/u/forged"):
                answer = web.client.post(token, data=ONE_CLICK)
                assert (answer.status_code, "try again in a few minutes" in answer.text) == (503, True)
            assert web.client.get("/healthz").status_code == 503
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert web.client.get("/healthz").json() == {"warehouse": "ok"}
    assert web.client.post(path, data=ONE_CLICK).status_code == 200


def test_connections_that_the_server_ended_are_opened_again(sender: Sender, web: Web, warehouse):
    (message,) = messages(sender)
    assert web.client.get("/healthz").status_code == 200
    with warehouse.superuser() as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    assert ended[0] >= 1
    assert web.client.post(web.path(web.links.opt_out(*message)), data=ONE_CLICK).status_code == 200
