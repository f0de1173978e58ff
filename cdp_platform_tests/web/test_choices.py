"""Preferences and confirmations: a link speaks for the address that it came to, and asks first at any other."""

import pytest

from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.web.conftest import Web
from cdp_platform_tests.web.test_recipients import messages, state

PHONE = "+84901234567"


def choose(web: Web, message: tuple, **wanted: str) -> None:
    path = web.path(web.links.preferences(*message))
    answer = web.client.post(path, data={f"channel.{channel}": value for channel, value in wanted.items()})
    assert answer.status_code == 200


def said(sender: Sender) -> set[tuple[str, str]]:
    """Channel and state of each consent of the person."""
    return {(channel, state) for _, channel, state in state(sender)[0]}


def test_what_is_left_as_it_is_does_not_change(sender: Sender, web: Web):
    (message,) = messages(sender, primary_phone=PHONE)
    before = state(sender)
    choose(web, message, email="", sms="", zalo="maybe", fax="no")
    web.client.post(web.path(web.links.preferences(*message)), content=b"\xff\0%zz&&=&channel.email")
    assert state(sender) == before


def test_each_channel_can_be_stopped_by_itself(sender: Sender, web: Web):
    (message,) = messages(sender, primary_phone=PHONE)
    sender.consent(["p0000"], channel="sms")
    choose(web, message, sms="no")
    assert said(sender) == {("email", "given"), ("sms", "withdrawn")}
    assert state(sender)[1] == [("sms", "opt_out")]
    choose(web, message, email="no")
    assert said(sender) == {("email", "withdrawn"), ("sms", "withdrawn")}
    assert state(sender)[1] == [("email", "opt_out"), ("sms", "opt_out")]
    assert [(entry.channel, entry.reason) for entry in web.journal.read()[0]] == [
        ("sms", "opt_out"),
        ("email", "opt_out"),
    ]


def test_a_channel_that_the_person_has_no_address_for_can_be_stopped(sender: Sender, web: Web):
    (message,) = messages(sender)
    choose(web, message, sms="no")
    assert said(sender) == {("email", "given"), ("sms", "withdrawn")}
    assert state(sender)[1] == []


def test_who_opted_out_can_come_back_by_the_same_link(sender: Sender, web: Web):
    (message,) = messages(sender)
    choose(web, message, email="no")
    choose(web, message, email="yes")
    assert said(sender) == {("email", "given")}
    assert state(sender)[1] == []
    assert sender.rows("SELECT source, evidence, legal_basis FROM campaigns.consent_management") == [
        ("preferences", message[2], "consent")
    ]


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "manual"])
def test_no_link_lifts_what_is_no_opt_out(sender: Sender, web: Web, reason: str):
    (message,) = messages(sender)
    sender.rows(
        "INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason) VALUES (%s, 'email', %s, %s)",
        [sender.tenant_id, message[3], reason],
    )
    choose(web, message, email="yes")
    assert state(sender)[1] == [("email", reason)]


def test_at_another_address_messages_are_only_asked_for(sender: Sender, web: Web):
    (message,) = messages(sender, primary_phone=PHONE)
    choose(web, message, sms="yes")
    assert said(sender) == {("email", "given"), ("sms", "requested")}


def test_consent_that_is_there_is_not_asked_for_again(sender: Sender, web: Web):
    (message,) = messages(sender, primary_phone=PHONE)
    sender.consent(["p0000"], channel="sms")
    choose(web, message, sms="yes")
    assert said(sender) == {("email", "given"), ("sms", "given")}


def test_who_does_not_have_the_address_any_more_is_not_signed_up_by_its_link(sender: Sender, web: Web):
    (message,) = messages(sender, consent="withdrawn")
    sender.rows("UPDATE customers.cdp_profiles SET primary_email = 'new@example.org'")
    choose(web, message, email="yes")
    assert said(sender) == {("email", "withdrawn")}
    choose(web, message, email="no")
    assert said(sender) == {("email", "withdrawn")}


def test_a_confirmation_gives_the_consent_that_was_requested(sender: Sender, web: Web):
    (message,) = messages(sender, consent="requested")
    path = web.path(web.links.confirm(*message))
    for _ in range(2):
        assert web.client.post(path, data={"confirm": "yes"}).status_code == 200
        assert said(sender) == {("email", "given")}
    assert sender.rows("SELECT source, evidence FROM campaigns.consent_management") == [("confirmation", message[2])]
    assert sender.rows("SELECT before, after FROM campaigns.consent_change ORDER BY change_id") == [
        (None, "requested"),
        ("requested", "given"),
    ]


@pytest.mark.parametrize("consent", ["withdrawn", "refused", "unknown"])
def test_a_confirmation_changes_no_consent_that_was_not_requested(sender: Sender, web: Web, consent: str):
    (message,) = messages(sender, consent=consent)
    web.client.post(web.path(web.links.confirm(*message)))
    assert said(sender) == {("email", consent)}


def test_a_link_to_opt_out_confirms_nothing(sender: Sender, web: Web):
    (message,) = messages(sender, consent="requested")
    token = web.links.opt_out(*message).rpartition("/")[2]
    assert web.client.post(f"/c/{token}").status_code == 200
    assert said(sender) == {("email", "requested")}
