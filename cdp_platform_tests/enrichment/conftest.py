from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform_tests.apollo_stub import ApolloStub
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.room import Room


@pytest.fixture
def new_room(app: psycopg.Connection, warehouse: Warehouse, apollo: ApolloStub) -> Callable[..., Room]:
    """Makes a tenant that buys; options are settings of its runs."""

    def made(tenant_id: str, **options: Any) -> Room:
        tenants.add(app, tenant_id, arango_database="")
        return Room(app, warehouse.settings, apollo, tenant_id, options)

    return made


@pytest.fixture
def room(new_room: Callable[..., Room]) -> Room:
    return new_room("acme")


@pytest.fixture
def key(apollo: ApolloStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has the account at the stand-in."""
    for name, value in apollo.environment().items():
        monkeypatch.setenv(name, value)
    settings.forget()
