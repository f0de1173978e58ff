"""E-mail handed in at the sandbox's relay, over real connections."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cdp_platform.campaigns.channels import smtp
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform_tests.sandbox_process import SandboxProcess

CONTENT = b"Message-ID: <%b@shop.example>\r\nSubject: Hi\r\n\r\nHello\r\n.a dot\r\n..\r\n.\r\n"


@pytest.fixture
def relay(sandbox: SandboxProcess) -> Callable[..., EmailChannel]:
    """Makes channels of the sandbox's relay, whose outbox is empty."""

    def made(**options: Any) -> EmailChannel:
        fields = {
            "name": "email",
            "kind": "email",
            "address": f"127.0.0.1:{sandbox.smtp_port}",
            "ca_file": sandbox.certificate_file,
            "user": "sandbox",
            "password": "sandbox",
            "from": "Shop <news@shop.example>",
            "return_path": "bounces@shop.example",
            "timeout_seconds": 5,
        }
        return EmailChannel.model_validate({**fields, **options})

    with sandbox.http() as http:
        http.delete("/outbox/messages").raise_for_status()
    return made


def message(key: str, address: str | None = None) -> Outgoing:
    return Outgoing(key, address or f"{key}@example.com", CONTENT % key.encode())


def sent(channel: EmailChannel, *keys: str) -> list[Answer]:
    with channel.open() as sender:
        return list(sender.send([message(key) for key in keys]))


def taken(sandbox: SandboxProcess) -> list[str]:
    """Keys of the messages that the relay accepted, each as often as it did."""
    with sandbox.http() as http:
        listed = http.get("/outbox/messages").raise_for_status().json()
    return sorted(each["key"] for each in listed if each["accepted"])


def spoil(sandbox: SandboxProcess, method: str, action: str, path: str = "", **options: Any) -> None:
    after = options.pop("after", 0)
    sandbox.spoil({"match": {"method": method, "path_regex": path, "after": after}, "action": action, **options})


@contextmanager
def plain_relay() -> Generator[tuple[int, list[str]]]:
    """A relay that offers nothing: its port, and the verbs that it was given."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 plain\r\n")
                for line in lines:
                    said.append(line.decode().split()[0])
                    connection.sendall(b"250 plain\r\n")

        serving = threading.Thread(target=serve)
        serving.start()
        yield server.getsockname()[1], said
        serving.join(10)


KEYS = [f"k{number}" for number in range(12)]


def test_a_batch_is_handed_in_over_several_connections_that_are_used_again(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    # Without a fault, this rule counts greetings.
    spoil(sandbox, "CONNECT", "delay", seconds=0, times=None)
    with relay(connections=3).open() as sender:
        answers = [*sender.send([message(key) for key in KEYS]), *sender.send([message("later")])]
    assert {(answer.verdict, answer.code) for answer in answers} == {(Verdict.ACCEPTED, "250")}
    assert taken(sandbox) == sorted([*KEYS, "later"])
    assert sandbox.fired()[0] <= 3


def test_a_message_arrives_byte_by_byte_also_where_its_lines_begin_with_a_dot(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    assert sent(relay(), "k")[0].verdict is Verdict.ACCEPTED
    with sandbox.http() as http:
        (kept,) = http.get("/outbox/messages").json()
        raw = http.get(f"/outbox/messages/{kept['number']}").raise_for_status().content
    assert raw.replace(b"\r\n", b"\n").rstrip() == (CONTENT % b"k").replace(b"\r\n", b"\n").rstrip()


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_a_connection_that_is_cut_before_the_message_took_nothing(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel], command: str
) -> None:
    spoil(sandbox, command, "drop_before", times=None)
    (answer,) = sent(relay(), "k")
    assert answer.verdict is Verdict.NOT_TAKEN
    assert sandbox.fired()[0] > 0
    assert taken(sandbox) == []


def test_a_connection_that_is_cut_after_the_final_dot_leaves_it_unknown(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "MESSAGE", "drop_after", "k1@")
    answers = sent(relay(connections=1), "k0", "k1", "k2")
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.ACCEPTED]
    # It was accepted all the same, and once.
    assert taken(sandbox) == ["k0", "k1", "k2"]
    assert sandbox.fired() == [1]


def test_half_a_reply_to_a_message_leaves_it_unknown(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "MESSAGE", "truncate")
    assert [answer.verdict for answer in sent(relay(), "k")] == [Verdict.UNKNOWN]
    assert sandbox.fired() == [1]


def test_an_idle_connection_that_the_relay_closed_costs_nobody_a_failure(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    with relay(connections=1).open() as sender:
        assert sender.send([message("k0")])[0].verdict is Verdict.ACCEPTED
        spoil(sandbox, "MAIL", "status", status=421, body="4.4.2 idle too long")
        assert sender.send([message("k1")])[0].verdict is Verdict.ACCEPTED
        spoil(sandbox, "MAIL", "drop_before")
        assert sender.send([message("k2")])[0].verdict is Verdict.ACCEPTED
    assert sandbox.fired() == [1, 1]
    assert taken(sandbox) == ["k0", "k1", "k2"]


def test_a_relay_that_closes_after_a_refusal_has_refused_nevertheless(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "RCPT", "status", status=550, body="5.1.1 no such user")
    spoil(sandbox, "RSET", "drop_before")
    answers = sent(relay(connections=1), "k0", "k1")
    assert [(answer.verdict, answer.code) for answer in answers] == [
        (Verdict.BAD_ADDRESS, "550 5.1.1"),
        (Verdict.ACCEPTED, "250"),
    ]
    assert sandbox.fired() == [1, 1]


@pytest.mark.parametrize("command", ["RCPT", "DATA", "MESSAGE"])
def test_a_person_who_is_refused_is_refused_alone(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel], command: str
) -> None:
    spoil(sandbox, command, "status", "k1@", status=550, body="5.2.1 mailbox disabled", times=None)
    answers = sent(relay(connections=2), "k0", "k1", "k2", "k3")
    assert [answer.verdict for answer in answers].count(Verdict.ACCEPTED) == 3
    assert answers[1].verdict is Verdict.BAD_ADDRESS
    assert taken(sandbox) == ["k0", "k2", "k3"]


@pytest.mark.parametrize(
    ("command", "reply", "verdict"),
    [
        ("CONNECT", "421 4.3.2 shutting down", Verdict.REST),
        ("MAIL", "452 4.3.1 disk full", Verdict.REST),
        ("RCPT", "429 4.7.0 too many", Verdict.REST),
        ("CONNECT", "554 5.7.1 blocked", Verdict.OURS),
        ("EHLO", "550 5.7.1 blocked", Verdict.OURS),
        ("STARTTLS", "454 4.7.0 not now", Verdict.REST),
        ("AUTH", "535 5.7.8 wrong", Verdict.OURS),
    ],
)
def test_a_relay_that_takes_nothing_is_not_asked_for_each_message(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel], command: str, reply: str, verdict: Verdict
) -> None:
    status, _, body = reply.partition(" ")
    spoil(sandbox, command, "status", status=int(status), body=body, times=None)
    answers = sent(relay(connections=2), *KEYS)
    assert {answer.verdict for answer in answers} == {verdict}
    # Once for each connection; 554 to EHLO is asked again as HELO.
    assert 0 < sandbox.fired()[0] <= 4
    assert taken(sandbox) == []


def test_a_batch_that_is_all_452_is_answered_for_each_person(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "RCPT", "status", status=452, body="4.2.2 full", times=None)
    assert [answer.verdict for answer in sent(relay(), *KEYS)] == [Verdict.LATER] * len(KEYS)
    assert sandbox.fired() == [len(KEYS)]


def test_a_relay_that_says_nothing_holds_up_no_more_than_its_connections(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "MESSAGE", "delay", seconds=3, times=None)
    answers = sent(relay(connections=2, timeout_seconds=0.3), *KEYS)
    assert sandbox.fired()[0] == 2
    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [Verdict.UNKNOWN] * 2 + [Verdict.NOT_TAKEN] * (len(KEYS) - 2)


def test_a_relay_that_is_down_takes_nothing_and_a_restarted_one_takes_all(
    new_sandbox: Callable[[], SandboxProcess], relay: Callable[..., EmailChannel]
) -> None:
    own = new_sandbox()
    channel = relay(address=f"127.0.0.1:{own.smtp_port}", ca_file=own.certificate_file)
    with channel.open() as sender:
        assert sender.send([message("k0")])[0].verdict is Verdict.ACCEPTED
        own.end()
        answers = sender.send([message(key) for key in KEYS])
        assert {answer.verdict for answer in answers} == {Verdict.NOT_TAKEN}
        assert "connection refused" in answers[0].reason
    own.start()
    again = relay(address=f"127.0.0.1:{own.smtp_port}", ca_file=own.certificate_file)
    assert {answer.verdict for answer in sent(again, *KEYS)} == {Verdict.ACCEPTED}


def test_nothing_is_said_to_a_relay_whose_certificate_is_not_trusted(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    spoil(sandbox, "AUTH", "delay", seconds=0, times=None)
    (answer,) = sent(relay(ca_file=None), "k")
    assert (answer.verdict, "certificate" in answer.reason) == (Verdict.OURS, True)
    assert sandbox.fired() == [0]


def test_a_relay_without_starttls_gets_no_message(relay: Callable[..., EmailChannel]) -> None:
    with plain_relay() as (port, said):
        (answer,) = sent(relay(address=f"127.0.0.1:{port}"), "k")
    assert answer.verdict is Verdict.OURS
    assert "does not offer STARTTLS" in answer.reason
    assert [verb.upper() for verb in said] == ["EHLO"]


def test_a_connection_is_closed_before_the_relay_has_enough_of_it(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "_MESSAGES_PER_CONNECTION", 5)
    spoil(sandbox, "QUIT", "delay", seconds=0, times=None)
    assert {answer.verdict for answer in sent(relay(connections=1), *KEYS)} == {Verdict.ACCEPTED}
    assert sandbox.fired() == [3]


# --- addresses ---


@pytest.mark.parametrize(
    "address",
    [
        *("", "an", "an@", "@example.com", "an@example.com\r\nRCPT TO:<binh@example.com>", "an@example.com\n"),
        *("an@example.com> NOTIFY=NEVER", "<an@example.com>", "an@example.com,binh@example.com", "a n@example.com"),
        *("an@example.com\0", "an@exa mple.com", f"{'a' * 400}@example.com"),
    ],
)
def test_an_address_that_is_none_is_never_said_to_the_relay(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel], address: str
) -> None:
    spoil(sandbox, "RCPT", "delay", seconds=0, times=None)
    with relay().open() as sender:
        (answer,) = sender.send([Outgoing("k", address, CONTENT % b"k")])
    assert answer.verdict is Verdict.BAD_ADDRESS
    assert sandbox.fired() == [0]


@pytest.mark.parametrize(
    ("address", "envelope"),
    [
        ("an@example.com", "an@example.com"),
        ("an+tag@mail.example.com", "an+tag@mail.example.com"),
        ("an@bücher.example", "an@xn--bcher-kva.example"),
        ("nguyễn@example.com", "nguyễn@example.com"),
        ("nguyễn@bücher.example", "nguyễn@xn--bcher-kva.example"),
    ],
)
def test_a_domain_goes_over_the_wire_in_ascii(address: str, envelope: str) -> None:
    assert smtp.envelope_address(address) == envelope


def test_an_address_that_the_relay_has_no_extension_for_is_refused_alone(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    with relay(connections=1).open() as sender:
        answers = sender.send([message("k0", "nguyễn@example.com"), message("k1", "an@bücher.example")])
    assert [answer.verdict for answer in answers] == [Verdict.FAILED, Verdict.ACCEPTED]
    assert "needs SMTPUTF8" in answers[0].reason
    assert taken(sandbox) == ["k1"]


# --- a look ---


def test_a_look_says_how_the_relay_was_reached(sandbox: SandboxProcess, relay: Callable[..., EmailChannel]) -> None:
    assert relay().look() == f"127.0.0.1:{sandbox.smtp_port}, TLSv1.3, signed in as sandbox"


def test_a_look_tells_a_wrong_entry_from_a_relay_that_is_away(
    sandbox: SandboxProcess, relay: Callable[..., EmailChannel]
) -> None:
    with pytest.raises(ConfigurationError, match=r"does not take mail from us: .*channels\.yaml"):
        relay(password="wrong").look()
    with pytest.raises(ConfigurationError, match="certificate"):
        relay(ca_file=None).look()
    spoil(sandbox, "CONNECT", "status", status=421, body="4.3.2 later")
    with pytest.raises(UnavailableError, match="takes no mail now"):
        relay().look()
    with pytest.raises(UnavailableError, match="connection refused"):
        relay(address="127.0.0.1:1").look()
