"""A run enriches what is paid, says what it did without a word about a person, and its checks find what is wrong."""

from decimal import Decimal
from uuid import UUID

import dagster as dg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.enrichment import account
from cdp_platform.orchestration.in_process import RunResult
from cdp_platform.resources.apollo import account_of
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.dagster_runs import Run, figures, verdicts
from cdp_platform_tests.enrichment.later import pass_by
from cdp_platform_tests.enrichment.room import Room
from cdp_sandbox.apollo import KEY

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def job() -> str:
    return "enrichment_update"


def check(outcome: RunResult, name: str, tenant_id: str = "acme") -> str:
    return verdicts(outcome)[f"enriched_contacts: {name}", tenant_id]


def said(outcome: RunResult, name: str) -> str:
    (found,) = (each.description for each in outcome.checks if each.check == f"enriched_contacts: {name}")
    return found or ""


def paid_an_hour_ago(room: Room, search: UUID) -> None:
    room.rows("UPDATE enrichment.search SET paid_at = now() - interval '61 minutes' WHERE search_id = %s", [search])


@pytest.mark.usefixtures("key")
def test_a_run_enriches_what_is_paid_of_each_tenant_and_nothing_else(room: Room, new_room, run: Run):
    other = new_room("bolt")
    search, unpaid = room.search(12), room.search(3, status="preview")
    other.search(["unmatched-1@shop.example"])
    outcome = run("acme", "bolt")
    assert outcome.success, outcome.errors
    assert figures(outcome, "dagster/partition_row_count", "enriched", "no_match", "calls", "credits", "cost") == {
        ("enriched_contacts", "acme"): (15, 12, 0, 2, 12.0, pytest.approx(1.2)),
        ("enriched_contacts", "bolt"): (1, 0, 1, 1, 0.0, 0.0),
    }
    assert (room.of(search, "status"), room.of(unpaid, "status")) == ("ready", "preview")
    assert set(verdicts(outcome).values()) == {"passed"}
    room.assert_ledger_is_right()
    again = run("acme", "bolt")
    assert figures(again, "calls", "credits")["enriched_contacts", "acme"] == (0, 0.0)
    assert len(room.apollo.calls()) == 3


@pytest.mark.usefixtures("key")
def test_figures_of_a_run_hold_nothing_of_a_person_and_no_key(room: Room, run: Run):
    room.search(["planted-person@secret.example", {"name": "Planted Person", "domain": "secret.example"}])
    outcome = run("acme")
    told = str([each.metadata for each in outcome.outcomes]) + str(outcome.checks) + str(outcome.errors)
    assert "enriched" in told
    for word in ("planted", "secret.example", "Planted", KEY):
        assert word not in told


def test_without_a_key_a_search_fails_and_says_what_to_do(room: Room, run: Run):
    search = room.search(2)
    outcome = run("acme")
    assert outcome.success, outcome.errors
    assert room.of(search, "status") == "failed"
    assert "APOLLO_API_KEY is not set" in room.of(search, "status_reason")
    assert room.outcomes() == {"waiting": 2}


@pytest.mark.usefixtures("key")
def test_a_search_that_is_not_ready_an_hour_after_its_payment_is_named(room: Room, run: Run):
    search = room.search(2, credit_limit=1)
    assert check(run("acme"), "paid_is_ready") == "passed"
    paid_an_hour_ago(room, search)
    outcome = run("acme")
    assert check(outcome, "paid_is_ready") == "WARN"
    assert f"{search} is enriching: Its limit of 1 credits is reached" in said(outcome, "paid_is_ready")


def test_a_search_that_failed_is_an_error_after_an_hour(room: Room, run: Run):
    search = room.search(2)
    run("acme")
    paid_an_hour_ago(room, search)
    outcome = run("acme")
    assert check(outcome, "paid_is_ready") == "ERROR"
    assert f"{search} is failed: APOLLO_API_KEY is not set" in said(outcome, "paid_is_ready")


@pytest.mark.usefixtures("key")
def test_counts_that_are_not_those_of_the_contacts_are_found(room: Room, run: Run):
    search = room.search(2)
    assert check(run("acme"), "contacts_add_up") == "passed"
    room.rows("UPDATE enrichment.search SET enriched = 1, no_match = 1 WHERE search_id = %s", [search])
    outcome = run("acme")
    assert check(outcome, "contacts_add_up") == "ERROR"
    assert str(search) in said(outcome, "contacts_add_up")


@pytest.mark.usefixtures("key")
def test_a_call_whose_answer_was_lost_is_money_in_doubt(room: Room, run: Run):
    room.search(3)
    room.apollo.spoil("drop_after")
    outcome = run("acme")
    assert room.apollo.fired() == [1]
    assert check(outcome, "no_money_in_doubt") == "WARN"
    assert "Of 1 calls nobody knows whether they were charged, 3 credits at most, and 3 contacts are held" in said(
        outcome, "no_money_in_doubt"
    )


@pytest.mark.usefixtures("key")
def test_a_payment_that_does_not_fit_is_told_of(room: Room, run: Run):
    assert check(run("acme"), "payments_fit") == "passed"
    room.rows(
        "INSERT INTO enrichment.payment_event (tenant_id, event_id, type, outcome, reason)"
        " VALUES ('acme', 'evt_1', 'checkout.session.completed', 'refused', 'It is 1 USD, and the price is 2.99 USD.')"
    )
    outcome = run("acme")
    assert check(outcome, "payments_fit") == "WARN"
    assert "evt_1: It is 1 USD, and the price is 2.99 USD." in said(outcome, "payments_fit")


def compared(instance: dg.DagsterInstance) -> tuple[str, str]:
    """The verdict of the daily comparison, and what it says."""
    done = build_definitions().resolve_job_def("enrichment_account").execute_in_process(instance=instance)
    (found,) = done.get_asset_check_evaluations()
    return "passed" if found.passed else found.severity.value, found.description or ""


@pytest.mark.usefixtures("key")
def test_credits_that_nobody_here_asked_for_are_found_once_a_day(
    room: Room, run: Run, instance: dg.DagsterInstance, warehouse: Warehouse
):
    with room.client() as client:
        assert account.baseline(room.connection, account_of(KEY), client)
    room.search(3)
    run("acme")
    assert compared(instance) == ("passed", "Not compared: a call has just ended.")
    pass_by(warehouse)
    verdict, words = compared(instance)
    assert (verdict, words[:5]) == ("passed", "Since")
    # By hand, with the same account.
    room.apollo.ask("found-1@other.example", "found-2@other.example")
    verdict, words = compared(instance)
    assert verdict == "ERROR"
    assert "the provider counted 5 credits, and the ledger has 3" in words
    assert room.ledger() == Decimal(3)


def test_without_a_key_no_account_is_compared(room: Room, instance: dg.DagsterInstance):
    assert compared(instance) == ("passed", "Not compared: APOLLO_API_KEY is not set.")
