"""A dispatcher that is killed anywhere, and another one after it, reach everybody once."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.campaigns import deliveries, dispatch, settle
from cdp_platform.campaigns.channels.contract import Channel, Outgoing
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.dispatch import Compose, Handed
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender, compose
from cdp_platform_tests.mail_server import mail_server

_PEOPLE = 3


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two, so that a handful of people crosses several."""
    monkeypatch.setattr(dispatch, "BATCH", 2)


class _Place:
    """An event of the tenant for each kill, and the provider whose messages are counted."""

    def __init__(self, sender: Sender, provider: Provider) -> None:
        self.sender = sender
        self.provider = provider
        self.ids = sender.people(_PEOPLE)
        self.number = 0

    @property
    def event_id(self) -> str:
        return f"e{self.number}"

    def fresh(self) -> Channel:
        """Another event, and a provider without messages. One connection, so that calls have an order."""
        self.provider.taken.clear()
        self.number += 1
        self.sender.rows("UPDATE campaigns.delivery_log SET handed_over_at = handed_over_at - interval '2 days'")
        self.sender.event(self.event_id)
        self.sender.reserve(self.ids, self.event_id)
        with tenant_transaction(self.sender.connection, "acme"):
            dispatch.begin(self.sender.connection, "acme", self.event_id)
        return self.channel()

    def channel(self, **options: Any) -> Channel:
        return self.provider.channel(connections=1, **options)

    def send(self, channel: Channel, compose: Compose = compose) -> None:
        connects = partial(connect, settings.postgres())
        with connects() as connection:
            dispatch.dispatch(
                connection, connects, self.sender.tenant, self.event_id, channel, compose=compose, seconds=60
            )

    def recover(self, channel: Channel, compose: Compose = compose) -> None:
        """What happens when the lease has ended."""
        self.sender.rows(
            "UPDATE campaigns.delivery_log SET lease_until = now() - interval '1 second' WHERE claim IS NOT NULL"
        )
        settle.settle(self.sender.connection, "acme", lambda _: channel)
        self.send(channel, compose)

    def state(self) -> dict[str, int]:
        with tenant_transaction(self.sender.connection, "acme"):
            found = deliveries.totals(self.sender.connection, "acme", self.event_id)
        assert found.adds_up
        return dict(found.by_state)


@pytest.fixture
def place(sender: Sender, provider: Provider) -> _Place:
    return _Place(sender, provider)


def test_no_kill_sends_a_key_twice_or_forgets_anybody(place: _Place):
    calls, kills = 0, 0
    for point, channel in crashes.after_every_write(place.send, place.fresh):
        kills += 1
        calls += point.exchange.startswith("POST")
        assert sum(place.state().values()) == _PEOPLE
        place.recover(channel)
        assert place.state() == {"confirmed": _PEOPLE}, point
        assert place.provider.addresses == [f"{each}@example.org" for each in place.ids], point
        assert not place.provider.twice, point
        assert place.sender.status(place.event_id) == "done"
    # Among them between each call and the writing of its answer.
    assert calls == _PEOPLE
    assert kills > 3 * _PEOPLE


def test_where_no_key_is_honoured_no_more_than_one_batch_is_unknown_and_nothing_goes_twice(place: _Place):
    place.provider.honours_keys = False
    unknown = 0
    for point, _ in crashes.after_every_write(place.send, place.fresh):
        channel = place.channel(key_seconds=0)
        place.recover(channel)
        state = place.state()
        assert state.get("unknown", 0) <= dispatch.BATCH, point
        assert state.get("confirmed", 0) + state.get("unknown", 0) == _PEOPLE, point
        assert not place.provider.twice, point
        # Whoever did not get it is among those that are reported.
        assert len(set(place.provider.taken)) >= _PEOPLE - state.get("unknown", 0), point
        unknown += state.get("unknown", 0)
    assert unknown > 0


def _mails(batch: Sequence[Handed]) -> list[Outgoing | str]:
    return [Outgoing(each.key, each.address, f"Subject: {each.key}\r\n\r\nHello.\r\n".encode()) for each in batch]


def test_no_kill_sends_an_e_mail_twice_and_whose_end_is_not_known_is_reported(place: _Place):
    """SMTP honours no key, so what was under way stays unknown: one batch at most."""
    ends = 0
    with mail_server() as (port, taken):
        mail = {"name": "email", "kind": "email", "address": f"127.0.0.1:{port}", "tls": "none", "connections": 1}
        channel = EmailChannel.model_validate({**mail, "from": "Shop <news@shop.example>"})

        def fresh() -> Channel:
            taken.clear()
            place.fresh()
            return channel

        for point, _ in crashes.after_every_write(lambda through: place.send(through, _mails), fresh):
            ends += "SMTP" in point.exchange
            place.recover(channel, _mails)
            state = place.state()
            assert len(taken) == len(set(taken)), point
            assert state.get("unknown", 0) <= dispatch.BATCH, point
            assert state.get("confirmed", 0) + state.get("unknown", 0) == _PEOPLE, point
            assert state.get("confirmed", 0) <= len(taken), point
    assert ends == _PEOPLE
