"""A preview shows whoever has its link what is to be paid for, and nothing by which anybody could be found."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.enrichment import preview_links, searches
from cdp_platform.enrichment.preview_links import PreviewLinks
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.ops.tokens import Tokens
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.web import previews
from cdp_platform.web.database import Database
from cdp_platform_tests.browser import Browser
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.web.conftest import serving
from cdp_platform_tests.web.test_pages import SCREENS, look

LINKS = PreviewLinks("https://cdp.example.com/", Tokens(["k" * 32]))
JSON = {"Accept": "application/json"}
PEOPLE = [
    {
        "first_name": f"Planted{number}",
        "last_name": f"Personage{number}",
        "email": f"planted.person{number}@hidden-company{number % 3}.example",
        "organization_name": f"Hidden Company {number % 3}",
        "phone": f"+49 30 5550 {number:04}",
        "linkedin_url": f"https://www.linkedin.com/in/planted-{number}",
        "note": f"a secret note {number}",
    }
    for number in range(1, 31)
]


@dataclass
class Shown:
    """A search of planted people, and the web app that shows its preview."""

    client: httpx2.Client
    connection: psycopg.Connection
    search_id: UUID

    @property
    def path(self) -> str:
        return "/previews/" + LINKS.link("acme", self.search_id).rpartition("/")[2]

    def move(self, *moves: tuple[searches.Status, searches.Status]) -> None:
        with tenant_transaction(self.connection, "acme"):
            for before, after in moves:
                assert searches.move(self.connection, "acme", self.search_id, before, after)


@pytest.fixture
def shown(warehouse: Warehouse, app: psycopg.Connection) -> Iterator[Shown]:
    tenants.add(app, "acme", arango_database="")
    made = searches.create(
        app, "acme", name="Spring <fair>", price=Decimal("2.99"), currency="USD", contacts=PEOPLE, phones=True
    )
    database = Database(warehouse.settings)
    with serving(database, *previews.routes(database, LINKS)) as client:
        yield Shown(client, app, made.search_id)


def planted() -> set[str]:
    """What identifies a person or a company: all that was planted, in whole and in parts."""
    values = {value for person in PEOPLE for value in person.values()}
    return values | {"planted", "personage", "hidden", "linkedin.com", "5550 0"}


@pytest.mark.parametrize("headers", [{}, JSON, {"Accept": "text/html"}], ids=["any", "json", "browser"])
@pytest.mark.parametrize("moves", [(), (("preview", "paid"),), (("preview", "paid"), ("paid", "enriching"))], ids=len)
def test_no_answer_holds_anything_that_identifies_somebody(shown: Shown, headers: dict, moves: tuple):
    shown.move(*moves)
    answer = shown.client.get(shown.path, headers=headers)
    assert answer.status_code == 200
    everything = (answer.text + str(answer.headers)).lower()
    assert [value for value in planted() if value.lower() in everything] == []


def test_the_page_says_what_is_to_be_paid_for(shown: Shown):
    page = shown.client.get(shown.path).text
    assert "<h1>Spring &lt;fair&gt;</h1>" in page
    assert "30 of 30 contacts can be enriched: work, e-mail address, phone. The price is 2.99 USD." in page
    assert page.count("<tr>") == 21
    assert "And 10 more." in page
    assert "<td>P. P.</td>" in page


def test_a_program_gets_the_same_as_json(shown: Shown):
    answer = shown.client.get(shown.path, headers=JSON)
    found = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert (found["name"], found["price"], found["currency"], found["status"]) == (
        "Spring <fair>",
        "2.99",
        "USD",
        "preview",
    )
    assert (found["contacts"], len(found["shown"]), found["shown"][0]["phone"]) == (30, 20, "493•••01")


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "json"])
def test_a_link_that_is_forged_cut_or_of_no_search_leads_nowhere(shown: Shown, headers: dict):
    tokens = Tokens(["another key, which is as long as ours"])
    paths = [
        shown.path[:-2],
        f"{shown.path}x",
        "/previews/",
        "/previews/%00",
        "/previews/" + tokens.sign("preview", ["acme", str(shown.search_id)]),
        "/previews/" + LINKS.tokens.sign("choose", ["acme", str(shown.search_id)]),
        "/previews/" + LINKS.link("acme", uuid4()).rpartition("/")[2],
        "/previews/" + LINKS.link("other", shown.search_id).rpartition("/")[2],
    ]
    answers = [shown.client.get(path, headers=headers) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert all(
        ("error" in answer.json()) if headers else ("There is nothing here" in answer.text) for answer in answers
    )


def test_while_the_warehouse_is_busy_it_says_so(shown: Shown, warehouse: Warehouse, monkeypatch):
    monkeypatch.setattr("cdp_platform.web.database._LOCK_SECONDS", 1)
    with warehouse.superuser() as superuser:
        superuser.execute("BEGIN; LOCK TABLE enrichment.search IN ACCESS EXCLUSIVE MODE")
        assert "Please try again" in shown.client.get(shown.path).text
        answer = shown.client.get(shown.path, headers=JSON)
        assert (answer.status_code, answer.json()) == (503, {"error": "Try again in a minute."})


@pytest.mark.parametrize("missing", ["CDP_WEB_URL", "CDP_WEB_KEYS"])
def test_without_address_or_keys_there_are_no_links(monkeypatch: pytest.MonkeyPatch, missing: str):
    for name, value in {"CDP_WEB_URL": "https://cdp.example.com", "CDP_WEB_KEYS": "k" * 32}.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    settings.forget()
    with pytest.raises(ConfigurationError, match=f"no links to previews: set {missing} in"):
        preview_links.configured()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_can_be_read_on_every_screen(shown: Shown, browser: Browser, screen: str):
    for dark in (False, True):
        browser.show(*SCREENS[screen], dark=dark)
        browser.open(str(shown.client.base_url).rstrip("/") + shown.path)
        look(browser, f"web-preview-{screen}-{'dark' if dark else 'light'}", "Spring <fair>")
        assert browser.ask("document.querySelectorAll('tbody tr').length") == 20
