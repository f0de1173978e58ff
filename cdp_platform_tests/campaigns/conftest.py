from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import time
from functools import partial
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns import dispatch
from cdp_platform.campaigns.dispatch import Compose, DispatchResult
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender, compose
from cdp_platform_tests.conftest import Warehouse


@pytest.fixture
def new_sender(app: psycopg.Connection) -> Callable[[str], Sender]:
    """Makes a tenant without quiet hours, whose people may have messages at any time of the day."""

    def made(tenant_id: str) -> Sender:
        no_quiet_hours = CampaignSettings(quiet_from=time(0), quiet_until=time(0))
        tenants.add(app, tenant_id, arango_database="", settings=[no_quiet_hours])
        return Sender(app, tenants.get(app, tenant_id))

    return made


@pytest.fixture
def sender(new_sender: Callable[[str], Sender]) -> Sender:
    return new_sender("acme")


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    made.up()
    yield made
    made.down()


@pytest.fixture
def new_connection(warehouse: Warehouse) -> Iterator[Callable[[], psycopg.Connection]]:
    """Opens another connection of the platform's role, for a thread of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(connect(warehouse.settings))


@pytest.fixture
def send(sender: Sender, provider: Provider, warehouse: Warehouse) -> Callable[..., DispatchResult]:
    """Dispatches an event through the provider's channel, whose attributes can be given."""

    def go(
        event_id: str = "spring",
        *,
        connection: psycopg.Connection = sender.connection,
        tenant: Tenant = sender.tenant,
        compose: Compose = compose,
        seconds: float = 60,
        **channel: Any,
    ) -> DispatchResult:
        connects = partial(connect, warehouse.settings)
        through = provider.channel(**channel)
        return dispatch.dispatch(connection, connects, tenant, event_id, through, compose=compose, seconds=seconds)

    return go


@pytest.fixture
def begun(sender: Sender) -> Callable[..., list[str]]:
    """Lets an event run that is for so many new people; their ids."""

    def go(number: int = 3, event_id: str = "spring", **columns: Any) -> list[str]:
        ids = sender.people(number)
        sender.event(event_id, **columns)
        sender.reserve(ids, event_id)
        with tenant_transaction(sender.connection, sender.tenant_id):
            assert dispatch.begin(sender.connection, sender.tenant_id, event_id) == "running"
        return ids

    return go
