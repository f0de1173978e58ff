"""Of an erased person only the figures stay, whatever comes later or again."""

from collections.abc import Sequence
from typing import Any

import pytest

from cdp_platform.customers import persons
from cdp_platform_tests.leo import Leo
from cdp_platform_tests.referrals.tracker import Tracker

NAM = ("nam@example.com", "old@example.com")


@pytest.fixture
def known(leo: Leo) -> Tracker:
    """A tracker of a tenant that knows Nam, whose profile has two addresses, and Mai."""
    leo.profile("nam1", firstName="Nam", primaryEmail=NAM[0], secondaryEmails=[NAM[1]])
    leo.profile("mai1", firstName="Mai", primaryEmail="mai@example.com")
    leo.sync()
    tracker = Tracker(leo.connection, leo.tenant)
    tracker.begin()
    return tracker


def erase(tracker: Tracker) -> dict[str, int]:
    return persons.erase(tracker.connection, tracker.tenant.tenant_id, ["nam1"]).rows


def exported(tracker: Tracker, *events: tuple[str, str]) -> None:
    """These events are in a spreadsheet, one below the other."""
    export_id = "00000000-0000-0000-0000-000000000001"
    tracker.execute(
        "INSERT INTO referrals.sheet_export (tenant_id, export_id, spreadsheet_id, link, snapshot_at, worksheets, rows,"
        " checksum) VALUES ('acme', %s, 's', '', now(), '{}', 0, '')",
        [export_id],
    )
    for position, (kind, event) in enumerate(events, 1):
        tracker.execute(
            "INSERT INTO referrals.exported_event (tenant_id, spreadsheet_id, event_type, event_id, position,"
            " export_id) VALUES ('acme', 's', %s, %s, %s, %s)",
            [kind, event, position, export_id],
        )


def signups(tracker: Tracker) -> Sequence[Any]:
    return tracker.rows("SELECT signup_event_id, email FROM referrals.signup_event ORDER BY 1")


def test_events_stay_and_say_nothing_of_the_person(known: Tracker):
    click = known.click(ip="203.0.113.7", user_agent="Mozilla", geo_city="Hanoi")
    other = known.click(ip="203.0.113.8", user_agent="Mozilla")
    known.signup(event_id="s1", click=click, email=" Nam@Example.com ")
    known.signup(event_id="s2", email="old@example.com")
    known.signup(event_id="s3", click=other, email="mai@example.com")
    rows = erase(known)
    assert (rows["referrals.click_event"], rows["referrals.signup_event"]) == (1, 2)
    assert signups(known) == [("s1", None), ("s2", None), ("s3", "mai@example.com")]
    clicks = known.rows("SELECT click_event_id, ip, user_agent, geo_city FROM referrals.click_event ORDER BY 1")
    assert {row[0]: row[1:] for row in clicks} == {
        click: (None, None, None),
        other: ("203.0.113.8", "Mozilla", None),
    }


def test_what_worksheets_show_of_the_person_is_to_be_written_again(known: Tracker):
    click = known.click()
    known.signup(event_id="s1", click=click, email=NAM[0])
    known.signup(event_id="s2", email="mai@example.com")
    exported(known, ("click", click), ("signup", "s1"), ("signup", "s2"))
    receipt = persons.erase(known.connection, known.tenant.tenant_id, ["nam1"])
    assert known.rows("SELECT position FROM referrals.exported_event WHERE stale ORDER BY 1") == [(1,), (2,)]
    assert receipt.outside == {"referrals.signup_event": 2}
    # The next export does this after it wrote the rows and read them back.
    known.execute("UPDATE referrals.exported_event SET stale = false")
    assert persons.erase(known.connection, known.tenant.tenant_id, ["nam1"]).outside == {}


@pytest.mark.parametrize("address", [NAM[0], " OLD@example.com"])
def test_what_comes_after_the_erasure_comes_without_the_person(known: Tracker, address: str):
    erase(known)
    click = known.click(ip="203.0.113.7", user_agent="Mozilla")
    known.signup(event_id="late", click=click, email=address)
    known.signup(event_id="mai", email="mai@example.com")
    assert signups(known) == [("late", None), ("mai", "mai@example.com")]
    assert known.rows("SELECT ip, user_agent FROM referrals.click_event") == [(None, None)]


def test_a_click_that_was_exported_is_written_again_when_its_signup_turns_out_to_be_an_erased_persons(known: Tracker):
    erase(known)
    click = known.click(ip="203.0.113.7")
    exported(known, ("click", click))
    known.signup(event_id="late", click=click, email=NAM[0])
    assert known.rows("SELECT event_id FROM referrals.exported_event WHERE stale") == [(click,)]
    assert known.rows("SELECT ip FROM referrals.click_event") == [(None,)]


def test_what_is_restored_or_written_again_comes_without_the_person(known: Tracker):
    click = known.click(ip="203.0.113.7")
    known.signup(event_id="s1", click=click, email=NAM[0])
    erase(known)
    for table in ("signup_event", "click_event"):
        known.execute(f"DELETE FROM referrals.{table}")
    # Rows of an older backup: the click comes after its signup, and an update gives a signup its address.
    known.signup(event_id="s1", click=click, email=NAM[0])
    known.click(event_id=click, ip="203.0.113.7")
    known.signup(event_id="s2")
    known.execute("UPDATE referrals.signup_event SET email = %s WHERE signup_event_id = 's2'", [NAM[1]])
    assert signups(known) == [("s1", None), ("s2", None)]
    assert known.rows("SELECT ip FROM referrals.click_event") == [(None,)]


def test_no_address_is_kept_to_know_the_person_by(known: Tracker):
    erase(known)
    assert known.rows("SELECT count(*) FROM ops.erased_address") == [(2,)]
    (text,) = known.rows("SELECT string_agg(e::text, ' ') FROM ops.erased_address AS e")[0]
    assert "nam" not in text
