"""Choices that a recipient makes on the pages that links in messages lead to.

A link proves that its holder got a message at an address, and no more. So it opts that address out and in again; for
another address of the same person it can ask for messages, which a confirmation at that address has to follow.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import psycopg

from cdp_platform.campaigns import opt_outs, suppressions
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.consent import Change, State, set_states
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.links import Linked
from cdp_platform.campaigns.opt_outs import OptOut
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


def stop(connection: psycopg.Connection, linked: Linked, journal: Journal | None) -> None:
    """Send nothing more of this channel to the address of a link."""
    with tenant_transaction(connection, linked.tenant_id):
        out = OptOut(linked.address_hash, datetime.now(UTC), linked.key)
        opt_outs.opt_out(connection, linked.tenant_id, linked.channel, [out], journal, source="one-click")


def choose(
    connection: psycopg.Connection,
    linked: Linked,
    wanted: Mapping[str, bool],
    channels: Mapping[str, Channel],
    journal: Journal | None,
) -> None:
    """Take what the holder of a link wants to get.

    Args:
        connection: outside of a transaction.
        linked: the message that the link stands in.
        wanted: whether messages are wanted, by the name of the channel; the other channels stay as they are.
        channels: all channels.
        journal: keeps opt-outs outside the warehouse.
    """
    with tenant_transaction(connection, linked.tenant_id):
        for name in sorted(wanted.keys() & channels.keys()):
            if wanted[name]:
                _ask_for(connection, linked, channels[name], channels)
            else:
                _opt_out(connection, linked, channels[name], journal)


def confirm(connection: psycopg.Connection, linked: Linked) -> None:
    """Give the consent that was requested for the address of a link. One that was refused or withdrawn stays so."""
    with tenant_transaction(connection, linked.tenant_id):
        requested = connection.execute(
            "SELECT profile_id FROM campaigns.consent_management"
            " WHERE tenant_id = %s AND profile_id = ANY (%s) AND channel = %s AND state = 'requested'",
            [linked.tenant_id, _holders(connection, linked), linked.channel],
        )
        profile_ids = [profile_id for (profile_id,) in requested]
        _say(connection, linked, profile_ids, linked.channel, "given", source="confirmation")


def _ask_for(connection: psycopg.Connection, linked: Linked, channel: Channel, channels: Mapping[str, Channel]) -> None:
    holders = _holders(connection, linked)
    addresses = _addresses(connection, linked, channel, holders)
    suppressions.lift_opt_outs(connection, linked.tenant_id, channel.name, addresses)
    through = channels.get(linked.channel)
    if through is not None and through.to == channel.to:
        _say(connection, linked, holders, channel.name, "given")
        return
    given = connection.execute(
        "SELECT profile_id FROM campaigns.consent_management"
        " WHERE tenant_id = %s AND profile_id = ANY (%s) AND channel = %s AND state = 'given'",
        [linked.tenant_id, holders, channel.name],
    )
    settled = {profile_id for (profile_id,) in given}
    _say(connection, linked, [each for each in holders if each not in settled], channel.name, "requested")


def _opt_out(connection: psycopg.Connection, linked: Linked, channel: Channel, journal: Journal | None) -> None:
    behind = [each.profile_id for each in opt_outs.people_of(connection, linked.tenant_id, [linked.address_hash])]
    now = datetime.now(UTC)
    outs = [OptOut(address, now, linked.key) for address in _addresses(connection, linked, channel, behind)]
    opt_outs.opt_out(connection, linked.tenant_id, channel.name, outs, journal, source="preferences")
    # Also of those who have no address for this channel yet.
    _say(connection, linked, behind, channel.name, "withdrawn")


def _holders(connection: psycopg.Connection, linked: Linked) -> list[str]:
    """Profiles whose address is the one of the link now."""
    behind = opt_outs.people_of(connection, linked.tenant_id, [linked.address_hash])
    return [each.profile_id for each in behind if each.has_it]


def _addresses(connection: psycopg.Connection, linked: Linked, channel: Channel, profile_ids: list[str]) -> list[bytes]:
    """The address of the link where the message came through this channel, and those that the channel uses of these."""
    found = connection.execute(
        statement("campaigns", "addresses_of_people"),
        {"tenant": linked.tenant_id, "people": profile_ids, "kind": channel.to},
    )
    own = {linked.address_hash} if channel.name == linked.channel else set()
    return sorted(own | {address_hash for (address_hash,) in found})


def _say(
    connection: psycopg.Connection,
    linked: Linked,
    profile_ids: list[str],
    channel: str,
    state: State,
    *,
    source: str = "preferences",
) -> None:
    now = datetime.now(UTC)
    said = [Change(each, channel, state, source, now, "consent", linked.key) for each in profile_ids]
    set_states(connection, linked.tenant_id, said)
