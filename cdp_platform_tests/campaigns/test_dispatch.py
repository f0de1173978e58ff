"""What is due of an event goes out once, to those who may have it at that moment."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.campaigns import deliveries, dispatch
from cdp_platform.campaigns.dispatch import DispatchResult
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender, compose


@pytest.fixture
def send(sender: Sender, provider: Provider) -> Callable[..., DispatchResult]:
    """Dispatches an event of the tenant through the provider's channel."""

    def go(event_id: str = "spring", *, compose: Any = compose, **channel: Any) -> DispatchResult:
        return dispatch.dispatch(
            sender.connection,
            partial(connect, settings.postgres()),
            sender.tenant,
            event_id,
            provider.channel(**channel),
            compose=compose,
            seconds=60,
        )

    return go


@pytest.fixture
def begun(sender: Sender) -> Callable[..., list[str]]:
    """Lets an event run for so many people; their ids."""

    def go(number: int = 3, event_id: str = "spring", **columns: Any) -> list[str]:
        ids = sender.people(number)
        sender.event(event_id, **columns)
        sender.reserve(ids, event_id)
        with tenant_transaction(sender.connection, sender.tenant_id):
            assert dispatch.begin(sender.connection, sender.tenant_id, event_id) == "running"
        return ids

    return go


def test_everybody_gets_one_message_and_the_event_is_done(begun, send, sender: Sender, provider: Provider):
    ids = begun(120)
    result = send()
    assert (result.sent, result.confirmed, result.why_ended) == (120, 120, "nothing_due")
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert not provider.twice
    assert sender.states() == {"confirmed": 120}
    assert sender.status() == "done"
    with tenant_transaction(sender.connection, sender.tenant_id):
        assert deliveries.totals(sender.connection, sender.tenant_id, "spring").adds_up
    assert send().sent == 0
