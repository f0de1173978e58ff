from collections.abc import Iterator

import httpx2
import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import Tracker
from cdp_platform_tests.sheets_stub import SheetsStub


@pytest.fixture
def job() -> str:
    return "referrals_worksheets"


@pytest.fixture
def tracker(app: psycopg.Connection) -> Tracker:
    tenants.add(app, "acme", arango_database="acme")
    made = Tracker(app, tenants.get(app, "acme"))
    made.begin()
    return made


@pytest.fixture
def exporter(tracker: Tracker, sheets_stub: SheetsStub) -> Iterator[Exporter]:
    quota = httpx2.get(f"{sheets_stub.base}/_quota").raise_for_status().json()
    # These tests read more often than an export does.
    httpx2.put(f"{sheets_stub.base}/_quota", json={"reads": None, "writes": None}).raise_for_status()
    with Exporter(tracker, sheets_stub) as made:
        yield made
    httpx2.put(f"{sheets_stub.base}/_quota", json=quota).raise_for_status()
