"""Makes the messages of an event: a template, the values of each person, and the links of each message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cdp_platform.campaigns import template_language, templates
from cdp_platform.campaigns.channels.contract import Outgoing
from cdp_platform.campaigns.channels.entry import ChannelEntry, Letter, Occasion
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.campaigns.events import Event
from cdp_platform.campaigns.links import Links
from cdp_platform.campaigns.template_language import NoMessageError
from cdp_platform.campaigns.templates import Template
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.campaigns.variables import CONFIRM, OPT_OUT, POSTAL_ADDRESS, PREFERENCES, SAMPLE, SENDER, VARIABLES
from cdp_platform.errors import QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Preview:
    """One message as a person would get it.

    Attributes:
        problem: why none can be made for this person; '' if nothing is wrong.
    """

    subject: str = ""
    text: str = ""
    html: str = ""
    problem: str = ""


class Composer:
    """Makes the messages of one event through one channel; as `dispatch.Compose`."""

    def __init__(self, tenant: Tenant, event: Event, template: Template, channel: ChannelEntry, links: Links) -> None:
        """Check that these fit each other.

        Raises:
            QueryError: they do not; says what to change.
            ConfigurationError: the tenant has no postal address, which an e-mail needs.
        """
        templates.require_sender(tenant, template)
        asks = event.type == "confirmation"
        parts = template.parts
        used = frozenset().union(*(part.variables for part in parts.values()))
        if template.channel_kind != channel.kind:
            raise QueryError(
                f"Template {template.template} is for channels of kind {template.channel_kind}, and {channel.name} is"
                f" of kind {channel.kind}. Give event {event.event_id} another template or channel."
            )
        if asks != (CONFIRM in used):
            advice = "Add {{ confirm_url }}" if asks else "Take {{ confirm_url }} out, or plan a confirmation"
            raise QueryError(
                f"Template {template.template} does not fit event {event.event_id}, which is a {event.type}. {advice}."
            )
        self._template, self._parts, self._used = template, parts, used
        self._tenant, self._channel, self._links = tenant, channel, links
        self._same = {
            POSTAL_ADDRESS: CampaignSettings.of(tenant).postal_address,
            SENDER: tenant.name,
        }
        self._write = channel.writer(Occasion(tenant.tenant_id, event.campaign_code, event.event_id))

    def __call__(self, handed: Sequence[Handed]) -> list[Outgoing | str]:
        """A message for each, or why there is none."""
        return [self._outgoing(each) for each in handed]

    def preview(self, connection: psycopg.Connection, of: sql.Composable, people: int = 3) -> list[Preview]:
        """The messages of some people as they would get them, inside a transaction of the tenant.

        Args:
            connection: inside a transaction of the tenant.
            of: a query of one column, ``profile_id``, such as that of a segment; the first by this key are taken.
            people: at most so many.
        """
        selected = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(column), sql.Identifier(name)) for name, column in VARIABLES.items()
        )
        with connection.cursor(row_factory=dict_row) as cursor:
            query = statement("campaigns", "preview_people").format(variables=selected, people=of)
            rows = cursor.execute(query, {"tenant": self._tenant.tenant_id, "number": people}).fetchall()
        return [self._preview(_handed(row[self._channel.to] or "", row, b"")) for row in rows]

    def test_message(self, connection: psycopg.Connection, address: str) -> Outgoing:
        """The message with a made-up person's values for an address of a seed list.

        It is no delivery and counts in no figure. Its link to opt out works, for this address.

        Args:
            connection: inside a transaction of the tenant.
            address: where it goes.

        Raises:
            QueryError: the template makes no message.
        """
        row = connection.execute(
            "SELECT ops.address_hash(ops.salt_of(%s), %s)", [self._tenant.tenant_id, address]
        ).fetchone()
        made = self._outgoing(_handed(address, {**SAMPLE, self._channel.to: address}, row[0] if row else b""))
        if isinstance(made, str):
            raise QueryError(f"Template {self._template.template} makes no message: {made}.")
        return made

    def _outgoing(self, handed: Handed) -> Outgoing | str:
        try:
            letter = self._letter(handed)
        except NoMessageError as error:
            return str(error)
        return Outgoing(handed.key, handed.address, self._write(letter))

    def _preview(self, handed: Handed) -> Preview:
        try:
            letter = self._letter(handed)
        except NoMessageError as error:
            return Preview(problem=str(error))
        return Preview(letter.subject, "".join(letter.text), "".join(letter.html))

    def _letter(self, handed: Handed) -> Letter:
        """The message as it is rendered for one person.

        Raises:
            NoMessageError: it cannot be.
        """
        of_message = (self._tenant.tenant_id, self._channel.name, handed.key, handed.address_hash)
        opt_out = self._links.opt_out(*of_message)
        values = {name: template_language.value(given) for name, given in {**handed.variables, **self._same}.items()}
        values[OPT_OUT] = opt_out
        # Signing costs more than rendering.
        if PREFERENCES in self._used:
            values[PREFERENCES] = self._links.preferences(*of_message)
        if CONFIRM in self._used:
            values[CONFIRM] = self._links.confirm(*of_message)
        present = {name: given for name, given in values.items() if given is not None}
        pieces = {name: part.pieces(present) for name, part in self._parts.items()}
        return Letter(
            key=handed.key,
            address=handed.address,
            subject=" ".join("".join(pieces.get("subject", ())).split()),
            text=pieces.get("text", ()),
            html=pieces.get("html", ()),
            opt_out=opt_out,
        )


def _handed(address: str, values: Mapping[str, Any], address_hash: bytes) -> Handed:
    """A person who gets no delivery, with a key of their own."""
    return Handed("", uuid4().hex, address, address_hash, {name: values[name] for name in VARIABLES})
