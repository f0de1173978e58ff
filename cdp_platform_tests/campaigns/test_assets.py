"""A run begins an event that is due, freezes its audience and sends; what is not due or over stays as it is."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cdp_platform.campaigns import events, report
from cdp_platform.orchestration.in_process import RunResult
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.events_that_run import Shop
from cdp_platform_tests.dagster_runs import figures, verdicts

pytest_plugins = ["cdp_platform_tests.campaigns.events_that_run"]
pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

KEY = "acme|spring-1"


def made(outcome: RunResult, *names: str) -> dict[tuple[str, str], tuple]:
    assert outcome.success, outcome.errors
    return figures(outcome, *names)


def test_an_event_that_is_due_is_sent_once(shop: Shop):
    people = shop.people(3)
    shop.people(2, prefix="silent", consent=None)
    event = shop.plan()
    outcome = shop.run(event)
    assert made(outcome, "status", "dagster/partition_row_count") == {
        ("audience_snapshot", KEY): ("running", 5),
        ("campaign_deliveries", KEY): ("done", 5),
    }
    assert shop.outbox() == [f"{each}@example.org" for each in people]
    assert shop.status(event) == "done"
    assert set(verdicts(outcome).values()) == {"passed"}
    shop.run(event)
    assert len(shop.outbox()) == 3


def test_figures_of_a_run_hold_nothing_of_a_person(shop: Shop):
    shop.people(3)
    shop.people(1, prefix="silent", consent=None)
    outcome = shop.run(shop.plan())
    said = str([each.metadata for each in outcome.outcomes]) + str(outcome.checks)
    assert "no_consent" in said
    assert "█" in said
    for word in ("@", "example.org", "p0000", "silent"):
        assert word not in said


def test_an_event_that_is_not_due_yet_waits_and_can_be_moved(shop: Shop):
    shop.people(1)
    event = shop.plan(starts_in=timedelta(hours=1))
    assert "It begins at" in str(made(shop.run(event), "note"))
    assert (shop.status(event), shop.outbox()) == ("planned", [])
    shop.plan()
    shop.run(event)
    assert (shop.status(event), len(shop.outbox())) == ("done", 1)


def test_an_event_that_is_found_three_hours_late_is_missed_and_a_person_is_told(shop: Shop):
    shop.people(1)
    event = shop.plan(starts_in=timedelta(hours=-3))
    outcome = shop.run(event)
    assert outcome.success
    assert verdicts(outcome)["audience_snapshot: missed", KEY] == "WARN"
    assert shop.status(event) == "missed"
    assert shop.outbox() == []
    # With a longer grace it would have gone.
    late = shop.plan(event="spring-2", starts_in=timedelta(hours=-3), grace_minutes=240)
    assert shop.run(late).success
    assert (shop.status(late), len(shop.outbox())) == ("done", 1)


def test_events_that_share_a_run_are_all_sent_and_a_fault_of_one_holds_up_no_other(shop: Shop):
    shop.people(2)
    first, second, third = (shop.plan(event=f"spring-{number}") for number in (1, 2, 3))
    # Nobody's template is approved any more for the second.
    shop.rows("UPDATE campaigns.marketing_event SET template = 'gone' WHERE event_id = %s", [second])
    outcome = shop.run(first, second, third)
    assert not outcome.success
    assert "has no approved version" in " ".join(outcome.errors)
    assert [shop.status(each) for each in (first, second, third)] == ["done", "planned", "done"]
    assert len(shop.outbox()) == 4


def test_a_paused_event_sends_nothing_until_it_is_resumed(shop: Shop):
    shop.people(2)
    event = shop.plan()
    with tenant_transaction(shop.connection, shop.tenant_id):
        events.move(shop.connection, shop.tenant_id, event, "running", before=["planned"])
        events.move(shop.connection, shop.tenant_id, event, "paused", before=["running"])
    assert shop.run(event).success
    assert shop.outbox() == []
    with tenant_transaction(shop.connection, shop.tenant_id):
        events.move(shop.connection, shop.tenant_id, event, "running", before=["paused"])
    assert shop.run(event).success
    assert len(shop.outbox()) == 2


def test_nothing_more_is_sent_of_an_event_whose_sums_are_wrong(shop: Shop):
    shop.people(2)
    event = shop.plan()
    with tenant_transaction(shop.connection, shop.tenant_id):
        events.move(shop.connection, shop.tenant_id, event, "running", before=["planned"])
    shop.reserve(["p0000", "p0001"], event)
    shop.rows("UPDATE campaigns.segment_snapshot SET people = 3, template = 'spring-mail', template_version = 1")
    outcome = shop.run(event)
    assert not outcome.success
    assert "3 people in its audience, and 2 in all states" in " ".join(outcome.errors)
    assert shop.outbox() == []
    assert not report.of_event(shop.connection, shop.tenant_id, event).adds_up


def test_a_message_whose_answer_was_lost_is_told_of_after_the_run(shop: Shop):
    shop.people(1)
    event = shop.plan()
    shop.sandbox.spoil({"match": {"method": "MESSAGE"}, "action": "drop_after", "times": 1})
    outcome = shop.run(event)
    assert shop.sandbox.fired() == [1]
    assert verdicts(outcome)["campaign_deliveries: unknown", KEY] == "WARN"
    assert any("cdp campaign resolve" in check.description for check in outcome.checks)


def test_a_retired_tenant_gets_nothing_sent(shop: Shop):
    shop.people(1)
    event = shop.plan()
    shop.rows("UPDATE ops.tenant SET status = 'retired' WHERE tenant_id = 'acme'")
    shop.run(event)
    assert (shop.status(event), shop.outbox()) == ("planned", [])


def test_events_of_two_tenants_go_to_their_own_people(shop: Shop, new_shop: Callable[[str], Shop]):
    other = new_shop("bolt")
    shop.people(1)
    other.people(1, prefix="b")
    for each in (shop, other):
        assert each.run(each.plan()).success
    assert shop.outbox() == ["b0000@example.org", "p0000@example.org"]
    assert [each.rows("SELECT profile_id FROM campaigns.delivery_log") for each in (shop, other)] == [
        [("p0000",)],
        [("b0000",)],
    ]
