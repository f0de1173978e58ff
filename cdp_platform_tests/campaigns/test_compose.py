"""Messages as they leave: their headers, their bodies, and nothing in them that a person's data could add."""

import email
import email.policy
import json
from email.message import EmailMessage
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cdp_platform.campaigns import templates
from cdp_platform.campaigns.channels.contract import Outgoing
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.channels.webhook import WebhookChannel
from cdp_platform.campaigns.compose import Composer
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.campaigns.events import Event
from cdp_platform.campaigns.links import Links
from cdp_platform.campaigns.templates import Template
from cdp_platform.errors import ConfigurationError, QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.ops.tokens import Tokens
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

LINKS = Links("https://messages.example.com", Tokens(["k" * 32]))
TENANT = Tenant("acme", "Acme Shop", "active", "", {"postal_address": "1 Main Street\nSaigon"})
HTML = (
    "<html><head><style>p {color: red}</style></head><body><p>Dear {{ first_name }},</p><p>{{ postal_address }}"
    ' <a href="{{ opt_out_url }}">Stop</a> <a href="{{ preferences_url }}">Choose</a></p></body></html>'
)
EMAIL = EmailChannel.model_validate(
    {
        "name": "email",
        "kind": "email",
        "address": "127.0.0.1",
        "from": "Cửa hàng <news@shop.example>",
        "reply_to": "hello@shop.example",
        "unsubscribe_mailto": "stop@shop.example",
    }
)
SMS = WebhookChannel.model_validate(
    {"name": "sms", "kind": "webhook", "to": "phone", "address": "http://127.0.0.1/", "secret": "hush"}
)


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = dict.fromkeys(Event.__dataclass_fields__)
    given: dict[str, Any] = {"tenant_id": "acme", "event_id": "spring:1", "campaign_code": "spring", "type": "message"}
    return Event(**{**fields, **given, **changes})


def template(**changes: Any) -> Template:
    content: dict[str, Any] = {
        "channel_kind": "email",
        "subject": "Hello {{ first_name }}",
        "body_text": None,
        "body_html": HTML,
    }
    draft = Template("welcome", 1, state="draft", sent_text=None, sent_html=None, **{**content, **changes})
    return templates.prepared(draft)


def handed(**values: Any) -> Handed:
    return Handed("d", "0f" * 32, values.pop("address", "an@example.com"), b"hash", {"first_name": "An", **values})


def composed(one: Handed, **changes: Any) -> EmailMessage:
    (made,) = Composer(TENANT, event(), template(**changes), EMAIL, LINKS)([one])
    assert isinstance(made, Outgoing)
    assert (made.key, made.address) == (one.key, one.address)
    return parsed(made.content)


def parsed(content: bytes) -> EmailMessage:
    """The message as a strict reader has it; its lines end in CRLF and are no longer than RFC 5322 allows."""
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    assert [name for name, value in message.items() if value.defects] == []
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


# --- headers ---


def test_a_message_has_the_headers_that_large_receivers_ask_for() -> None:
    message = composed(handed())
    opt_out = LINKS.opt_out("acme", "email", "0f" * 32, b"hash")
    assert message["Message-ID"] == f"<{'0f' * 32}@shop.example>"
    assert message["From"].addresses[0].display_name == "Cửa hàng"
    assert (message["Reply-To"], message["To"]) == ("hello@shop.example", "an@example.com")
    assert message["Subject"] == "Hello An"
    assert message["List-Unsubscribe"].replace("\r\n", "") == (
        f"<{opt_out}>, <mailto:stop@shop.example?subject=unsubscribe%20{'0f' * 32}>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Feedback-ID"] == "spring:spring.1::acme"
    assert message["Date"].datetime is not None
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_nothing_of_the_person_is_in_a_header_that_providers_group_by() -> None:
    message = composed(handed())
    for name in ("Message-ID", "Feedback-ID", "From", "List-Unsubscribe"):
        assert "an@example.com" not in message[name]
        assert "An" not in str(message[name]).replace("List-Unsubscribe", "").split("?")[0].split("/u/")[0]


@pytest.mark.parametrize(
    "name",
    [
        "An\r\nBcc: victim@example.com",
        "An\nX-Evil: 1",
        "An\r\n\r\n<script>",
        "An\u2028Bcc: x",
        "An\x85Bcc: x",
        "An\x0bB",
    ],
)
def test_a_line_break_in_a_name_makes_no_header_and_no_line(name: str) -> None:
    message = composed(handed(first_name=name))
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    one_line = " ".join(name.replace("\u2028", " ").replace("\x85", " ").replace("\x0b", " ").split())
    assert message["Subject"] == f"Hello {one_line}"
    assert f"Dear {one_line}," in body(message, "plain").replace("\n", " ")


def test_a_long_subject_in_any_script_is_folded_and_comes_back_whole() -> None:
    for name in ("Nguyễn Thị Minh Khai " * 20, "x" * 900, "😀" * 200, "=?utf-8?q?Bcc=3A?= An"):
        assert composed(handed(first_name=name))["Subject"] == f"Hello {name.strip()}"


def test_an_address_beyond_ascii_is_written_as_smtputf8_has_it() -> None:
    assert composed(handed(address="an@bücher.example"))["To"] == "an@xn--bcher-kva.example"
    (made,) = Composer(TENANT, event(), template(), EMAIL, LINKS)([handed(address="nguyễn@example.com")])
    assert isinstance(made, Outgoing)
    assert "To: nguyễn@example.com\r\n".encode() in made.content


# --- bodies ---


def test_both_bodies_say_the_same_with_each_value_escaped_where_it_has_to_be() -> None:
    message = composed(handed(first_name="<b>An & Co</b>"))
    html, text = body(message, "html"), body(message, "plain")
    assert '<p style="color: red;">Dear &lt;b&gt;An &amp; Co&lt;/b&gt;,</p>' in html
    assert "Dear <b>An & Co</b>," in text
    for shown in (html, text):
        assert "1 Main Street Saigon" in shown
        assert LINKS.opt_out("acme", "email", "0f" * 32, b"hash") in shown
        assert LINKS.preferences("acme", "email", "0f" * 32, b"hash") in shown


def test_a_line_of_2000_bytes_a_dot_and_blanks_at_the_end_of_lines_arrive_as_they_were_written() -> None:
    lines = f"{'x' * 2000}\n.\n..dots\nFrom here \n=3D\ttab \n"
    text = lines + "{{ postal_address }} {{ opt_out_url }}\nGrüße, {{ first_name }}"
    shown = body(composed(handed(), body_text=text), "plain")
    assert shown.startswith(f"{lines}1 Main Street Saigon https://")
    assert shown.rstrip("\n").endswith("Grüße, An")


def test_a_text_alone_is_no_multipart() -> None:
    message = composed(handed(), body_html=None, body_text="Hi {{ postal_address }} {{ opt_out_url }}")
    assert message.get_content_type() == "text/plain"


def test_no_message_tells_on_its_reader() -> None:
    html = body(composed(handed()), "html")
    assert "<img" not in html
    links = html.count("https://")
    assert links == html.count("https://messages.example.com/") == 2


# --- people without a message ---


@pytest.mark.parametrize("missing", [None, "", "  ", "\r\n"])
def test_who_lacks_a_value_that_is_printed_gets_no_message_and_holds_up_nobody(missing: str | None) -> None:
    compose = Composer(TENANT, event(), template(), EMAIL, LINKS)
    first, second = compose([handed(first_name=missing), handed()])
    assert first == "'first_name' is undefined"
    assert isinstance(second, Outgoing)


def test_a_value_that_is_asked_for_first_may_be_missing() -> None:
    html = HTML.replace("{{ first_name }}", "{% if first_name %}{{ first_name }}{% else %}friend{% endif %}")
    changes = {"body_html": html, "subject": "Hello {{ first_name|default('you')|upper }}"}
    message = composed(handed(first_name=None), **changes)
    assert message["Subject"] == "Hello YOU"
    assert "Dear friend," in body(message, "plain")


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE x; --", "%s%n%100000000s", "{{ 7 * 7 }}{% raw %}", "$" * 1000, "\u202eAn"]
)
def test_a_value_is_only_ever_a_value(value: str) -> None:
    message = composed(handed(first_name=value))
    assert message["Subject"] == f"Hello {value}"
    assert f"Dear {value}," in body(message, "plain").replace("\n", " ")


def test_a_value_that_no_name_has_fails_the_message() -> None:
    (made,) = Composer(TENANT, event(), template(), EMAIL, LINKS)([handed(first_name="x" * 1001)])
    assert made == "a value has more than 1000 characters"


# --- what does not fit ---


def test_a_confirmation_has_the_link_that_confirms_and_no_other_message_has_it() -> None:
    asking = template(body_html=HTML.replace("Dear", '<a href="{{ confirm_url }}">Yes</a>'))
    (made,) = Composer(TENANT, event(type="confirmation"), asking, EMAIL, LINKS)([handed()])
    assert isinstance(made, Outgoing)
    assert LINKS.confirm("acme", "email", "0f" * 32, b"hash") in body(parsed(made.content), "html")
    with pytest.raises(QueryError, match=r"Take .. confirm_url .. out"):
        Composer(TENANT, event(), asking, EMAIL, LINKS)
    with pytest.raises(QueryError, match=r"Add .. confirm_url"):
        Composer(TENANT, event(type="confirmation"), template(), EMAIL, LINKS)


def test_template_channel_and_tenant_have_to_fit() -> None:
    with pytest.raises(QueryError, match="sms is of kind webhook"):
        Composer(TENANT, event(), template(), SMS, LINKS)
    with pytest.raises(ConfigurationError, match="--postal-address"):
        Composer(Tenant("acme", "Acme", "active", "", {}), event(), template(), EMAIL, LINKS)


def test_a_webhook_gets_the_text_alone() -> None:
    text = template(
        channel_kind="webhook", subject=None, body_html=None, body_text="Hi {{ first_name }}, {{ sender_name }}"
    )
    (made,) = Composer(TENANT, event(), text, SMS, LINKS)([handed(address="+84901234567")])
    assert isinstance(made, Outgoing)
    said = json.loads(made.content)
    assert (said["to"], said["text"]) == ("+84901234567", "Hi An, Acme Shop")
    assert said["unsubscribe"] == LINKS.opt_out("acme", "sms", "0f" * 32, b"hash")


# --- previews and tests ---


def test_a_preview_shows_the_messages_of_people_and_why_somebody_gets_none(
    app: psycopg.Connection, sender: Sender
) -> None:
    sender.profiles(
        {"profile_id": "p1", "first_name": "An", "primary_email": "an@example.com"},
        {"profile_id": "p2", "primary_email": "binh@example.com"},
        {"profile_id": "p3", "first_name": "Chi", "primary_email": "chi@example.com"},
    )
    everybody = sql.SQL("SELECT profile_id FROM customers.cdp_profiles")
    with tenant_transaction(app, "acme"):
        previews = Composer(TENANT, event(), template(), EMAIL, LINKS).preview(app, everybody, people=2)
    assert [(preview.subject, preview.problem) for preview in previews] == [
        ("Hello An", ""),
        ("", "'first_name' is undefined"),
    ]
    assert "Dear An," in previews[0].html
    assert "Dear An," in previews[0].text


def test_a_test_message_goes_to_its_address_with_a_key_of_no_delivery(app: psycopg.Connection, sender: Sender) -> None:
    with tenant_transaction(app, "acme"):
        made = Composer(TENANT, event(), template(), EMAIL, LINKS).test_message(app, "Seed@example.com")
        hashed = app.execute("SELECT ops.address_hash(ops.salt_of('acme'), 'seed@example.com')").fetchone()
        deliveries = app.execute("SELECT count(*) FROM campaigns.delivery_log").fetchone()
    assert (made.address, deliveries) == ("Seed@example.com", (0,))
    assert hashed is not None
    message = parsed(made.content)
    assert message["Subject"] == "Hello Linh"
    assert LINKS.opt_out("acme", "email", made.key, hashed[0]) in message["List-Unsubscribe"]
