"""The pages as people see them, on a desk and on a phone, in light and in dark."""

import time

import pytest

from cdp_platform_tests.browser import DESKTOP, PHONE, TOO_FAINT, TOO_SMALL, Browser
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.web.conftest import Web
from cdp_platform_tests.web.test_recipients import messages, state

# A finger hits the words beside a choice as well.
TOO_SMALL_TO_CHOOSE = TOO_SMALL.replace("input:not([type=hidden])", "label")
SCREENS = {"desk": DESKTOP, "phone": PHONE}
_PATIENCE_SECONDS = 60
TITLES = {
    "u": ("Stop these messages?", "You are unsubscribed"),
    "p": ("What would you like to get?", "Saved"),
    "c": ("Do you want these messages?", "Thank you"),
}


def press(browser: Browser, selector: str = "button") -> None:
    """Click, and wait for the page that comes of it."""
    browser.ask("window.before = true")
    browser.ask(f"document.querySelector({selector!r}).click()")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while browser.ask("window.before === true || document.readyState !== 'complete'"):
        assert time.monotonic() < deadline, f"no page came within {_PATIENCE_SECONDS} seconds"
        time.sleep(0.02)


def look(browser: Browser, name: str, title: str) -> None:
    """Whether the page can be read and used as it is shown now."""
    assert browser.ask("document.querySelector('h1').textContent") == title == browser.ask("document.title")
    assert browser.ask("document.documentElement.lang") == "en"
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    assert browser.ask(TOO_FAINT) == []
    assert browser.ask(TOO_SMALL_TO_CHOOSE) == []
    # The style sheet is let in by its hash: without it the page is as wide as the window.
    assert browser.ask("document.querySelector('main').getBoundingClientRect().width <= 544")
    browser.photograph(name)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_person_opts_out_chooses_and_confirms(sender: Sender, web: Web, browser: Browser, screen: str):
    (message,) = messages(sender, consent="requested")
    base = str(web.client.base_url).rstrip("/")
    links = {"c": web.links.confirm, "u": web.links.opt_out, "p": web.links.preferences}
    for page, made in links.items():
        for dark in (False, True):
            browser.show(*SCREENS[screen], dark=dark)
            browser.open(base + web.path(made(*message)))
            before, after = TITLES[page]
            shade = "dark" if dark else "light"
            look(browser, f"web-{page}-{screen}-{shade}", before)
            assert browser.ask("document.cookie") == ""
            press(browser)
            look(browser, f"web-{page}-done-{screen}-{shade}", after)
    assert state(sender) == ([("p0000", "email", "withdrawn")], [("email", "opt_out")])


def test_from_opting_out_a_person_comes_to_their_choices_and_back(sender: Sender, web: Web, browser: Browser):
    (message,) = messages(sender)
    browser.show(*PHONE)
    browser.open(str(web.client.base_url).rstrip("/") + web.path(web.links.opt_out(*message)))
    press(browser)
    assert state(sender)[1] == [("email", "opt_out")]
    press(browser, "a")
    assert browser.ask("[...document.querySelectorAll('legend')].map(one => one.textContent)") == [
        "Email",
        "SMS",
        "Zalo",
    ]
    assert browser.ask("[...document.querySelectorAll(':checked')].map(one => one.value)") == ["", "", ""]
    browser.ask("document.querySelector('[name=\"channel.email\"][value=yes]').closest('label').click()")
    press(browser)
    assert state(sender) == ([("p0000", "email", "given")], [])


def test_the_keyboard_alone_is_enough(sender: Sender, web: Web, browser: Browser):
    (message,) = messages(sender)
    browser.open(str(web.client.base_url).rstrip("/") + web.path(web.links.opt_out(*message)))
    for kind in ("keyDown", "keyUp"):
        browser.tell("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.ask("document.activeElement.tagName") == "BUTTON"
    assert browser.ask("getComputedStyle(document.activeElement).outlineWidth") == "3px"
