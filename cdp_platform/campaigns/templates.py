"""Templates of messages: drafts become approved versions, which never change.

Grain of ``campaigns.message_template``: one row per template and version. Approval does everything that can be done
once: it checks the template, puts the styles of its HTML into the elements, and makes its text.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, TypeVar

import psycopg
from psycopg.rows import class_row

from cdp_platform.campaigns import template_html
from cdp_platform.campaigns.template_language import NoMessageError, Rendering, rendering
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.campaigns.variables import KNOWN, OPT_OUT, POSTAL_ADDRESS, SAMPLE
from cdp_platform.errors import ConfigurationError, QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.statements import statement

T = TypeVar("T")


@dataclass(frozen=True)
class Template:
    """One version of a template.

    Attributes:
        template: its name.
        version: from 1.
        channel_kind: kind of channel that it is for.
        state: draft, approved or archived.
        subject: as Jinja; e-mail only.
        body_text: the text as it was written; None where it is made of the HTML.
        body_html: the HTML as it was written; e-mail only.
        sent_text: the text that is rendered; None before approval.
        sent_html: the HTML that is rendered, with its styles in its elements.
    """

    template: str
    version: int
    channel_kind: Literal["email", "webhook"]
    state: Literal["draft", "approved", "archived"]
    subject: str | None
    body_text: str | None
    body_html: str | None
    sent_text: str | None
    sent_html: str | None

    @property
    def parts(self) -> dict[str, Rendering]:
        """The parts that are rendered for each person, by name: subject, text, HTML.

        Raises:
            QueryError: a part is not of the language of templates.
        """
        sources = {"subject": self.subject, "html": self.sent_html, "text": self.sent_text}
        return {name: _rendering(name, source) for name, source in sources.items() if source}


def save(
    connection: psycopg.Connection,
    tenant_id: str,
    template: str,
    *,
    channel_kind: Literal["email", "webhook"],
    subject: str | None,
    text: str | None,
    html: str | None,
) -> int:
    """Write a draft, inside a transaction of the tenant; a draft that is the latest version is replaced.

    Returns:
        The version: that of the latest one where its content is the same.

    Raises:
        QueryError: the content cannot be kept.
    """
    contents = [channel_kind, subject, text, html]
    if any("\0" in content for content in contents if content):
        raise QueryError(f"Template {template} contains a NUL character. Take it out.")
    content_hash = sha256(json.dumps(contents).encode()).digest()
    row = connection.execute(
        statement("campaigns", "save_template"),
        {
            "tenant": tenant_id,
            "template": template,
            "kind": channel_kind,
            "subject": subject,
            "text": text,
            "html": html,
            "hash": content_hash,
        },
    ).fetchone()
    assert row is not None  # noqa: S101 (the statement gives one row)
    return row[0]


def approve(connection: psycopg.Connection, tenant: Tenant, template: str, version: int) -> None:
    """Let a version be sent, inside a transaction of the tenant; nothing happens to one that is approved.

    Approved versions before it are archived: audiences that were frozen with them still get them, and no others.

    Raises:
        QueryError: as `prepared`.
        ConfigurationError: as `require_sender`.
    """
    draft = load(connection, tenant.tenant_id, template, version)
    if draft.state == "approved":
        return
    require_sender(tenant, draft)
    ready = prepared(draft)
    connection.execute(
        statement("campaigns", "approve_template"),
        {
            "tenant": tenant.tenant_id,
            "template": template,
            "version": version,
            "text": ready.sent_text,
            "html": ready.sent_html,
        },
    )
    connection.execute(
        "UPDATE campaigns.message_template SET state = 'archived'"
        " WHERE tenant_id = %s AND template = %s AND version < %s AND state = 'approved'",
        [tenant.tenant_id, template, version],
    )


def prepared(draft: Template) -> Template:
    """A draft with what is sent of it.

    Raises:
        QueryError: it is archived or not fit to be sent; says what to change.
    """
    name = f"Template {draft.template}"
    if draft.state == "archived":
        raise QueryError(f"{name}, version {draft.version}, is archived. Write a new version.")
    return _about(name, lambda: _prepared(draft))


def _prepared(draft: Template) -> Template:
    written = replace(draft, sent_text=draft.body_text, sent_html=draft.body_html)
    _require_parts(written)
    # Errors of Jinja name the lines that were written, and not those of the HTML that is made of them.
    _ = written.parts
    if (html := draft.body_html) is not None:
        styled = _about("html", lambda: template_html.styled(html))
        text = draft.body_text
        if text is None:
            text = _about("html", lambda: template_html.text_of(html))
        written = replace(written, sent_html=styled, sent_text=text)
    for part_name, part in written.parts.items():
        _require_renders(part_name, part, is_mail=draft.channel_kind == "email")
    return written


def require_sender(tenant: Tenant, template: Template) -> None:
    """Check that the foot of an e-mail can say where its sender is.

    Raises:
        ConfigurationError: the tenant has no postal address.
    """
    if template.channel_kind == "email" and not CampaignSettings.of(tenant).postal_address.strip():
        raise ConfigurationError(
            f"Tenant {tenant.tenant_id} has no postal address, which stands in the foot of each e-mail."
            f" `cdp tenant add {tenant.tenant_id} --postal-address ADDRESS` sets it."
        )


def latest(connection: psycopg.Connection, tenant_id: str, template: str, *, approved: bool = False) -> Template | None:
    """The latest version of a template, or the latest approved one, inside a transaction of the tenant."""
    with connection.cursor(row_factory=class_row(Template)) as cursor:
        return cursor.execute(
            statement("campaigns", "latest_template"),
            {"tenant": tenant_id, "template": template, "states": ["approved"] if approved else None},
        ).fetchone()


def load(connection: psycopg.Connection, tenant_id: str, template: str, version: int) -> Template:
    """One version of a template, inside a transaction of the tenant.

    Raises:
        QueryError: there is none.
    """
    with connection.cursor(row_factory=class_row(Template)) as cursor:
        found = cursor.execute(
            statement("campaigns", "template_version"), {"tenant": tenant_id, "template": template, "version": version}
        ).fetchone()
    if found is None:
        raise QueryError(
            f"There is no version {version} of template {template!r}. `cdp campaign apply` writes templates."
        )
    return found


def _require_parts(template: Template) -> None:
    if template.channel_kind == "webhook":
        if template.subject or template.body_html:
            raise QueryError("a message of this kind of channel has a text only; take out subject and html")
        if not (template.body_text or "").strip():
            raise QueryError("there is no text; write one")
    elif not (template.subject or "").strip():
        raise QueryError("there is no subject; write one")
    elif len((template.subject or "").strip().splitlines()) > 1:
        raise QueryError("the subject has a line break; write it in one line")
    elif not any((body or "").strip() for body in (template.body_text, template.body_html)):
        raise QueryError("there is neither a text nor an HTML; write one of them")


def _require_renders(name: str, part: Rendering, *, is_mail: bool) -> None:
    has_foot = is_mail and name != "subject"
    if has_foot:
        _require_foot(name, part)
    try:
        shown = "".join(part.pieces(SAMPLE))
    except NoMessageError as error:
        raise QueryError(f"{name}: it cannot be rendered: {error}; correct it") from None
    if has_foot:
        _require_seen(name, template_html.text_of(shown) if name == "html" else shown)


def _require_foot(name: str, part: Rendering) -> None:
    for variable, words in ((POSTAL_ADDRESS, "the sender's postal address"), (OPT_OUT, "the link to opt out")):
        if variable not in part.always:
            raise QueryError(
                f"{name}: {words} is not in every message; add {{{{ {variable} }}}} to the foot, outside of conditions"
            )


def _require_seen(name: str, shown: str) -> None:
    for variable in (POSTAL_ADDRESS, OPT_OUT):
        if SAMPLE[variable] not in shown:
            raise QueryError(
                f"{name}: {{{{ {variable} }}}} cannot be seen; show the address as text and the link as a link"
            )


def _rendering(name: str, source: str) -> Rendering:
    return _about(name, lambda: rendering(source, KNOWN, html=name == "html"))


def _about(subject: str, work: Callable[[], T]) -> T:
    """Errors of the work say what they are about."""
    try:
        return work()
    except QueryError as error:
        raise QueryError(f"{subject}: {str(error).rstrip('.')}.") from error
