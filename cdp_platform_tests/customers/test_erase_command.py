"""`cdp erase` asks before it takes a typing error for a person, says truly what it did, and can be undone."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.command_line import invoke
from cdp_platform_tests.leo import Leo
from cdp_platform_tests.referrals.test_erasure import exported
from cdp_platform_tests.referrals.tracker import Tracker


def erase(*arguments: str) -> Any:
    result = invoke("erase", "--tenant", "acme", *arguments)
    if result.exception:
        raise result.exception
    return json.loads(result.output) if "--json" in arguments else result.output


def tombstones(leo: Leo) -> list[tuple[str, str]]:
    return leo.rows("SELECT source, document_key FROM ops.erased_document ORDER BY 1, 2")


@pytest.fixture
def nam(leo: Leo) -> Leo:
    leo.profile("nam", 1, firstName="Nam", primaryEmail="nam@example.com")
    leo.profile("alias", 1, rootProfileId="nam")
    leo.profile("mai", 9)
    leo.profile("son", 9)
    leo.purchase("e-nam", "nam", 1)
    leo.purchase("e-mai", "mai", 9)
    for kind in ("profiles", "transactions"):
        leo.sync(kind)
    return leo


def test_a_profile_that_nobody_knows_is_not_erased_without_a_word(nam: Leo):
    with pytest.raises(ConfigurationError, match=r"nobody of acme: neither here nor in the CDP.*--yes"):
        erase("--profile", "nobody", "--profile", "mai")
    assert tombstones(nam) == []
    assert nam.keys() >= {"mai"}
    assert "A tombstone keeps them out" in erase("--profile", "nobody", "--yes")
    assert tombstones(nam) == [("cdp_profile", "nobody")]


def test_a_profile_that_only_the_source_knows_is_erased_without_a_question(nam: Leo):
    nam.profile("new", 10)
    assert erase("--profile", "new", "--json")["profile_ids"] == ["new"]
    assert nam.sync().erased == 1


def test_whoever_is_here_is_erased_while_the_source_is_away(nam: Leo, monkeypatch: pytest.MonkeyPatch):
    from cdp_platform import settings

    monkeypatch.setenv("ARANGO_HOST", "http://127.0.0.1:9")
    settings.forget()
    assert erase("--profile", "nam", "--json")["profile_ids"] == ["alias", "nam"]
    with pytest.raises(ConfigurationError, match="not here, and the CDP cannot be asked"):
        erase("--profile", "nobody")


@pytest.mark.parametrize(("answer", "made"), [("y", [("cdp_profile", "nobody")]), ("n", [])])
def test_a_person_is_asked(nam: Leo, answer: str, made: list[tuple[str, str]]):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        command = [str(Path(sys.executable).parent / "cdp"), "erase", "--tenant", "acme", "--profile", "nobody"]
        process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        terminal.write(f"{answer}\n".encode())
        out, err = process.communicate(timeout=60)
        os.close(theirs)
    assert "Make a tombstone all the same? [y/N]" in err, (out, err)
    assert (process.returncode == 0) == (answer == "y")
    assert tombstones(nam) == made


def test_a_second_erasure_says_that_it_is_one(nam: Leo):
    first = erase("--profile", "alias", "--json")
    assert (first["profile_ids"], first["erased_before"]) == (["alias", "nam"], [])
    second = erase("--profile", "nam", "--json")
    assert (second["profile_ids"], second["erased_before"]) == (["alias", "nam"], ["alias", "nam"])
    assert set(second["rows"].values()) == {0}
    assert "They were erased before" in erase("--profile", "nam")


def test_an_erasure_is_taken_back_with_all_that_the_source_still_has(nam: Leo):
    erase("--profile", "nam")
    for kind in ("profiles", "transactions"):
        nam.sync(kind)
    # Erased, and gone from the source: by counting alone nobody would notice that as many documents are missing here.
    erase("--profile", "mai", "--profile", "son")
    nam.delete("cdp_profile", "mai", "son")
    nam.delete("cdp_profile2conversion", "e-mai")
    assert erase("--profile", "alias", "--undo", "--json")["lifted"] == ["alias", "nam"]
    assert tombstones(nam) == [("cdp_profile", "mai"), ("cdp_profile", "son"), ("cdp_profile2conversion", "e-mai")]
    for kind in ("profiles", "transactions"):
        nam.sync(kind)
    assert (nam.keys(), nam.keys("transactions")) == ({"nam", "alias"}, {"e-nam"})
    assert erase("--profile", "nam", "--json")["rows"]["customers.cdp_profiles"] == 2


def test_an_address_is_free_again_once_nobody_erased_has_it(nam: Leo):
    nam.profile("wife", 2, secondaryEmails=["NAM@example.com"])
    nam.sync()
    tracker = Tracker(nam.connection, nam.tenant)
    tracker.begin()
    erase("--profile", "nam", "--profile", "wife")
    erase("--profile", "nam", "--undo")
    tracker.signup(event_id="s1", email="nam@example.com")
    erase("--profile", "wife", "--undo")
    tracker.signup(event_id="s2", email="nam@example.com")
    query = "SELECT signup_event_id, email FROM referrals.signup_event ORDER BY 1"
    assert nam.rows(query) == [("s1", None), ("s2", "nam@example.com")]


def test_what_is_still_to_be_changed_outside_is_said(nam: Leo):
    tracker = Tracker(nam.connection, nam.tenant)
    tracker.begin()
    tracker.signup(event_id="s1", email="nam@example.com")
    exported(tracker, ("signup", "s1"))
    said = " ".join(erase("--profile", "nam").split())
    assert "referrals.signup_event: 1 changes outside the platform are not confirmed yet." in said
    assert erase("--profile", "nam", "--json")["outside"] == {"referrals.signup_event": 1}


def test_an_erasure_that_never_was_cannot_be_undone(nam: Leo):
    erase("--profile", "mai")
    with pytest.raises(ConfigurationError, match="nobody of tenant acme has no tombstone"):
        erase("--profile", "mai", "--profile", "nobody", "--undo")
    assert ("cdp_profile", "mai") in tombstones(nam)
