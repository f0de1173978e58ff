"""What no watermark sees is found by comparing both sides; and a source that is suddenly empty deletes nothing."""

import pytest

from cdp_platform.errors import SourceError
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.usefixtures("small_batches")


def open_keys(leo: Leo, table: str = "cdp_profiles", key: str = "profile_id") -> set[str]:
    return {row[0] for row in leo.rows(f"SELECT {key} FROM customers.{table} WHERE closed_at IS NULL")}


def filled(leo: Leo, number: int) -> Leo:
    leo.put("cdp_profile", *({"_key": f"p{n}", "status": 1, "updatedAt": STAMP.format(day=1)} for n in range(number)))
    leo.sync()
    return leo


def test_what_was_deleted_in_the_source_is_closed_and_its_row_stays(leo: Leo):
    filled(leo, 8)
    leo.delete("cdp_profile", "p1", "p2")
    found = leo.reconcile()
    assert (found.gone, found.closed, found.stopped) == (2, 2, False)
    assert open_keys(leo) == {"p0", "p3", "p4", "p5", "p6", "p7"}
    assert leo.rows(
        "SELECT profile_id, closed_reason FROM customers.cdp_profiles WHERE closed_at IS NOT NULL ORDER BY 1"
    ) == [
        ("p1", "deleted"),
        ("p2", "deleted"),
    ]
    assert leo.reconcile().gone == 0


def test_deleted_conversions_no_longer_count(leo: Leo):
    for number in range(3):
        leo.purchase(f"e{number}", "p1")
    leo.sync("transactions")
    leo.delete("cdp_profile2conversion", "e1")
    assert leo.reconcile("transactions").closed == 1
    assert leo.rows("SELECT count(*) FROM customers.orders") == [(2,)]


def test_both_sides_are_counted_and_their_keys_compared(leo: Leo):
    filled(leo, 5)
    leo.profile("broken", inSegments={"id": "x"})
    leo.sync(full=True)
    leo.delete("cdp_profile", "p1")
    found = leo.reconcile()
    assert (found.source_count, found.target_count) == (5, 5)
    assert found.source_checksum == found.target_checksum != "0" * 16
    recorded = leo.rows(
        "SELECT source, source_count, target_count, source_checksum, gone, closed FROM ops.reconciliation"
    )
    assert recorded == [("cdp_profile", 5, 5, found.source_checksum, 1, 1)]


def test_an_empty_source_deletes_nothing(leo: Leo):
    filled(leo, 4)
    leo.database.collection("cdp_profile").truncate()
    found = leo.reconcile()
    assert (found.gone, found.closed, found.stopped) == (4, 0, True)
    assert found.source_checksum != found.target_checksum
    assert len(open_keys(leo)) == 4


def test_a_mass_delete_waits_for_a_person(leo: Leo):
    filled(leo, 40)
    leo.delete("cdp_profile", *(f"p{number}" for number in range(11)))
    assert leo.reconcile().stopped
    assert len(open_keys(leo)) == 40
    approved = leo.reconcile(approve=True)
    assert (approved.gone, approved.closed, approved.stopped) == (11, 11, False)
    assert len(open_keys(leo)) == 29


def test_a_failed_read_is_not_an_empty_source(leo: Leo):
    filled(leo, 8)
    leo.sandbox.spoil({"match": {"path_regex": r"/_api/cursor/\d+"}, "action": "status", "status": 500, "times": 99})
    with pytest.raises(SourceError):
        leo.reconcile()
    assert leo.sandbox.fired()[0] >= 1
    assert len(open_keys(leo)) == 8
    assert leo.rows("SELECT count(*) FROM ops.reconciliation") == [(0,)]
    leo.sandbox.clear()
    assert leo.reconcile().gone == 0


def test_a_document_that_came_with_an_old_stamp_is_found_though_a_delete_hides_its_number(leo: Leo):
    filled(leo, 3)
    leo.profile("newest", 20)
    leo.sync()
    leo.delete("cdp_profile", "p1")
    leo.profile("imported", 2)
    assert not leo.sync().full
    assert "imported" not in open_keys(leo)
    found = leo.reconcile()
    assert (found.missing, found.gone, found.landed.new) == (1, 1, 1)
    assert open_keys(leo) == {"p0", "p2", "newest", "imported"}


def test_a_change_without_a_newer_stamp_is_found_by_its_revision(leo: Leo):
    filled(leo, 3)
    leo.profile("newest", 20)
    leo.sync()
    leo.profile("p1", 1, firstName="Nam")
    leo.sync()
    assert leo.rows("SELECT first_name FROM customers.cdp_profiles WHERE profile_id = 'p1'") == [(None,)]
    found = leo.reconcile()
    assert (found.changed, found.landed.changed) == (1, 1)
    assert leo.rows("SELECT first_name FROM customers.cdp_profiles WHERE profile_id = 'p1'") == [("Nam",)]
    assert leo.reconcile().changed == 0


def test_a_write_that_changed_nothing_is_read_once_more_and_never_again(leo: Leo):
    filled(leo, 3)
    leo.profile("p1", 1)
    found = leo.reconcile()
    assert (found.changed, found.landed.unchanged) == (1, 1)
    before = leo.versions()
    assert leo.reconcile().changed == 0
    assert leo.versions() == before


def test_a_deleted_document_that_comes_back_the_same_is_open_again(leo: Leo):
    filled(leo, 3)
    leo.delete("cdp_profile", "p1")
    leo.reconcile()
    leo.profile("p1", 1)
    assert leo.reconcile().landed.changed == 1
    assert open_keys(leo) == {"p0", "p1", "p2"}


def test_a_rejected_document_that_is_gone_no_longer_waits(leo: Leo):
    filled(leo, 3)
    leo.profile("broken", inSegments={"id": "x"})
    leo.sync()
    assert leo.reconcile().gone == 0
    leo.delete("cdp_profile", "broken")
    assert leo.reconcile().closed == 1
    assert leo.waiting() == []


def test_an_erased_persons_documents_are_on_neither_side(leo: Leo):
    filled(leo, 3)
    leo.erase("p1")
    found = leo.reconcile()
    assert (found.missing, found.source_count, found.target_count) == (0, 2, 2)


def test_tables_that_are_in_step_are_not_written(leo: Leo):
    filled(leo, 6)
    before = leo.versions()
    found = leo.reconcile()
    assert (found.missing, found.changed, found.gone) == (0, 0, 0)
    assert leo.versions() == before
