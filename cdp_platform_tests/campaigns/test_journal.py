"""The journal keeps every opt-out outside the warehouse, and gives a restored one back what it lacks."""

import json
import logging
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.campaigns import journal as journals
from cdp_platform.campaigns import opt_outs
from cdp_platform.campaigns.journal import Entry, Journal
from cdp_platform.campaigns.opt_outs import OptOut, ReplayResult
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "opt-outs.jsonl")


def entry(number: int = 1, tenant: str = "acme") -> Entry:
    return Entry(tenant, "email", bytes([number]) * 32, "opt_out", NOW)


def sent_to(sender: Sender, number: int = 1) -> list[bytes]:
    """The hashes of the addresses of so many people who got a message."""
    sender.event()
    sender.reserve(sender.people(number, consent=None))
    sender.consent((f"p{place:04}" for place in range(number)), "given")
    sender.rows("UPDATE campaigns.consent_management SET happened_at = now() - interval '1 day'")
    sender.rows("UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now()")
    return [each for (each,) in sender.rows("SELECT address_hash FROM campaigns.delivery_log ORDER BY profile_id")]


def opt_out(sender: Sender, journal: Journal | None, *hashes: bytes) -> int:
    now = datetime.now(UTC)
    with tenant_transaction(sender.connection, sender.tenant_id):
        outs = [OptOut(each, now) for each in hashes]
        return opt_outs.opt_out(sender.connection, sender.tenant_id, "email", outs, journal, source="one-click")


def restore(sender: Sender) -> None:
    """The warehouse as it was before anybody opted out."""
    sender.rows("DELETE FROM campaigns.suppression")
    sender.rows("UPDATE campaigns.consent_management SET state = 'given', happened_at = now() - interval '1 day'")


def held(sender: Sender) -> tuple[list[str], list[str]]:
    """The consent of everybody, and the reasons of suppression."""
    consent = sender.rows("SELECT state FROM campaigns.consent_management ORDER BY profile_id")
    reasons = sender.rows("SELECT reason FROM campaigns.suppression ORDER BY 1")
    return [state for (state,) in consent], [reason for (reason,) in reasons]


def test_what_is_written_is_read_and_holds_nothing_of_a_person(journal: Journal):
    journal.append([entry(1), entry(2)])
    journal.append([entry(3)])
    assert journal.read() == ([entry(1), entry(2), entry(3)], 0)
    assert [set(json.loads(line)) for line in journal.path.read_bytes().splitlines()] == [
        {"tenant", "channel", "address_hash", "reason", "at"}
    ] * 3
    assert journal.path.stat().st_mode & 0o077 == 0


def test_a_line_that_was_cut_costs_no_other_one(journal: Journal):
    journal.append([entry(1)])
    with journal.path.open("ab") as file:
        file.write(b'{"tenant": "acme", "chan')
    journal.append([entry(2)])
    assert journal.read() == ([entry(1), entry(2)], 1)


@pytest.mark.parametrize(
    "line",
    [b"x", b"[]", b"null", b'{"tenant": "acme"}', b"\xff\xfe"]
    + [
        json.dumps(
            {"tenant": "acme", "channel": "email", "address_hash": "00", "reason": "opt_out", "at": "2026-06-01"}
            | wrong
        ).encode()
        for wrong in ({"tenant": 1}, {"channel": None}, {"address_hash": "xyz"}, {"reason": "mood"}, {"at": "soon"})
    ],
)
def test_a_line_that_says_nothing_is_counted(journal: Journal, line: bytes):
    journal.append([entry(1)])
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    assert journal.read() == ([entry(1)], 1)


def _write(path: Path, number: int) -> None:
    for _ in range(50):
        Journal(path).append([entry(number), entry(number)])


def test_several_processes_may_write_at_once(journal: Journal):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(journal.path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    entries, unreadable = journal.read()
    assert (len(entries), unreadable) == (300, 0)


def test_an_opt_out_is_in_the_journal_before_it_is_in_the_warehouse(sender: Sender, journal: Journal):
    (address,) = sent_to(sender)
    with tenant_transaction(sender.connection, sender.tenant_id):
        outs = [OptOut(address, datetime.now(UTC))]
        opt_outs.opt_out(sender.connection, sender.tenant_id, "email", outs, journal, source="one-click")
        raise psycopg.Rollback
    assert held(sender) == (["given"], [])
    assert opt_outs.replay(sender.connection, journal) == ReplayResult(1, 0)
    assert held(sender) == (["withdrawn"], ["opt_out"])


def test_a_restored_backup_gets_back_who_opted_out_since(sender: Sender, journal: Journal):
    first, second, _ = sent_to(sender, 3)
    assert opt_out(sender, journal, first, second) == 2
    restore(sender)
    assert held(sender) == (["given"] * 3, [])
    assert opt_outs.replay(sender.connection, journal) == ReplayResult(2, 0)
    assert held(sender) == (["withdrawn", "withdrawn", "given"], ["opt_out", "opt_out"])
    assert opt_outs.replay(sender.connection, journal) == ReplayResult(0, 0)


def test_a_complaint_comes_back_as_one(sender: Sender, journal: Journal):
    (address,) = sent_to(sender)
    journal.append([Entry("acme", "email", address, "complaint", datetime.now(UTC))])
    opt_outs.replay(sender.connection, journal)
    assert held(sender) == (["withdrawn"], ["complaint"])


def test_who_agreed_again_later_is_not_opted_out_by_an_old_line(sender: Sender, journal: Journal):
    (address,) = sent_to(sender)
    journal.append([Entry("acme", "email", address, "opt_out", datetime.now(UTC) - timedelta(hours=1))])
    sender.consent(["p0000"], "given")
    assert opt_outs.replay(sender.connection, journal) == ReplayResult(0, 0)
    assert held(sender) == (["given"], [])


def test_lines_reach_their_tenant_and_those_of_no_tenant_are_counted(
    new_sender: Callable[[str], Sender], journal: Journal
):
    one, two = new_sender("one"), new_sender("two")
    (address,) = sent_to(one)
    sent_to(two)
    journal.append([Entry("one", "email", address, "opt_out", datetime.now(UTC)), entry(1, "gone")])
    assert opt_outs.replay(one.connection, journal) == ReplayResult(1, 1)
    assert held(one) == (["withdrawn"], ["opt_out"])
    assert held(two) == (["given"], [])


def test_a_full_disk_keeps_nobody_from_opting_out(sender: Sender, caplog: pytest.LogCaptureFixture):
    (address,) = sent_to(sender)
    with caplog.at_level(logging.ERROR):
        assert opt_out(sender, Journal(Path("/dev/full")), address) == 1
    assert "No space left on device. Look at OPT_OUT_JOURNAL" in caplog.text
    assert held(sender) == (["withdrawn"], ["opt_out"])


def test_without_a_journal_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert journals.configured() is None
    monkeypatch.setenv("OPT_OUT_JOURNAL", str(tmp_path / "journal"))
    settings.forget()
    assert journals.configured() == Journal(tmp_path / "journal")
    assert Journal(tmp_path / "journal").read() == ([], 0)
