"""A warehouse with data to lose, a server of its own to restore into, and Dagster's database."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import cdp_platform
from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import PASSWORD, Server, Warehouse, postgres_settings, running_server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def fresh_server() -> Iterator[Server]:
    """Another server than the one that was backed up."""
    with running_server() as running:
        yield running


@pytest.fixture
def new_warehouse(fresh_server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Warehouse]:
    """Makes an empty database on the other server, which the environment names from then on."""

    def made() -> Warehouse:
        found = Warehouse(postgres_settings(fresh_server, fresh_server.new_database("test_owner")), fresh_server)
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        settings.forget()
        return found

    return made


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Warehouse) -> Path:
    """The journal of erasures, with nobody in it."""
    path = tmp_path / "erasures.jsonl"
    path.touch()
    monkeypatch.setenv("ERASURE_JOURNAL", str(path))
    settings.forget()
    return path


@pytest.fixture
def acme(app: psycopg.Connection) -> Sender:
    """Tenant acme with 20 people, and a tenant beta with three."""
    for tenant_id, people in (("beta", 3), ("acme", 20)):
        tenants.add(app, tenant_id, arango_database="")
        sender = Sender(app, tenants.get(app, tenant_id))
        sender.people(people)
    return sender


@pytest.fixture
def dagster_home(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Server], str]:
    """Makes an empty database for Dagster on a server, which the environment names from then on."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copyfile(Path(cdp_platform.__file__).parents[1] / "dagster.yaml", home / "dagster.yaml")

    def made(where: Server = server) -> str:
        database = where.new_database("test_owner")
        environment = {
            "DAGSTER_HOME": str(home),
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(where.port),
            "DAGSTER_PG_DB": database,
            "DAGSTER_PG_USERNAME": "test_owner",
            "DAGSTER_PG_PASSWORD": PASSWORD,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return database

    return made
