from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns import templates
from cdp_platform.campaigns.templates import Template
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.errors import ConfigurationError, PlatformError, QueryError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

FOOT = '<p>{{ postal_address }} <a href="{{ opt_out_url }}">Stop</a></p>'
TEXT_FOOT = "\n{{ postal_address }}\nStop: {{ opt_out_url }}\n"
EMAIL: dict[str, Any] = {"channel_kind": "email", "subject": "Hello", "text": None, "html": f"<p>Hi{FOOT}"}


@pytest.fixture
def tenant(app: psycopg.Connection, sender: Sender) -> Tenant:
    tenants.add(app, "acme", settings=[CampaignSettings(postal_address="1 Main Street")])
    return tenants.get(app, "acme")


@pytest.fixture
def acme(app: psycopg.Connection, tenant: Tenant) -> Iterator[psycopg.Connection]:
    with tenant_transaction(app, tenant.tenant_id):
        yield app


def saved(connection: psycopg.Connection, **changes: Any) -> int:
    return templates.save(connection, "acme", "welcome", **{**EMAIL, **changes})


def approved(connection: psycopg.Connection, tenant: Tenant, **changes: Any) -> Template:
    version = saved(connection, **changes)
    templates.approve(connection, tenant, "welcome", version)
    return templates.load(connection, "acme", "welcome", version)


def prepared(**changes: Any) -> Template:
    content = {**EMAIL, **changes}
    draft = Template(
        "welcome", 1, content["channel_kind"], "draft", content["subject"], content["text"], content["html"], None, None
    )
    return templates.prepared(draft)


# --- versions ---


def test_a_draft_is_replaced_and_an_approved_version_is_followed_by_another_one(
    acme: psycopg.Connection, tenant: Tenant
) -> None:
    assert saved(acme) == 1
    assert saved(acme, subject="Hello again") == 1
    templates.approve(acme, tenant, "welcome", 1)
    assert saved(acme, subject="Hello again") == 1
    assert saved(acme, subject="Something else") == 2
    found = [templates.latest(acme, "acme", "welcome", approved=only) for only in (False, True)]
    assert [(each.version, each.state, each.subject) for each in found if each] == [
        (2, "draft", "Something else"),
        (1, "approved", "Hello again"),
    ]


def test_an_approved_version_never_changes(acme: psycopg.Connection, tenant: Tenant) -> None:
    approved(acme, tenant)
    with pytest.raises(psycopg.errors.CheckViolation, match="write a new version"):
        acme.execute("UPDATE campaigns.message_template SET sent_html = 'x'")


def test_approving_again_changes_nothing_and_a_newer_approval_archives_the_version_for_good(
    acme: psycopg.Connection, tenant: Tenant
) -> None:
    before = approved(acme, tenant)
    templates.approve(acme, tenant, "welcome", 1)
    assert templates.load(acme, "acme", "welcome", 1) == before
    assert saved(acme, subject="Another one") == 2
    templates.approve(acme, tenant, "welcome", 2)
    assert templates.load(acme, "acme", "welcome", 1).state == "archived"
    with pytest.raises(QueryError, match=r"is archived\. Write a new version"):
        templates.approve(acme, tenant, "welcome", 1)
    latest = templates.latest(acme, "acme", "welcome", approved=True)
    assert latest is not None
    assert latest.version == 2


def test_a_version_that_is_not_there_is_told_so(acme: psycopg.Connection) -> None:
    assert templates.latest(acme, "acme", "welcome") is None
    with pytest.raises(QueryError, match="no version 3 of template 'welcome'"):
        templates.load(acme, "acme", "welcome", 3)


def test_no_tenant_sees_the_templates_of_another_one(app: psycopg.Connection, tenant: Tenant) -> None:
    tenants.add(app, "near", arango_database="")
    with tenant_transaction(app, "near"):
        templates.save(app, "near", "welcome", **EMAIL)
    with tenant_transaction(app, "acme"):
        assert templates.latest(app, "acme", "welcome") is None
        assert templates.latest(app, "near", "welcome") is None


# --- approval ---


def test_an_approval_puts_the_styles_into_the_elements_and_makes_the_text() -> None:
    html = (
        "<html><head><style>p {color: red} @media (max-width: 600px) {p {color: blue}}</style></head><body>"
        f"<p>Hi {{{{ first_name|default('you') }}}} &amp; all{FOOT}</body></html>"
    )
    ready = prepared(html=html)
    assert ready.sent_html is not None
    assert "<p style=\"color: red;\">Hi {{ first_name|default('you') }} &amp; all</p>" in ready.sent_html
    assert "@media (max-width: 600px)" in ready.sent_html
    assert ready.sent_text == (
        "Hi {{ first_name|default('you') }} & all\n\n{{ postal_address }} [Stop]({{ opt_out_url }})\n"
    )


def test_a_text_of_its_own_is_sent_as_it_was_written() -> None:
    text = f"Hi{TEXT_FOOT}"
    assert prepared(text=text).sent_text == text
    only = prepared(text=text, html=None)
    assert (only.sent_text, only.sent_html) == (text, None)


def test_without_a_postal_address_of_the_tenant_no_email_is_approved(app: psycopg.Connection, sender: Sender) -> None:
    with tenant_transaction(app, "acme"):
        version = saved(app)
        with pytest.raises(ConfigurationError, match="cdp tenant add acme --postal-address"):
            templates.approve(app, sender.tenant, "welcome", version)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"subject": None}, "there is no subject"),
        ({"subject": "a\nBcc: b"}, "the subject has a line break"),
        ({"html": None}, "there is neither a text nor an HTML"),
        ({"html": "<p>Hi"}, "html: the sender's postal address is not in every message; add {{ postal_address }}"),
        (
            {"html": "<p>{{ postal_address }}"},
            "html: the link to opt out is not in every message; add {{ opt_out_url }}",
        ),
        ({"html": f"<p>Hi{{% if city %}}{FOOT}{{% endif %}}"}, "is not in every message"),
        ({"html": f'<div style="display:none">{FOOT}</div>Hi'}, "html: "),
        ({"html": "<p>{{ postal_address }}<!-- {{ opt_out_url }} -->"}, "cannot be seen"),
        (
            {"html": "<p title='{{ postal_address }}'><a href='{{ opt_out_url }}'>x</a>", "text": TEXT_FOOT},
            "cannot be seen",
        ),
        ({"text": "Hi"}, "text: the sender's postal address is not in every message"),
        ({"subject": "{{ first_nam }}"}, "subject: line 1: there is no variable 'first_nam'; first_name may be meant"),
        ({"html": f"<p>\n{{{{ first_name|frist }}}}{FOOT}"}, "line 2: No filter named 'frist'"),
        ({"html": f"<style>p {{color: {{{{ city }}}}}}</style><p>x{FOOT}"}, "html: there is Jinja in a style sheet"),
        ({"html": f"<style>@media all{{#a{{color:red}}}}</style>{FOOT}"}, "`{#` begins: write `{ #` where it is none"),
        ({"html": f"<script>x</script>{FOOT}"}, "html: there is an element <script>"),
        ({"html": "<div>" * 20_000 + FOOT}, "html: elements are nested more than 200 deep"),
        ({"html": "<svg>" + "<tr>" * 20_000 + FOOT}, "html: elements are nested more than 200 deep"),
        (
            {"html": f"<table>{{% if city %}}<tr><td>a</td></tr>{{% endif %}}</table>{FOOT}"},
            "html: the text of its HTML loses conditions",
        ),
        ({"html": f"{'x' * 200_001}{FOOT}"}, "html: it has more than 200000 characters"),
        ({"channel_kind": "webhook"}, "has a text only; take out subject and html"),
        ({"channel_kind": "webhook", "subject": None, "html": None}, "there is no text"),
    ],
)
def test_what_is_not_fit_to_be_sent_is_not_approved(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(QueryError) as raised:
        prepared(**changes)
    message = str(raised.value)
    assert message.startswith("Template welcome: ")
    assert "\n" not in message
    assert problem in message


def test_a_text_message_needs_no_foot() -> None:
    ready = prepared(channel_kind="webhook", subject=None, html=None, text="Hi {{ first_name }}")
    assert ready.sent_text == "Hi {{ first_name }}"


def test_a_condition_around_an_attribute_and_text_survives_an_approval() -> None:
    html = f'<p {{% if city %}}class="x"{{% endif %}}>{{% if city == "Huế" %}}A{{% else %}}B{{% endif %}}</p>{FOOT}'
    parts = prepared(html=html).parts
    values = {"postal_address": "1 Main Street", "opt_out_url": "https://x.example"}
    with_city = "".join(parts["html"].pieces({**values, "city": "Huế"}))
    without = "".join(parts["html"].pieces(values))
    assert '<p class="x" >A</p>' in with_city
    assert "<p >B</p>" in without
    assert "".join(parts["text"].pieces({**values, "city": "Huế"})).startswith("A\n")
    assert "".join(parts["text"].pieces(values)).startswith("B\n")


def test_an_approval_loads_nothing(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.css"
    sheet.write_text("p {color: red}")
    html = f'<html><head><link rel="stylesheet" href="file://{sheet}"></head><body><p>Hi</p>{FOOT}</body></html>'
    ready = prepared(html=html)
    assert ready.sent_html is not None
    assert "color: red" not in ready.sent_html


def test_a_content_with_a_nul_is_refused(acme: psycopg.Connection) -> None:
    with pytest.raises(PlatformError, match="NUL"):
        saved(acme, html="a\0b")
