"""The journal keeps every erasure outside the warehouse, and those that were taken back."""

from pathlib import Path

import pytest

from cdp_platform import settings
from cdp_platform.customers import erasure_journal, persons
from cdp_platform.customers.erasure_journal import ErasureJournal
from cdp_platform_tests.command_line import answers, refusal, says
from cdp_platform_tests.leo import Leo


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ErasureJournal:
    monkeypatch.setenv("ERASURE_JOURNAL", str(tmp_path / "erasures.jsonl"))
    settings.forget()
    found = erasure_journal.configured()
    assert found is not None
    return found


@pytest.fixture
def nam(leo: Leo) -> Leo:
    leo.profile("nam", 1)
    leo.profile("alias", 1, rootProfileId="nam")
    leo.profile("mai", 9)
    leo.sync()
    return leo


def test_an_erasure_is_kept_with_all_profiles_of_the_person_until_it_is_taken_back(nam: Leo, journal: ErasureJournal):
    answers("erase", "--tenant", "acme", "--profile", "nam")
    answers("erase", "--tenant", "acme", "--profile", "mai")
    assert journal.standing() == ({"acme": ["alias", "mai", "nam"]}, 0)
    says("erase", "--tenant", "acme", "--profile", "alias", "--undo")
    assert journal.standing() == ({"acme": ["mai"]}, 0)
    assert journal.path.stat().st_mode & 0o077 == 0


def test_without_a_disk_for_the_journal_nobody_is_erased(nam: Leo, journal: ErasureJournal):
    journal.path.mkdir()
    assert "Look at ERASURE_JOURNAL" in refusal("erase", "--tenant", "acme", "--profile", "nam")
    assert nam.keys() == {"nam", "alias", "mai"}


def test_the_line_is_written_before_the_erasure_is_committed(nam: Leo, journal: ErasureJournal):
    """The person asked for it: a restored backup does again what a crash undid."""
    with nam.connection.transaction(force_rollback=True):
        persons.erase(nam.connection, "acme", ["nam"], journal)
    assert nam.keys() == {"nam", "alias", "mai"}
    assert journal.standing() == ({"acme": ["alias", "nam"]}, 0)


def test_lines_that_are_no_entries_are_counted(journal: ErasureJournal):
    journal.erased("acme", ["nam"])
    with journal.path.open("a") as file:
        file.write('{"tenant": "acme", "profile_ids": "mai", "lifted": false}\n{"tenant": "ac')
    journal.erased("beta", ["son"])
    assert journal.standing() == ({"acme": ["nam"], "beta": ["son"]}, 2)
