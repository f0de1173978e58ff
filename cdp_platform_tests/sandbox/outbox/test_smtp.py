"""The SMTP server of the outbox, spoken to by Python's own client."""

import smtplib
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdp_platform_tests.sandbox.outbox.conftest import Sender, mail
from cdp_platform_tests.sandbox_process import SandboxProcess

FIRST, SECOND = "an@example.com", "binh@example.com"


def rule(method: str, action: str, path: str = "", **options: object) -> dict[str, object]:
    return {"match": {"method": method, "path_regex": path}, "action": action, **options}


def test_a_message_that_is_accepted_is_in_the_outbox_under_its_key(sender: Sender):
    sender.mail(FIRST, key="e7a1", subject="=?utf-8?q?Ch=C3=A0o?=")
    (message,) = sender.messages()
    assert (message["channel"], message["key"], message["address"]) == ("email", "e7a1", FIRST)
    assert (message["subject"], message["accepted"], message["delivered"]) == ("Chào", True, 1)


def test_every_recipient_of_a_message_gets_it(sender: Sender):
    with sender.smtp() as client:
        client.sendmail("shop@example.net", [FIRST, SECOND], mail(FIRST))
    assert [message["address"] for message in sender.messages()] == [FIRST, SECOND]


def test_the_same_key_to_the_same_address_is_delivered_twice_and_says_so(sender: Sender):
    for address in (FIRST, FIRST, SECOND):
        sender.mail(address)
    assert [message["delivered"] for message in sender.messages()] == [2, 2, 1]


def test_nothing_is_taken_without_tls(sender: Sender):
    with sender.smtp(tls=False) as client, pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
        client.sendmail("shop@example.net", [FIRST], mail(FIRST))
    assert sender.messages() == []


def test_a_client_that_does_not_know_the_certificate_refuses_it(sender: Sender):
    with sender.smtp(tls=False) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())


def test_the_certificate_holds_for_strict_clients(sender: Sender):
    context = ssl.create_default_context(cafile=sender.sandbox.certificate_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with sender.smtp(tls=False) as client:
        assert client.starttls(context=context)[0] == 220


def test_a_wrong_password_is_refused_and_the_right_one_is_not(sender: Sender):
    with sender.smtp() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            client.login("sandbox", "wrong")
        assert refusal.value.smtp_code == 535
        assert client.login("sandbox", "sandbox")[0] == 235


def test_a_line_that_is_too_long_is_refused(sender: Sender):
    sender.mail(text="x" * 998)
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        sender.mail(text="x" * 1000)
    assert refusal.value.smtp_code == 500
    assert len(sender.messages()) == 1


def test_a_recipient_is_refused_with_any_code_while_others_get_theirs(sender: Sender):
    sender.sandbox.spoil(rule("RCPT", "status", "^smtp:an@", status=452, body="4.2.2 Mailbox full", times=None))
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        sender.mail(FIRST)
    assert refusal.value.recipients == {FIRST: (452, b"4.2.2 Mailbox full")}
    sender.mail(SECOND)
    assert [message["address"] for message in sender.messages()] == [SECOND]
    assert sender.sandbox.fired() == [1]


def test_a_message_that_is_refused_after_its_last_dot_is_shown_as_refused(sender: Sender):
    sender.sandbox.spoil(rule("MESSAGE", "status", status=554, body="5.7.1 Refused by policy"))
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        sender.mail()
    assert (refusal.value.smtp_code, refusal.value.smtp_error) == (554, b"5.7.1 Refused by policy")
    assert [message["accepted"] for message in sender.messages()] == [False]


def test_a_connection_is_closed_after_421(sender: Sender):
    sender.sandbox.spoil(rule("MAIL", "status", status=421, body="4.7.0 Too many messages"))
    with sender.smtp() as client:
        assert client.mail("shop@example.net")[0] == 421
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "MESSAGE"])
def test_a_connection_dropped_before_a_command_leaves_nothing_behind(sender: Sender, verb: str):
    sender.sandbox.spoil(rule(verb, "drop_before"))
    # smtplib passes on what the socket says where it does not look at it itself.
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError, ssl.SSLError)):
        sender.mail()
    assert sender.sandbox.fired() == [1]
    assert sender.messages() == []


@pytest.mark.parametrize("action", ["drop_after", "truncate"])
def test_a_message_whose_answer_is_lost_is_in_the_outbox(sender: Sender, action: str):
    sender.sandbox.spoil(rule("MESSAGE", action))
    # smtplib takes the half of a reply for a whole one, with the code 25.
    with pytest.raises((smtplib.SMTPServerDisconnected, smtplib.SMTPDataError)):
        sender.mail()
    assert sender.sandbox.fired() == [1]
    assert [message["accepted"] for message in sender.messages()] == [True]


def test_a_server_that_is_down_lets_nobody_in_until_the_rule_goes(sender: Sender):
    sender.sandbox.spoil(rule("CONNECT", "drop_before", times=None))
    for _ in range(3):
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            sender.mail()
    assert sender.sandbox.fired() == [3]
    sender.sandbox.clear()
    sender.mail()
    assert len(sender.messages()) == 1


def test_a_slow_command_waits_and_others_do_not(sender: Sender):
    sender.sandbox.spoil(rule("RCPT", "delay", "^smtp:an@", seconds=0.5))
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(timed, sender, FIRST)
        quick = pool.submit(timed, sender, SECOND)
    assert slow.result() >= 0.5
    assert quick.result() < slow.result()
    assert len(sender.messages()) == 2


def timed(sender: Sender, address: str) -> float:
    began = time.monotonic()
    sender.mail(address)
    return time.monotonic() - began


def test_a_rule_can_choose_messages_by_what_is_in_them(sender: Sender):
    match = {"method": "MESSAGE", "contains": "secret word"}
    sender.sandbox.spoil({"match": match, "action": "status", "status": 550, "body": "5.7.1 No", "times": None})
    sender.mail(text="plain")
    with pytest.raises(smtplib.SMTPDataError):
        sender.mail(text="the secret word")
    assert [message["accepted"] for message in sender.messages()] == [True, False]


def test_messages_and_the_certificate_survive_a_kill(new_sandbox):
    sandbox: SandboxProcess = new_sandbox()
    sender = Sender(sandbox)
    sender.mail()
    certificate = sandbox.certificate_file.read_bytes()
    sandbox.end(9)
    sandbox.start()
    assert [message["key"] for message in sender.messages()] == ["key-1"]
    assert sandbox.certificate_file.read_bytes() == certificate
    sender.mail(SECOND)
