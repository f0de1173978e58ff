"""The links of a message say which message they stand in, and hold nothing of a person."""

import base64

import pytest
from itsdangerous import URLSafeSerializer

from cdp_platform import settings
from cdp_platform.campaigns import links
from cdp_platform.campaigns.links import Kind, Linked, Links
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.tokens import Tokens

KEY = "k" * 32
MADE = Links("https://messages.example.com/", Tokens([KEY]))
MESSAGE = ("acme", "email", "0f" * 16, bytes(range(32)))


def token(link: str) -> str:
    return link.rpartition("/")[2]


def test_each_link_leads_to_its_page_and_says_which_message_it_stands_in():
    links: list[tuple[str, Kind, str]] = [
        ("u", "choose", MADE.opt_out(*MESSAGE)),
        ("p", "choose", MADE.preferences(*MESSAGE)),
        ("c", "confirm", MADE.confirm(*MESSAGE)),
    ]
    for path, kind, link in links:
        assert link.startswith(f"https://messages.example.com/{path}/")
        assert MADE.read(kind, token(link)) == Linked(*MESSAGE)


def test_who_may_choose_cannot_confirm():
    assert MADE.read("confirm", token(MADE.opt_out(*MESSAGE))) is None
    assert MADE.read("choose", token(MADE.confirm(*MESSAGE))) is None


def test_a_link_holds_no_more_than_tenant_channel_key_and_hash():
    # Read as anybody can who has no key.
    _, read = URLSafeSerializer("no key").loads_unsafe(token(MADE.opt_out(*MESSAGE)))
    assert read == ["acme", "email", "0f" * 16, base64.urlsafe_b64encode(bytes(range(32))).decode()]


def test_a_link_fits_into_a_line_of_a_header():
    longest = Links("https://a-long-name-of-a-host.messages.example.com/campaigns", Tokens([KEY]))
    link = longest.opt_out("t" * 63, "c" * 63, "f" * 64, bytes(32))
    assert len(f"List-Unsubscribe: <{link}>") < 998


@pytest.mark.parametrize("missing", ["CDP_WEB_URL", "CDP_WEB_KEYS"])
def test_without_address_or_keys_there_are_no_links(monkeypatch: pytest.MonkeyPatch, missing: str):
    for name, value in {"CDP_WEB_URL": "https://messages.example.com", "CDP_WEB_KEYS": KEY}.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    settings.forget()
    with pytest.raises(ConfigurationError, match=f"set {missing} in"):
        links.configured()


def test_links_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CDP_WEB_URL", "https://messages.example.com")
    monkeypatch.setenv("CDP_WEB_KEYS", f"{'n' * 32}, {KEY}")
    settings.forget()
    assert links.configured().read("choose", token(MADE.opt_out(*MESSAGE))) == Linked(*MESSAGE)


def test_a_key_that_can_be_guessed_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CDP_WEB_KEYS", f"{KEY},secret")
    settings.forget()
    with pytest.raises(ConfigurationError, match="CDP_WEB_KEYS is wrong") as caught:
        settings.web()
    assert "secret" not in str(caught.value)
