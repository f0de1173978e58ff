"""A database of the stand-in for ArangoDB, through python-arango and as raw HTTP."""

from collections.abc import Iterator

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import Database, SandboxProcess


@pytest.fixture
def db(sandbox: SandboxProcess) -> Database:
    """A database of this test, through python-arango."""
    return sandbox.new_database()


@pytest.fixture
def http(sandbox: SandboxProcess, db: Database) -> Iterator[httpx2.Client]:
    """Raw HTTP to the database of this test, as root."""
    with sandbox.http() as client:
        client.base_url = f"{sandbox.url}/_db/{db.name}"
        yield client
