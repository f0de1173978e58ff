"""An event by e-mail from its template to the sandbox's outbox: dispatch, composing and the relay together."""

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial

from cdp_platform.campaigns import dispatch, events, templates
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.compose import Composer
from cdp_platform.campaigns.links import Links
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.ops.tokens import Tokens
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.sandbox_process import SandboxProcess

LINKS = Links("https://messages.example.com", Tokens(["k" * 32]))
HTML = '<p>Dear {{ first_name }},</p><p>{{ postal_address }} <a href="{{ opt_out_url }}">Stop</a></p>'


def outbox(sandbox: SandboxProcess) -> dict[str, EmailMessage]:
    """The message of each address; nobody has two."""
    with sandbox.http() as http:
        listed = http.get("/outbox/messages").raise_for_status().json()
        raw = {each["address"]: http.get(f"/outbox/messages/{each['number']}").content for each in listed}
    assert len(raw) == len(listed)
    found = {}
    for address, content in raw.items():
        found[address] = email.message_from_bytes(content, policy=email.policy.default)
    return found


def test_each_person_gets_one_message_with_their_own_name_and_their_own_link(
    begun: Callable[..., list[str]], sender: Sender, warehouse: Warehouse, sandbox: SandboxProcess
) -> None:
    with sandbox.http() as http:
        http.delete("/outbox/messages").raise_for_status()
    tenants.add(sender.connection, "acme", settings=[CampaignSettings(postal_address="1 Main Street")])
    tenant = tenants.get(sender.connection, "acme")
    channel = EmailChannel.model_validate(
        {
            "name": "email",
            "kind": "email",
            "address": f"127.0.0.1:{sandbox.smtp_port}",
            "ca_file": sandbox.certificate_file,
            "from": "news@shop.example",
        }
    )
    ids = begun(60)
    sender.rows("UPDATE customers.cdp_profiles SET first_name = 'Nguyễn ' || profile_id WHERE profile_id <> 'p0007'")
    # One person has no name for the template, and one no mailbox any more.
    sandbox.spoil(
        {
            "match": {"method": "RCPT", "path_regex": "p0009@"},
            "action": "status",
            "status": 550,
            "body": "5.1.1 p0009@example.org is unknown",
        }
    )
    with tenant_transaction(sender.connection, "acme"):
        version = templates.save(
            sender.connection,
            "acme",
            "hello",
            channel_kind="email",
            subject="Hi {{ first_name }}",
            text=None,
            html=HTML,
        )
        templates.approve(sender.connection, tenant, "hello", version)
        template = templates.load(sender.connection, "acme", "hello", version)
        event = events.get(sender.connection, "acme", "spring")
        (hashes,) = sender.connection.execute(
            "SELECT jsonb_object_agg(profile_id, encode(address_hash, 'hex')) FROM campaigns.delivery_log"
        ).fetchone() or ({},)
    compose = Composer(tenant, event, template, channel, LINKS)

    result = dispatch.dispatch(
        sender.connection, partial(connect, warehouse.settings), tenant, "spring", channel, compose=compose, seconds=60
    )

    assert (result.confirmed, result.unknown, result.why_ended) == (58, 0, "nothing_due")
    assert sender.states() == {"confirmed": 58, "failed bad_address": 1, "failed template": 1}
    assert sandbox.fired() == [1]
    suppressed = sender.rows("SELECT encode(address_hash, 'hex'), reason FROM campaigns.suppression")
    assert suppressed == [(hashes["p0009"], "hard_bounce")]
    mails = outbox(sandbox)
    assert sorted(mails) == [f"{each}@example.org" for each in ids if each not in {"p0007", "p0009"}]
    for address, mail in mails.items():
        profile_id = address.partition("@")[0]
        assert mail["Subject"] == f"Hi Nguyễn {profile_id}"
        linked = LINKS.read("choose", mail["List-Unsubscribe"].strip("<>").rpartition("/")[2])
        assert linked is not None
        assert (linked.tenant_id, linked.channel, linked.address_hash.hex()) == ("acme", "email", hashes[profile_id])
        assert mail["Message-ID"] == f"<{linked.key}@shop.example>"
