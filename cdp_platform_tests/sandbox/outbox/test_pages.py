"""What people see of the outbox: over the socket as text, and in a browser as they would."""

import re
import smtplib
from html import unescape

import httpx2
import pytest

from cdp_platform_tests.browser import DESKTOP, PHONE, TOO_FAINT, TOO_SMALL, Browser
from cdp_platform_tests.sandbox.conftest import WebApp
from cdp_platform_tests.sandbox.outbox.conftest import Sender

MARKUP = "<script>document.title = 'owned'</script>"
LETTER = """<!doctype html><html><head><style>h1 { color: #17624f }</style></head>
<body style="margin: 0; background: #f2f4f1; font: 16px sans-serif">
<div style="max-width: 560px; margin: 24px auto; padding: 32px; background: #fff; border-radius: 12px">
<h1>Xin chào An</h1><p>The coffee that you like is back, at 20 % less until Sunday.</p>
<p><a href="http://127.0.0.1:9/shop" style="padding: 12px 20px; background: #17624f; color: #fff">To the shop</a></p>
<img src="http://127.0.0.1:9/pixel.png" alt="The shop"><script>document.title = 'owned'</script>
<p style="color: #586470; font-size: 13px">Saigon Shops, 12 Le Loi, Ho Chi Minh City ·
<a href="http://127.0.0.1:9/u/token">Unsubscribe</a></p></div></body></html>""".replace("\n", "\r\n")


def one_click(url: str) -> str:
    post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
    return f"List-Unsubscribe: <mailto:stop@shop.invalid>, <{url}>\r\n{post}\r\n"


@pytest.fixture
def full_outbox(sender: Sender) -> Sender:
    """E-mails with HTML, one of them sent twice and one refused, and an SMS."""
    for key in ("k1", "k2", "k2"):
        text = "Xin chào An, the coffee is back: http://127.0.0.1:9/shop."
        sender.mail(
            key=key, subject="Your coffee is back", text=text, html=LETTER, headers=one_click("http://127.0.0.1:9/u")
        )
    rule = {"match": {"method": "MESSAGE"}, "action": "status", "status": 550, "body": "5.7.1 No"}
    sender.sandbox.spoil(rule)
    with pytest.raises(smtplib.SMTPDataError):
        sender.mail("binh@example.com", key="k3", subject=MARKUP)
    for _ in range(2):
        sender.post("k4", text="Saigon Shops: the coffee is back, http://127.0.0.1:9/s?x=1.", **{"from": "SHOPS"})
    return sender


def text_of(answer: httpx2.Response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text.partition("<body>")[2])).split())


def number_of(sender: Sender, key: str) -> int:
    return next(message["number"] for message in sender.messages() if message["key"] == key)


def get(sender: Sender, key: str, show: str = "") -> httpx2.Response:
    return httpx2.get(f"{sender.url}/{number_of(sender, key)}", params={"show": show}, timeout=30)


# Over the socket


def test_the_sandbox_s_first_page_leads_to_the_outbox(sender: Sender):
    assert 'href="/outbox/"' in httpx2.get(sender.sandbox.url).text
    answer = httpx2.get(sender.url, follow_redirects=True)
    assert str(answer.url) == f"{sender.url}/"
    assert "No message has come yet." in text_of(answer)


def test_the_list_has_the_latest_first_and_marks_what_came_twice_or_was_refused(full_outbox: Sender):
    answer = httpx2.get(f"{full_outbox.url}/")
    keys = [int(number) for number in re.findall(r'<li><a href="\./(\d+)"', answer.text)]
    assert len(keys) == 5
    assert keys == sorted(keys, reverse=True)
    text = text_of(answer)
    assert text.count("Delivered 2 times") == 2
    assert text.count("Refused") == 1
    assert f"{MARKUP}" in text
    assert "<script" not in answer.text


def test_the_list_can_be_of_one_channel(full_outbox: Sender):
    answer = httpx2.get(f"{full_outbox.url}/", params={"channel": "sms"})
    assert "+84901234567" in text_of(answer)
    assert "Your coffee is back" not in text_of(answer)


def test_many_messages_come_in_pages(sender: Sender):
    for number in range(51):
        sender.post(f"k{number}", text=f"Message {number}.")
    first, second = (text_of(httpx2.get(f"{sender.url}/", params={"page": page})) for page in (1, 2))
    assert "Page 1 of 2" in first
    assert "Message 50." in first
    assert "Message 0." not in first
    assert "Message 0." in second


def test_a_message_is_shown_with_its_text_its_headers_and_as_it_came(full_outbox: Sender):
    assert "the coffee is back" in text_of(get(full_outbox, "k1", "text"))
    assert '<a href="http://127.0.0.1:9/shop" rel="noreferrer">' in get(full_outbox, "k1", "text").text
    headers = text_of(get(full_outbox, "k1", "headers"))
    assert "Message-ID <k1@shop.invalid>" in headers
    assert "List-Unsubscribe <mailto:stop@shop.invalid>, <http://127.0.0.1:9/u>" in headers
    assert 'boundary="x"' in text_of(get(full_outbox, "k1", "raw"))


def test_the_facts_of_a_message_tell_duplicates_refusals_and_repeated_requests(full_outbox: Sender):
    assert "Delivered 2 times to this address." in text_of(get(full_outbox, "k2"))
    assert "nobody got it" in text_of(get(full_outbox, "k3"))
    assert "Asked for again 1 time" in text_of(get(full_outbox, "k4"))
    assert "Delivered" not in text_of(get(full_outbox, "k1"))


def test_the_button_opts_out_as_a_mail_client_does(sender: Sender, web_app: WebApp):
    sender.mail(key="k1", headers=one_click(f"{web_app.url}/u/token"))
    number = number_of(sender, "k1")
    assert "<button" in get(sender, "k1").text
    assert web_app.posted == []
    answer = httpx2.post(f"{sender.url}/{number}/unsubscribe")
    assert "<h1>Unsubscribed</h1>" in answer.text
    ((path, headers, body),) = web_app.posted
    assert (path, body) == ("/u/token", b"List-Unsubscribe=One-Click")
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert "cookie" not in headers


def test_a_message_has_no_button_unless_it_says_that_one_click_is_enough(sender: Sender):
    sender.mail(key="k1", headers="List-Unsubscribe: <http://127.0.0.1:9/u/token>\r\n")
    assert "<button" not in get(sender, "k1").text


def test_a_web_app_that_is_not_there_is_told(sender: Sender):
    sender.mail(key="k1", headers=one_click("http://127.0.0.1:9/u/token"))
    answer = httpx2.post(f"{sender.url}/{number_of(sender, 'k1')}/unsubscribe")
    assert "Not unsubscribed" in text_of(answer)
    assert "make up" in text_of(answer)


@pytest.mark.parametrize(
    "content_type", ["text/html; charset=no-such", "multipart/alternative", "text/plain; charset=x"]
)
def test_whatever_a_message_is_it_is_shown(sender: Sender, content_type: str):
    content = f"Message-ID: <k1@x>\r\nSubject: \xff\r\nContent-Type: {content_type}\r\n\r\n\xff\xfe\r\n"
    with sender.smtp() as client:
        client.sendmail("shop@example.net", ["an@example.com"], content.encode("latin-1"))
    for show in ("", "text", "headers", "raw"):
        assert get(sender, "k1", show).status_code == 200


def test_a_message_that_is_not_there_says_so(sender: Sender):
    answer = httpx2.get(f"{sender.url}/999999")
    assert answer.status_code == 404
    assert "There is no message 999999 in the outbox." in text_of(answer)


# In a browser


PAGES = {"list": ("", ""), "mail": ("k2", ""), "headers": ("k1", "headers"), "sms": ("k4", "")}


def address(sender: Sender, name: str) -> str:
    key, show = PAGES[name]
    return f"{sender.url}/{number_of(sender, key)}?show={show}" if key else f"{sender.url}/"


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_everything_fits_and_can_be_hit(browser: Browser, full_outbox: Sender, name: str):
    browser.show(*PHONE)
    browser.open(address(full_outbox, name))
    assert browser.ask("document.documentElement.scrollWidth") <= PHONE[0]
    assert browser.ask("visualViewport.scale") == 1
    # Links within a text are as large as the text.
    small = browser.ask(TOO_SMALL)
    assert [text for text, *_ in small if not text.startswith("http")] == []
    browser.photograph(f"outbox-{name}-phone")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_everything_can_be_read_by_day_and_by_night(browser: Browser, full_outbox: Sender, name: str, dark: bool):
    browser.show(*DESKTOP, dark=dark)
    browser.open(address(full_outbox, name))
    assert browser.ask(TOO_FAINT) == []
    assert browser.ask("document.documentElement.scrollWidth") <= DESKTOP[0]
    browser.photograph(f"outbox-{name}-{'dark' if dark else 'desktop'}")


def test_what_came_twice_is_red(browser: Browser, full_outbox: Sender):
    browser.open(f"{full_outbox.url}/")
    colours = browser.ask("[...document.querySelectorAll('.alarm')].map(one => getComputedStyle(one).color)")
    assert len(colours) == 3
    for colour in colours:
        red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
        assert red > 2 * max(green, blue)


def test_the_html_of_a_message_is_shown_and_can_do_nothing(browser: Browser, sender: Sender, web_app: WebApp):
    letter = LETTER.replace("http://127.0.0.1:9", web_app.url)
    sender.mail(key="k1", subject="Your coffee is back", html=letter)
    browser.open(f"{sender.url}/{number_of(sender, 'k1')}")
    look = "(one => [one.getAttribute('sandbox'), one.srcdoc, one.clientHeight])(document.querySelector('iframe'))"
    sandbox, shown, height = browser.ask(look)
    assert sandbox == ""
    assert MARKUP in shown
    assert height >= 380
    # The browser draws it as a page of its own.
    targets = browser.tell("Target.getTargets")["targetInfos"]
    assert "about:srcdoc" in [target["url"] for target in targets if target["type"] == "iframe"]
    assert browser.ask("document.title") == "Your coffee is back"
    # Nobody was asked for the picture, nor for anything else.
    assert web_app.asked == []


def test_a_person_unsubscribes_with_one_click(browser: Browser, sender: Sender, web_app: WebApp):
    sender.mail(key="k1", headers=one_click(f"{web_app.url}/u/token"))
    browser.open(f"{sender.url}/{number_of(sender, 'k1')}")
    browser.ask("document.querySelector('button').click()")
    web_app.wait()
    for _ in range(100):
        if browser.ask("document.title") == "Unsubscribed":
            break
    assert browser.ask("document.querySelector('h1').textContent") == "Unsubscribed"
    assert len(web_app.posted) == 1
