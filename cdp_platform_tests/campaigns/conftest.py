from collections.abc import Callable, Iterator
from datetime import time

import psycopg
import pytest

from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender


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
