"""The provider of these tests does what a test tells it to, and a channel hears of it."""

import pytest

from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform_tests.campaigns.provider import CUT_AFTER, CUT_BEFORE, Provider

_MESSAGES = [Outgoing(f"k{place}", f"{place}@example.org", b"") for place in range(3)]


def test_a_message_arrives_and_a_key_that_is_honoured_makes_no_second_one(provider: Provider):
    with provider.channel().open() as open_sender:
        for _ in range(2):
            assert {answer.verdict for answer in open_sender.send(_MESSAGES)} == {Verdict.ACCEPTED}
    assert provider.addresses == [message.address for message in _MESSAGES]
    provider.honours_keys = False
    with provider.channel().open() as open_sender:
        open_sender.send(_MESSAGES)
    assert provider.twice == {"k0", "k1", "k2"}


@pytest.mark.parametrize(("cut", "taken"), [(CUT_BEFORE, 0), (CUT_AFTER, 3)])
def test_a_cut_leaves_it_unknown_whether_a_message_was_taken(provider: Provider, cut: str, taken: int):
    provider.behave = lambda _key, _address: cut
    with provider.channel().open() as open_sender:
        assert {answer.verdict for answer in open_sender.send(_MESSAGES)} == {Verdict.UNKNOWN}
    assert provider.done[cut] == 3
    assert len(provider.taken) == taken
    channel = provider.channel(can_answer=True)
    assert channel.ask("k0") == (Answer(Verdict.ACCEPTED, "200") if taken else None)


def test_a_provider_that_is_down_takes_nothing_and_is_back_on_its_port(provider: Provider):
    provider.down()
    with provider.channel().open() as open_sender:
        assert {answer.verdict for answer in open_sender.send(_MESSAGES)} == {Verdict.NOT_TAKEN}
        provider.up()
        assert {answer.verdict for answer in open_sender.send(_MESSAGES)} == {Verdict.ACCEPTED}
