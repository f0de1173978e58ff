"""A failed export leaves the whole previous contents or the whole new ones, and no event twice."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
from cdp_platform.referrals.export import ExportResult
from cdp_platform.referrals.worksheets import OFFICER_SUMMARY, RAW_DATA
from cdp_platform.resources.sheets import OutcomeUnknownError
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import MOMENT
from cdp_sandbox.sheets import PATH

TROUBLE: dict[str, dict[str, Any]] = {
    "429": {"action": "status", "status": 429},
    "429 with Retry-After": {"action": "status", "status": 429, "retry_after": 0.01},
    "503": {"action": "status", "status": 503},
    "dropped before": {"action": "drop_before"},
    "dropped after": {"action": "drop_after"},
    "truncated": {"action": "truncate"},
}
# The first call makes the staging tab, the second takes the staged rows over.
CHANGE = ":batchUpdate$"


def events(exporter: Exporter) -> list[str]:
    return [row[8] for row in exporter.rows(RAW_DATA)[1:]]


def spoil(exporter: Exporter, trouble: dict[str, Any], after: int, *, times: int | None, path: str = "") -> None:
    """Spoil calls of the spreadsheet whose path ends like this, after the first ones."""
    match = {"path_regex": f"^{PATH}/v4/spreadsheets/{exporter.stub.spreadsheet_id}{path}", "after": after}
    exporter.stub.sandbox.spoil({"match": match, "times": times, **trouble})


def attempt(exporter: Exporter) -> ExportResult | PlatformError:
    try:
        return exporter.run()
    except PlatformError as error:
        return error


class Changes:
    """Write something new for every worksheet but the one of days, which changes anyway."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.count = 0

    def make(self) -> None:
        self.count += 1
        tracker = self.exporter.tracker
        tracker.officer("officer-1", full_name=f"Lan {self.count}")
        tracker.click(user_agent=f"agent {self.count}", at=MOMENT + timedelta(days=self.count))

    def require_all(self) -> None:
        assert events(self.exporter) == [f"agent {number}" for number in range(1, self.count + 1)]
        assert self.exporter.rows(OFFICER_SUMMARY)[1:] == [["officer-1", f"Lan {self.count}", self.count, 0, 0]]


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=list(TROUBLE))
@pytest.mark.parametrize("times", [1, None], ids=["once", "lasting"])
def test_trouble_at_any_call_leaves_the_old_contents_or_the_new(
    exporter: Exporter, trouble: dict[str, Any], times: int | None
):
    changes = Changes(exporter)
    changes.make()
    exporter.run()
    arrivals, outcomes = set(), set()
    for number in range(20):
        old = exporter.contents()
        changes.make()
        # A staging tab of a dead export, which has to be deleted.
        exporter.change({"addSheet": {"properties": {"title": "_cdp_staging_7", "hidden": True}}})
        spoil(exporter, trouble, number, times=times)
        done = attempt(exporter)
        fired = exporter.stub.fired() != [0]
        exporter.stub.sandbox.clear()
        live = exporter.contents()
        failed = isinstance(done, PlatformError)
        assert failed == (fired and times is None), done
        outcomes.add(exporter.ledger()[-1])
        exporter.run()
        changes.require_all()
        new = exporter.contents()
        assert live in (old, new)
        assert failed or live == new
        arrivals.add(live == new)
        if not fired:
            break
    else:
        pytest.fail("there is no end of calls")
    # Three calls delete the old staging tab, one reads, two stage, one changes, one reads back.
    assert number == 8
    if times is None:
        assert arrivals == {True, False}
        assert "failed" in outcomes
    assert exporter.run().writes == 0
    assert set(exporter.ledger()) <= {"confirmed", "unchanged", "failed"}


@pytest.mark.parametrize("trouble", ["dropped after", "truncated"])
def test_a_swap_whose_answer_is_lost_appends_nothing_twice(exporter: Exporter, trouble: str):
    changes = Changes(exporter)
    changes.make()
    spoil(exporter, TROUBLE[trouble], 1, times=1, path=CHANGE)
    done = exporter.run()
    assert exporter.stub.fired() == [1]
    assert done.worksheets[RAW_DATA].difference.added == 1
    changes.require_all()
    assert exporter.ledger() == ["confirmed"]
    # The spreadsheet was asked, and the change was not repeated.
    assert exporter.arrived().count("POST :batchUpdate") == 2


@pytest.mark.parametrize("trouble", ["503", "dropped before"])
def test_a_swap_that_was_not_made_is_sent_again(exporter: Exporter, trouble: str):
    changes = Changes(exporter)
    changes.make()
    spoil(exporter, TROUBLE[trouble], 1, times=2, path=CHANGE)
    exporter.run()
    assert exporter.stub.fired() == [2]
    changes.require_all()
    assert exporter.arrived().count("POST :batchUpdate") == 4


def test_a_swap_of_which_nobody_knows_is_settled_by_the_next_export(exporter: Exporter):
    """The change was made, and afterwards no call was answered."""
    changes = Changes(exporter)
    changes.make()
    exporter.run()
    changes.make()
    # Two reads, the staging tab, its rows, and then the change.
    spoil(exporter, TROUBLE["dropped after"], 4, times=None)
    with pytest.raises(OutcomeUnknownError, match="not known"):
        exporter.run()
    assert exporter.ledger() == ["confirmed", "unknown"]
    exporter.stub.sandbox.clear()
    changes.require_all()
    assert exporter.run().writes == 0
    assert exporter.ledger() == ["confirmed", "confirmed", "unchanged"]
    changes.make()
    exporter.run()
    changes.require_all()


def test_a_swap_that_comes_after_the_next_export_began_is_refused_whole(exporter: Exporter):
    changes = Changes(exporter)
    late = late_swap(exporter, changes)
    assert exporter.ledger() == ["confirmed", "unknown"]
    changes.make()
    exporter.run()
    changes.require_all()
    contents, notes = exporter.contents(), exporter.rows("_cdp_export")
    with pytest.raises(SourceError, match="refused"):
        exporter.change(*late)
    assert (exporter.contents(), exporter.rows("_cdp_export")) == (contents, notes)
    assert exporter.ledger() == ["confirmed", "failed", "confirmed"]


def test_a_swap_is_refused_whole_as_soon_as_the_next_export_has_looked(exporter: Exporter):
    """The next export fails right after it deleted the staging tab, which alone keeps the late change out."""
    changes = Changes(exporter)
    late = late_swap(exporter, changes)
    before = exporter.contents()
    spoil(exporter, {"action": "status", "status": 429}, 0, times=None, path="/values:batchGet")
    with pytest.raises(SourceError):
        exporter.run()
    exporter.stub.sandbox.clear()
    with pytest.raises(SourceError, match="refused"):
        exporter.change(*late)
    assert exporter.contents() == before
    exporter.run()
    changes.require_all()


def test_a_swap_that_comes_before_the_next_export_began_is_not_made_again(exporter: Exporter):
    changes = Changes(exporter)
    late = late_swap(exporter, changes)
    exporter.change(*late)
    changes.require_all()
    assert exporter.run().writes == 0
    assert exporter.ledger() == ["confirmed", "confirmed", "unchanged"]


def late_swap(exporter: Exporter, changes: Changes) -> list[dict[str, Any]]:
    """The change of a second export, which was sent and has not arrived yet."""
    changes.make()
    exporter.run()
    changes.make()
    spoil(exporter, TROUBLE["dropped before"], 1, times=None, path=CHANGE)
    with pytest.raises(OutcomeUnknownError):
        exporter.run()
    late = swaps(exporter)[-1]
    exporter.stub.sandbox.clear()
    return late


def swaps(exporter: Exporter) -> list[list[dict[str, Any]]]:
    """The requests that take staged rows over, lost ones included."""
    arrived = httpx2.get(f"{exporter.stub.sandbox.url}/_sandbox/requests").raise_for_status().json()
    mine = f"{exporter.stub.spreadsheet_id}:batchUpdate"
    changes = [one["body"]["requests"] for one in arrived if one["path"].endswith(mine)]
    return [each for each in changes if any("copyPaste" in request for request in each)]


@pytest.mark.parametrize("known", [False, True], ids=["at first", "later"])
def test_a_spreadsheet_that_is_not_shared_says_with_whom_to_share_it(exporter: Exporter, known: bool):
    changes = Changes(exporter)
    changes.make()
    if known:
        exporter.run()
        changes.make()
    share(exporter)
    with pytest.raises(ConfigurationError, match=f"Share the spreadsheet .* with {exporter.stub.account} as an editor"):
        exporter.run()
    assert exporter.ledger()[-1] == "failed"
    share(exporter, exporter.stub.account)
    exporter.run()
    changes.require_all()


def test_a_spreadsheet_that_was_deleted_is_named_and_a_new_one_gets_everything(exporter: Exporter):
    changes = Changes(exporter)
    changes.make()
    exporter.run()
    place = f"{exporter.stub.base}/_spreadsheets/{exporter.stub.spreadsheet_id}"
    httpx2.delete(place).raise_for_status()
    changes.make()
    with pytest.raises(ConfigurationError, match=f"There is no spreadsheet {exporter.stub.spreadsheet_id}"):
        exporter.run()
    ((outcome, reason),) = exporter.tracker.rows(
        "SELECT state, reason FROM referrals.sheet_export ORDER BY started_at DESC LIMIT 1"
    )
    assert outcome == "failed"
    assert "agent" not in reason
    exporter.spreadsheet_id = exporter.stub.new_spreadsheet(exporter.stub.account)
    exporter.run()
    changes.require_all()


def test_a_spreadsheet_of_the_same_id_that_is_empty_again_gets_everything(exporter: Exporter):
    changes = Changes(exporter)
    changes.make()
    exporter.run()
    httpx2.delete(f"{exporter.stub.base}/_spreadsheets/{exporter.stub.spreadsheet_id}").raise_for_status()
    share(exporter, exporter.stub.account)
    changes.make()
    exporter.run()
    changes.require_all()


def share(exporter: Exporter, *accounts: str) -> None:
    httpx2.put(
        f"{exporter.stub.base}/_spreadsheets/{exporter.stub.spreadsheet_id}",
        json={"title": "Test", "shared_with": list(accounts)},
    ).raise_for_status()
