"""`cdp enrichment run`, `status`, `report` and `resolve`, and `cdp health`, as they are typed."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from cdp_platform.health import findings
from cdp_platform_tests.command_line import answers, invoke, refusal, says
from cdp_platform_tests.enrichment.room import Room

pytestmark = pytest.mark.usefixtures("key")


@pytest.fixture
def lost(room: Room) -> UUID:
    """A search whose call lost its answer."""
    search = room.search(3)
    room.apollo.spoil("drop_after")
    room.run()
    assert room.apollo.fired() == [1]
    return search


def call_of(search: UUID) -> str:
    (call,) = answers("enrichment", "report", "--tenant", "acme", "--search", str(search))["report"]["doubtful"]
    return call["call_id"]


def test_a_run_and_its_status_say_what_was_done_and_spent(room: Room):
    search = room.search(4)
    done = invoke("enrichment", "run", "--tenant", "acme", "--json")
    assert done.exit_code == 0, done.output
    (made,) = json.loads(done.stdout)["outcomes"]
    assert made["metadata"]["enriched"] == 4
    found = answers("enrichment", "status", "--tenant", "acme")["acme"]
    assert [each["status"] for each in found["searches"]] == ["ready"]
    assert found["today"]["credits_today"] == "4"
    assert str(search) in says("enrichment", "status")


def test_a_run_is_refused_at_once_where_the_key_is_wrong(room: Room, monkeypatch: pytest.MonkeyPatch):
    room.search(1)
    monkeypatch.setenv("APOLLO_API_KEY", "wrong")
    assert "APOLLO_API_KEY" in refusal("enrichment", "run", "--tenant", "acme")
    assert room.calls() == []


def test_a_report_writes_the_contacts_of_a_paid_search(room: Room, tmp_path: Path):
    search = room.search(2)
    room.run()
    file = tmp_path / "contacts.csv"
    said = says("enrichment", "report", "--tenant", "acme", "--search", str(search), "--output", str(file))
    assert f"2 contacts are in {file}." in said
    assert len(file.read_text().splitlines()) == 3


def test_a_lost_call_that_was_not_charged_is_asked_again(room: Room, lost: UUID):
    room.apollo.clear()
    says("enrichment", "resolve", "--tenant", "acme", "--call", call_of(lost), "--not-charged")
    room.run()
    assert room.outcomes(lost) == {"enriched": 3}
    assert room.apollo.credits() == 3


def test_a_lost_call_that_was_charged_costs_what_the_invoice_says(room: Room, lost: UUID):
    says("enrichment", "resolve", "--tenant", "acme", "--call", call_of(lost), "--charged", "3")
    assert room.outcomes(lost) == {"unusable": 3}
    room.assert_ledger_is_right()


@pytest.mark.parametrize("given", [[], ["--not-charged", "--ask-again"]])
def test_one_decision_has_to_be_given(room: Room, lost: UUID, given: list[str]):
    done = invoke("enrichment", "resolve", "--tenant", "acme", "--call", call_of(lost), *given)
    assert done.exit_code == 2
    assert "Give one of --charged, --not-charged and --ask-again" in done.output
    assert room.outcomes(lost) == {"held": 3}


def test_health_says_what_is_left_and_what_is_used(room: Room):
    room.search(3)
    room.run()
    (found,) = (each for each in findings.examine() if each.system == "Apollo")
    assert (found.state, found.advice) == ("ok", "")
    assert found.version.startswith("3 credits used today, ")
    assert "calls left in 60 s" in found.version
    assert found.latency_ms


def test_health_says_that_a_key_cannot_read_the_counter(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("APOLLO_API_KEY", "sandbox-people")
    (found,) = (each for each in findings.examine() if each.system == "Apollo")
    assert found.state == "warn"
    assert "The key may not read the usage of credits" in found.advice


def test_health_says_that_the_breaker_is_open(room: Room):
    room.search(1)
    room.apollo.spoil("status", status=503, times=None)
    room.run()
    room.run()
    (found,) = (each for each in findings.examine() if each.system == "Apollo")
    room.apollo.clear()
    assert found.state == "warn"
    assert "No contact is asked about for " in found.advice
