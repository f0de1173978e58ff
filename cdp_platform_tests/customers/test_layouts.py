"""A change is seen by the next sync in whatever layout its stamp is, and where that costs, the tenant is told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.customers import profiles
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.source import SourceState, TenantSource
from cdp_platform.resources.arango import open_database
from cdp_platform_tests.command_line import answers, says
from cdp_platform_tests.dagster_runs import figures, verdicts
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.usefixtures("small_batches")

WATERMARK = "2026-06-01T09:05:00.000Z"
# One moment, 55 minutes behind the watermark, and the day of it.
TEN = "2026-06-01T10:00:00.000Z"
LAYOUTS = {
    "space": "2026-06-01 10:00:00",
    "space and decimals": "2026-06-01 10:00:00.000",
    "no zone": "2026-06-01T10:00:00",
    "no seconds": "2026-06-01T10:00Z",
    "whole second": "2026-06-01T10:00:00Z",
    "zero offset": "2026-06-01T10:00:00+00:00",
    "nine decimals": "2026-06-01T10:00:00.000000000Z",
    "lower case": "2026-06-01t10:00:00z",
    "ahead of UTC": "2026-06-01T17:00:00+07:00",
    "ahead, the day after": "2026-06-02T00:00:00+14:00",
    "behind UTC": "2026-06-01T05:00:00-05:00",
    "behind, the day before": "2026-05-31T22:00:00-12:00",
    "behind, with a space": "2026-06-01 05:00:00-05:00",
    "basic": "20260601T100000Z",
    "seconds": 1780308000,
    "seconds as a float": 1780308000.0,
    "milliseconds": 1780308000000,
    "microseconds": 1780308000000000,
    "nanoseconds": 1780308000000000000,
}


def names(leo: Leo) -> dict[str, str]:
    return dict(leo.rows("SELECT profile_id, first_name FROM customers.cdp_profiles"))


@pytest.fixture
def known(leo: Leo) -> Leo:
    """A tenant that was read up to the watermark, with documents of many days."""
    for day in range(1, 9):
        leo.profile(f"p{day}", day, firstName="old")
    leo.profile("last", updatedAt=WATERMARK)
    assert leo.sync().watermark == WATERMARK
    return leo


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_is_seen_in_every_layout_and_moves_the_watermark(known: Leo, layout: str):
    known.profile("p2", updatedAt=LAYOUTS[layout], firstName="new")
    result = known.sync()
    assert (result.full, result.read, result.changed) == (False, 2, 1)
    assert names(known)["p2"] == "new"
    assert (result.watermark, known.stamp(), result.undated) == (TEN, TEN, 0)


@pytest.mark.parametrize("day", ["2026-06-01", "20260601", "2026-06-02"])
def test_a_change_that_has_only_a_day_is_seen(known: Leo, day: str):
    known.profile("p2", updatedAt=day, firstName="new")
    assert known.sync().changed == 1
    assert names(known)["p2"] == "new"


def test_changes_in_all_layouts_at_once_are_seen_once(known: Leo):
    for number, value in enumerate(LAYOUTS.values()):
        known.profile(f"new{number}", updatedAt=value)
    result = known.sync()
    assert (result.full, result.new, result.unchanged) == (False, len(LAYOUTS), 1)
    again = known.sync()
    assert (again.full, again.read, again.unchanged, again.watermark) == (False, len(LAYOUTS), len(LAYOUTS), TEN)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tenant_of_one_layout_is_not_read_from_the_beginning_each_time(leo: Leo, layout: str):
    value = LAYOUTS[layout]
    for day in range(20):
        written = value
        if day and isinstance(value, str):
            written = value.replace("2026-06", "2026-04").replace("202606", "202604").replace("2026-05", "2026-03")
        elif day and not isinstance(value, str):
            written = value - day * 172_800 * 10 ** (len(str(int(value))) - 10)
        leo.profile(f"p{day}", updatedAt=written, firstName="old")
    first = leo.sync()
    assert (first.watermark, first.undated, first.rejected) == (TEN, 0, 0)
    leo.profile("p7", updatedAt=value, firstName="new")
    second = leo.sync()
    assert (second.full, second.read, second.changed) == (False, 2, 1)


def test_the_watermark_is_the_greatest_moment_and_not_the_greatest_text(leo: Leo):
    leo.profile("p1", updatedAt="2026-06-01T23:00:00+14:00")
    leo.profile("p2", updatedAt="2026-06-01 10:00:00")
    leo.profile("p3", updatedAt="20260101T000000Z")
    assert leo.sync().watermark == TEN


def test_a_clock_that_is_not_utc_and_does_not_say_so_is_told(leo: Leo):
    local = datetime.now(UTC) + timedelta(hours=7)
    leo.profile("p1", 5)
    leo.profile("p2", updatedAt=f"{local:%Y-%m-%d %H:%M:%S}")
    result = leo.sync()
    assert (result.undated, result.watermark) == (1, STAMP.format(day=5))


def test_documents_without_a_usable_stamp_are_counted_in_every_run(leo: Leo, run: Callable[..., Any]):
    leo.profile("p1", 5)
    outcome = run("acme")
    assert figures(outcome, "undated")["cdp_profiles", "acme"] == (0,)
    assert verdicts(outcome)["cdp_profiles: documents_dated", "acme"] == "passed"
    leo.profile("missing", day=None)
    leo.profile("zero", updatedAt="1970-01-01T00:00:00.000Z")
    leo.profile("typo", updatedAt="2099-01-01T00:00:00.000Z")
    leo.profile("p2", 6)
    for _ in range(2):
        outcome = run("acme")
        assert figures(outcome, "undated", "full_read")["cdp_profiles", "acme"] == (3, False)
        assert verdicts(outcome)["cdp_profiles: documents_dated", "acme"] == "WARN"
    (told,) = [check.description for check in outcome.checks if check.check == "cdp_profiles: documents_dated"]
    assert "3 of 5 documents of cdp_profile" in told
    shown = answers("status")
    assert [each["undated"] for each in shown] == [3, 0]
    assert "3 of 5 documents" in says("status")


def test_an_older_layout_is_read_before_the_watermark_passes_it(known: Leo):
    """Killed after the batch with the newest stamp of LEO CDP: the texts that come later in its order are here."""
    known.profile("space", updatedAt="2026-06-01 10:00:00")
    known.profile("basic", updatedAt="20260601T100000Z")
    known.profile("behind", updatedAt="2026-06-01T05:00:00-05:00")
    known.profile("leo", updatedAt="2026-08-01T00:00:00.000Z")

    def end(_read: int, _total: int | None) -> None:
        if (known.stamp() or "").startswith("2026-08"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        known.sync(progress=end)
    assert known.stamp() == "2026-08-01T00:00:00.000Z"
    assert {"space", "basic", "behind", "leo"} <= known.keys()


@pytest.mark.parametrize("layout", ["space", "seconds", "milliseconds", "ahead of UTC", "nine decimals", "no zone"])
def test_the_sensor_sees_a_change_behind_the_greatest_stamp_of_leo_cdp(known: Leo, layout: str):
    """Of today: `2026-06-01 10:00:00` lies before `2026-06-01T09:00:00Z` as a text."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    later = {
        "space": f"{now:%Y-%m-%d %H:%M:%S}",
        "seconds": int(now.timestamp()),
        "milliseconds": int(now.timestamp() * 1000),
        "ahead of UTC": f"{now + timedelta(hours=7):%Y-%m-%dT%H:%M:%S}+07:00",
        "nine decimals": f"{now:%Y-%m-%dT%H:%M:%S}.000000000Z",
        "no zone": f"{now:%Y-%m-%dT%H:%M:%S}",
    }
    known.profile("before", updatedAt=f"{now - timedelta(seconds=20):%Y-%m-%dT%H:%M:%S}.000Z")
    with open_database(settings.arango(), known.tenant.arango_database) as database:
        source = TenantSource(database, known.tenant)
        before = source.states()[profiles.COLLECTION]
        known.profile("p2", updatedAt=later[layout])
        after = source.states()[profiles.COLLECTION]
    assert before == SourceState(10, f"{now - timedelta(seconds=20):%Y-%m-%dT%H:%M:%S}.000Z")
    assert after == SourceState(10, f"{now:%Y-%m-%dT%H:%M:%S}.000Z")


def test_another_version_of_the_mapping_reads_everything_again_once(known: Leo, monkeypatch: pytest.MonkeyPatch):
    assert not known.sync().full
    monkeypatch.setattr(ProfileMapper, "version", ProfileMapper.version + 1)
    again = known.sync()
    assert (again.full, again.read) == (True, 9)
    assert not known.sync().full


def test_a_reading_with_another_version_that_breaks_off_begins_again(known: Leo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ProfileMapper, "version", ProfileMapper.version + 1)

    def breaks(read: int, _total: int | None) -> None:
        if read >= 6:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        known.sync(progress=breaks)
    assert known.sync().full
    assert not known.sync().full


def test_a_row_of_an_older_platform_is_read_again(known: Leo):
    known.rows("UPDATE ops.sync_watermark SET mapper_version = NULL RETURNING source")
    assert known.sync().full
    assert not known.sync().full
