"""Fixtures of the room: a warehouse with a model, and a tenant."""

import psycopg
import pytest

from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.embeddings.texts import Desk, Tenant


@pytest.fixture
def job() -> str:
    return "embeddings_update"


@pytest.fixture
def desk(warehouse: Warehouse, app: psycopg.Connection) -> Desk:
    """A warehouse with one model."""
    return Desk(warehouse, app)


@pytest.fixture
def acme(desk: Desk) -> Tenant:
    """A tenant without texts so far."""
    return desk.tenant("acme")
