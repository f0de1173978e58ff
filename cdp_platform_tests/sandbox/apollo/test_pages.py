"""What people see of the stand-in for Apollo: over the socket as text, and in a browser as they would."""

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from cdp_platform_tests.apollo_stub import ApolloStub
from cdp_platform_tests.browser import DESKTOP, PHONE, TOO_FAINT, TOO_SMALL, Browser
from cdp_platform_tests.sandbox.conftest import WebApp

MARKUP = "<script>document.title = 'owned'</script>"


@pytest.fixture
def used(apollo: ApolloStub, web_app: WebApp) -> ApolloStub:
    """An account with a request in order, one that was refused, one whose answer is spoiled, and two for phones."""
    apollo.set(delivery_seconds=0)
    addresses = [f"found{number}@a-company-with-a-long-name.example" for number in range(9)]
    apollo.ask(*addresses, {"name": MARKUP, "domain": "shop.example", "email": "found@shop.example"})
    apollo.post(body={"details": [{"email": "poison@shop.example"}, {"email": "found@shop.example"}]})
    apollo.spoil("distort", how="fractional")
    apollo.ask(*addresses[:3])
    phones: dict[str, Any] = {"reveal_phone_number": "true", "webhook_url": f"{web_app.url}/phones/acme"}
    apollo.ask("mobile@shop.example", **phones)
    web_app.wait()
    apollo.set(deliveries=0)
    apollo.ask("mobile2@shop.example", "nomobile@shop.example", **phones)
    while apollo.deliveries()[0]["posted"] == 0:
        pass
    return apollo


def text_of(apollo: ApolloStub, path: str = "/") -> str:
    answer = httpx2.get(f"{apollo.base_url}{path}", timeout=30)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text.partition("<body>")[2])).split())


def number_of(apollo: ApolloStub, place: int) -> int:
    return apollo.calls()[place]["number"]


def test_the_sandbox_s_first_page_leads_to_apollo(apollo: ApolloStub):
    assert 'href="/apollo/"' in httpx2.get(apollo.sandbox.url).text
    answer = httpx2.get(apollo.base_url, follow_redirects=True)
    assert str(answer.url) == f"{apollo.base_url}/"
    assert "Nobody has been asked for yet." in text_of(apollo)
    assert "No phone number has been asked for yet." in text_of(apollo, "/deliveries")


def test_requests_are_listed_with_what_they_cost_and_what_went_wrong(used: ApolloStub):
    text = text_of(used)
    assert "Requests 5 Deliveries 2" in text
    assert "10 contacts asked for, 10 found 10 credits" in text
    assert "422 2 contacts asked for Refused: poison 0 credits" in text
    assert "3 contacts asked for, 3 found Answer spoiled: fractional 1.05 credits" in text
    assert text.index("fractional") < text.index("poison") < text.index("10 contacts")


def test_the_credits_of_the_account_are_shown(used: ApolloStub):
    text = text_of(used)
    assert "Demographics and addresses 14.05 999,985.95" in text
    assert "Mobile phones 16 999,984" in text


def test_a_request_is_shown_with_the_cost_of_each_person(used: ApolloStub):
    first = httpx2.get(f"{used.base_url}/calls/{number_of(used, 0)}").text
    assert "<script" not in first
    text = text_of(used, f"/calls/{number_of(used, 0)}")
    assert "found8@a-company-with-a-long-name.example" in text
    assert MARKUP in text
    assert str(used.calls()[0]["request_id"]) in text
    assert "Cost 10 credits" in text


def test_a_delivery_is_shown_with_the_request_that_asked_for_it(used: ApolloStub, web_app: WebApp):
    text = text_of(used, f"/calls/{number_of(used, 3)}")
    assert f"Webhook {web_app.url}/phones/acme" in text
    assert "Posted 1 time of 1 Answered 200" in text
    assert '"type_cd": "mobile"' in text
    listed = text_of(used, "/deliveries")
    assert listed.index("Is not posted") < listed.index("Posted 1 time")


def test_many_requests_come_in_pages(apollo: ApolloStub):
    for number in range(51):
        apollo.ask(*[{}] * (1 + number % 2))
    first, second = text_of(apollo, "/?page=1"), text_of(apollo, "/?page=2")
    assert "Page 1 of 2" in first
    assert first.count("asked for, 0 found") == 50
    assert second.count("asked for, 0 found") == 1


def test_a_request_that_is_not_there_says_so(apollo: ApolloStub):
    answer = httpx2.get(f"{apollo.base_url}/calls/999999")
    assert (answer.status_code, "There is no request 999999." in answer.text) == (404, True)


# In a browser


def addresses(apollo: ApolloStub) -> dict[str, str]:
    request, delivered = number_of(apollo, 0), number_of(apollo, 3)
    paths = {"requests": "", "deliveries": "deliveries", "request": f"calls/{request}", "phones": f"calls/{delivered}"}
    return {name: f"{apollo.base_url}/{path}" for name, path in paths.items()}


def test_on_a_phone_everything_fits_and_can_be_hit(browser: Browser, used: ApolloStub):
    browser.show(*PHONE)
    for name, address in addresses(used).items():
        browser.open(address)
        assert browser.ask("document.documentElement.scrollWidth") <= PHONE[0], name
        assert browser.ask("visualViewport.scale") == 1, name
        assert browser.ask(TOO_SMALL) == [], name
        browser.photograph(f"apollo-{name}-phone")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read_by_day_and_by_night(browser: Browser, used: ApolloStub, dark: bool):
    browser.show(*DESKTOP, dark=dark)
    for name, address in addresses(used).items():
        browser.open(address)
        assert browser.ask(TOO_FAINT) == [], name
        assert browser.ask("document.documentElement.scrollWidth") <= DESKTOP[0], name
        browser.photograph(f"apollo-{name}-{'dark' if dark else 'desktop'}")
