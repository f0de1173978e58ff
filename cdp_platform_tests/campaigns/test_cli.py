"""The commands as they are typed: what they do, what they say, and that they show nobody's address."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cdp_platform.campaigns import report
from cdp_platform_tests.campaigns.events_that_run import Shop
from cdp_platform_tests.campaigns.plans import plan, write
from cdp_platform_tests.command_line import answers, invoke, refusal, says

pytest_plugins = ["cdp_platform_tests.campaigns.events_that_run"]
pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

EVENT = ("--tenant", "acme", "--event", "spring-1")


def test_plans_are_applied_shown_and_changed_by_a_file(shop: Shop, tmp_path: Path):
    path = str(write(tmp_path, plan()))
    assert "event spring-1 new" in says("campaign", "apply", "--tenant", "acme", "--file", path)
    assert {each["change"] for each in answers("campaign", "apply", "--tenant", "acme", "--file", path)} == {
        "unchanged"
    }
    assert "spring-1 planned 2099-03-01 09:00 email" in says("campaign", "list", "--tenant", "acme")
    wrong = str(write(tmp_path, plan(chanel="x"), "wrong.yaml"))
    assert "line " in refusal("campaign", "apply", "--tenant", "acme", "--file", wrong)


def test_an_event_is_started_now_and_reported_without_an_address(shop: Shop):
    shop.people(2)
    shop.people(1, prefix="silent", consent=None)
    shop.plan(starts_in=timedelta(hours=5))
    assert "campaign_deliveries acme|spring-1 3 done 2 2 0" in says("campaign", "start", *EVENT)
    assert len(shop.outbox()) == 2
    said = says("campaign", "report", *EVENT)
    assert "excluded: no_consent 1" in said
    assert "It is done." in said
    for word in ("@", "p0000", "silent"):
        assert word not in said
    assert answers("campaign", "report", *EVENT)["states"]["confirmed"] == 2
    assert "it is done" in refusal("campaign", "start", *EVENT)


def test_pause_resume_and_cancel_move_an_event_and_say_so_when_it_cannot(shop: Shop):
    shop.people(1)
    shop.plan()
    assert "is planned, so it does not become paused" in refusal("campaign", "pause", *EVENT)
    shop.rows("UPDATE campaigns.marketing_event SET status = 'running'")
    assert "is paused" in says("campaign", "pause", *EVENT, "--reason", "a typing error")
    assert shop.status("spring-1") == "paused"
    assert "It is paused: a typing error." in says("campaign", "report", *EVENT)
    assert "does not become paused" in refusal("campaign", "pause", *EVENT)
    assert "running again" in says("campaign", "resume", *EVENT)
    assert answers("campaign", "cancel", *EVENT)["status"] == "cancelled"
    assert "does not become running again" in refusal("campaign", "resume", *EVENT)


def test_messages_are_shown_and_tried_out_before_anybody_gets_one(shop: Shop):
    shop.people(5)
    shop.plan(starts_in=timedelta(hours=5))
    found = answers("campaign", "preview", *EVENT, "--people", "2")
    assert [each["subject"] for each in found] == ["Spring", "Spring"]
    assert "1 Main Street" in found[0]["text"]
    assert "accepted" in says("campaign", "test", *EVENT, "--to", "boss@shop.example", "--to", "qa@shop.example")
    assert shop.outbox() == ["boss@shop.example", "qa@shop.example"]
    assert report.of_event(shop.connection, "acme", "spring-1").people == 0
    assert shop.rows("SELECT count(*) FROM campaigns.delivery_log") == [(0,)]


def test_a_message_whose_answer_was_lost_is_settled_from_the_providers_log(shop: Shop, tmp_path: Path):
    shop.people(3)
    shop.plan()
    shop.sandbox.spoil({"match": {"method": "MESSAGE"}, "action": "drop_after", "times": 1})
    invoke("campaign", "start", *EVENT)
    assert shop.sandbox.fired() == [1]
    ((key,),) = shop.rows("SELECT message_key FROM campaigns.delivery_log WHERE state = 'unknown'")
    log = write(tmp_path, f"status=sent message-id=<{key}@shop.example>\nanother line\n", "mail.log")
    done = ("campaign", "resolve", "--tenant", "acme", "--file", str(log), "--as", "confirmed")
    assert answers(*done) == {"named": 1, "settled": 1, "state": "confirmed"}
    assert "0 were unknown" in says(*done)
    assert report.of_event(shop.connection, "acme", "spring-1").states["confirmed"] == 3


def test_what_failed_is_tried_again_when_a_person_asks(shop: Shop):
    shop.people(2)
    shop.plan()
    shop.sandbox.spoil({"match": {"method": "RCPT"}, "action": "status", "status": 550, "body": "5.6.0 No", "times": 1})
    invoke("campaign", "start", *EVENT)
    assert shop.sandbox.fired() == [1]
    assert shop.status("spring-1") == "partly_failed"
    assert "1 messages of event spring-1 wait again" in says("campaign", "retry", *EVENT)
    says("campaign", "start", *EVENT)
    assert (shop.status("spring-1"), len(shop.outbox())) == ("done", 2)


def test_an_address_that_is_unsubscribed_gets_nothing_more(shop: Shop):
    shop.people(2)
    said = says("campaign", "unsubscribe", "--tenant", "acme", "--address", " P0000@Example.org")
    assert "through email" in said
    assert "@" not in said
    shop.plan()
    shop.run("spring-1")
    assert shop.outbox() == ["p0001@example.org"]
    assert "neither" in refusal("campaign", "unsubscribe", "--tenant", "acme", "--address", "nobody")
    undo = ("campaign", "unsubscribe", "--tenant", "acme", "--address", "p0000@example.org", "--undo")
    assert "can have messages again" in says(*undo)
    assert "Nothing kept messages" in says(*undo)


def test_segments_are_listed_and_shown_with_placeholders_and_masked_people(shop: Shop):
    shop.people(3)
    shop.plan()
    assert "everybody Everybody rules file 1" in says("segment", "list", "--tenant", "acme")
    said = says("segment", "preview", "--tenant", "acme", "--segment", "everybody")
    assert "3 open profiles" in said
    assert "$1" in said
    assert "example.org" not in said
    assert "no segment 'nobody'" in refusal("segment", "preview", "--tenant", "acme", "--segment", "nobody")


def test_consents_of_a_file_are_taken_and_shown(shop: Shop, tmp_path: Path):
    shop.people(1, consent=None)
    path = write(
        tmp_path, "profile_id,channel,state,happened_at\np0000,email,given,2026-01-01T00:00:00Z\nx,email,maybe,\n"
    )
    code = ("consent", "import", "--tenant", "acme", "--file", str(path))
    assert "Of 2 rows, 1 changed" in says(*code, code=1)
    shown = says("consent", "show", "--tenant", "acme", "--profile", "p0000")
    assert "email given 2026-01-01 00:00" in shown
    assert "The CDP says" in shown


def test_the_coming_week_is_forecast(shop: Shop):
    shop.people(2)
    shop.people(1, prefix="silent", consent=None)
    shop.plan(starts_in=timedelta(hours=5))
    (found,) = answers("campaign", "plan", "--tenant", "acme")
    assert (found["people"], found["sent"], found["by_reason"]) == (3, 2, {"no_consent": 1})
    assert "no_consent 1" in says("campaign", "plan", "--tenant", "acme")


def test_a_command_of_one_tenant_sees_no_event_of_another(shop: Shop, new_shop: Callable[[str], Shop]):
    new_shop("bolt").plan()
    for command in ("report", "preview", "start", "pause", "resume", "cancel", "retry"):
        assert "has no event 'spring-1'" in refusal("campaign", command, *EVENT)
    assert answers("campaign", "list", "--tenant", "acme") == []
