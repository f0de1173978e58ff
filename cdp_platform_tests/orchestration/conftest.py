"""A home of Dagster over PostgreSQL, as a deployed one is."""

import shutil
from pathlib import Path

import pytest

import cdp_platform
from cdp_platform_tests.conftest import PASSWORD, Server

DAGSTER_YAML = Path(cdp_platform.__file__).parents[1] / "dagster.yaml"


@pytest.fixture
def home(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Dagster with the configuration of the checkout, and a database of its own."""
    shutil.copyfile(DAGSTER_YAML, tmp_path / "dagster.yaml")
    environment = {
        "DAGSTER_HOME": str(tmp_path),
        "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(server.port),
        "DAGSTER_PG_DB": server.new_database("test_owner"),
        "DAGSTER_PG_USERNAME": "test_owner",
        "DAGSTER_PG_PASSWORD": PASSWORD,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path
