"""An export that is killed at any point leaves the whole previous contents or the whole new ones."""

import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from cdp_platform.ops import tenants
from cdp_platform.referrals.plan import ExportLimits
from cdp_platform.referrals.worksheets import RAW_DATA
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import MOMENT, Tracker

# Two tabs of raw data, the second of which the change makes, and requests of a few rows each.
LIMITS = ExportLimits(rows_per_tab=4, request_bytes=6_000, pause_seconds=0.01, wait_seconds=5)


@dataclass
class Place:
    """A tenant and a spreadsheet that nobody else uses."""

    exporter: Exporter
    before: dict[str, Any]

    @property
    def tenant_id(self) -> str:
        return self.exporter.tracker.tenant.tenant_id


def test_an_export_that_is_killed_after_any_write_leaves_one_of_two_states(exporter: Exporter, warehouse: Warehouse):
    numbers = itertools.count()

    def fresh() -> Place:
        tenant_id = f"t{next(numbers)}"
        tenants.add(exporter.connection, tenant_id, arango_database=tenant_id)
        tracker = Tracker(exporter.connection, tenants.get(exporter.connection, tenant_id))
        tracker.begin()
        mine = Exporter(
            tracker,
            exporter.stub,
            LIMITS,
            spreadsheet_id=exporter.stub.new_spreadsheet(exporter.stub.account),
            opened=exporter.opened,
        )
        clicks(tracker, range(3))
        mine.run()
        before = mine.contents()
        clicks(tracker, range(3, 6))
        tracker.officer("officer-1", full_name="Lan Tran")
        tracker.execute("UPDATE referrals.exported_event SET stale = true WHERE position = 2")
        return Place(mine, before)

    def work(place: Place) -> None:
        with connect(warehouse.settings) as connection:
            tracker = replace(place.exporter.tracker, connection=connection)
            # The killed process must not use connections of the test.
            Exporter(tracker, exporter.stub, LIMITS, spreadsheet_id=place.exporter.spreadsheet_id).run()

    unkilled = fresh()
    work(unkilled)
    after = unkilled.exporter.contents()
    assert agents(after) == [[f"agent {number}" for number in range(4)], ["agent 4", "agent 5"]]
    found: set[int] = set()
    killed = 0
    for point, place in crashes.after_every_write(work, fresh):
        killed += 1
        live = place.exporter.contents()
        assert place.before != after
        found.add(stage(live, place.before, after, point))
        place.exporter.run()
        assert place.exporter.contents() == after, point
        assert place.exporter.run().writes == 0
        assert set(place.exporter.ledger()) <= {"confirmed", "unchanged", "failed"}, point
        ((rows, stale),) = place.exporter.tracker.rows(
            "SELECT count(*), count(*) FILTER (WHERE stale) FROM referrals.exported_event"
        )
        assert (rows, stale) == (6, 0), point
    assert killed > 30
    assert found == {0, 1, 2}


def clicks(tracker: Tracker, numbers: Any) -> None:
    for number in numbers:
        tracker.click(user_agent=f"agent {number}", at=MOMENT + timedelta(seconds=number))


def agents(contents: dict[str, Any]) -> list[list[str]]:
    return [[row[8] for row in rows[1:]] for title, rows in contents.items() if title.startswith(RAW_DATA)]


def stage(live: dict[str, Any], before: dict[str, Any], after: dict[str, Any], point: crashes.KillPoint) -> int:
    """The number of changes that were made: the first fills a tab of raw data, the second makes the rest."""
    full = {**before, RAW_DATA: after[RAW_DATA]}
    for number, contents in enumerate((before, full, after)):
        if live == contents:
            return number
    pytest.fail(f"half of an export was left {point}")
