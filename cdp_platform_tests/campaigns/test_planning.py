"""A file of plans is taken whole or not at all; again it changes nothing; what runs keeps what its messages are."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns import events, planning
from cdp_platform.campaigns.planning import Applied
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import SharedSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.plans import EVERYBODY, plan, use_channels, write
from cdp_platform_tests.campaigns.sender import Sender

Apply = Callable[[Any], list[Applied]]

TABLES = ("campaign", "message_template", "segment", "marketing_event")


@pytest.fixture
def acme(app: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sender:
    own = [SharedSettings(time_zone="Asia/Ho_Chi_Minh"), CampaignSettings(postal_address="1 Main Street")]
    tenants.add(app, "acme", arango_database="", settings=own)
    use_channels(tmp_path, monkeypatch)
    return Sender(app, tenants.get(app, "acme"))


@pytest.fixture
def apply(acme: Sender, tmp_path: Path) -> Apply:
    return lambda content: planning.apply(acme.connection, acme.tenant, write(tmp_path, content))


def rows(acme: Sender) -> dict[str, list[tuple]]:
    """All that a file can change, with the moments at which it was changed."""
    return {table: acme.rows(f"SELECT * FROM campaigns.{table} ORDER BY 1, 2, 3") for table in TABLES}


def event(acme: Sender, event_id: str = "spring-1") -> events.Event:
    with tenant_transaction(acme.connection, acme.tenant_id):
        return events.get(acme.connection, acme.tenant_id, event_id)


def move(acme: Sender, *after: events.Status) -> None:
    for status in after:
        with tenant_transaction(acme.connection, acme.tenant_id):
            before = events.get(acme.connection, acme.tenant_id, "spring-1").status
            assert events.move(acme.connection, acme.tenant_id, "spring-1", status, before=[before])


def refusal(apply: Apply, content: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        apply(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_makes_a_campaign_with_template_segment_and_event(acme: Sender, apply: Apply):
    assert [(each.kind, each.name, each.change) for each in apply(plan())] == [
        ("campaign", "spring", "new"),
        ("template", "spring-mail version 1", "new"),
        ("segment", "everybody version 1", "new"),
        ("event", "spring-1", "new"),
    ]
    made = event(acme)
    # In the tenant's time zone.
    assert made.start_at == datetime(2099, 3, 1, 2, tzinfo=UTC)
    assert made.status == "planned"
    assert made.grace == timedelta(hours=1)
    assert acme.rows("SELECT state FROM campaigns.message_template") == [("approved",)]


def test_the_same_file_again_changes_nothing(acme: Sender, apply: Apply):
    apply(plan())
    before = rows(acme)
    assert {each.change for each in apply(plan())} == {"unchanged"}
    assert rows(acme) == before


def test_a_planned_event_is_moved_and_its_campaign_renamed(acme: Sender, apply: Apply):
    apply(plan())
    changed = plan(start="2099-03-02T09:00:00+00:00", end="2099-03-03T09:00:00+00:00", holdout_share=0.1)
    changed["campaigns"][0]["name"] = "Spring 2099"
    assert [each.change for each in apply(changed)] == ["changed", "unchanged", "unchanged", "changed"]
    assert event(acme).start_at == datetime(2099, 3, 2, 9, tzinfo=UTC)
    assert event(acme).holdout_share == 0.1


def test_an_alias_of_a_channel_means_the_channel(acme: Sender, apply: Apply):
    apply(plan(channel="newsletter"))
    assert event(acme).channel == "email"
    assert apply(plan())[-1].change == "unchanged"


def test_a_clock_time_wherever_people_are_is_the_same_in_every_time_zone_of_a_tenant(acme: Sender, apply: Apply):
    apply(plan(local_time=True))
    assert event(acme).start_at == datetime(2099, 3, 1, 9, tzinfo=UTC)
    assert "Leave its offset out" in refusal(apply, plan(local_time=True, start="2099-03-01T09:00:00+07:00"))


@pytest.mark.parametrize("status", ["running", "paused"])
def test_an_event_that_runs_keeps_what_its_messages_depend_on(acme: Sender, apply: Apply, status: events.Status):
    apply(plan())
    move(acme, "running")
    if status == "paused":
        move(acme, "paused")
    before = rows(acme)
    changes = {"start": "2099-03-01T10:00:00", "holdout_share": 0.5, "type": "confirmation", "local_time": True}
    for name, value in changes.items():
        said = refusal(apply, plan(**{name: value}))
        assert "line " in said
        assert f"'spring-1' is {status}" in said
        assert "cdp campaign cancel --event spring-1" in said
    assert rows(acme) == before
    # What people read, and how long and how fast it goes on, can change.
    apply(plan(name="Spring!", end="2099-03-01T21:00:00", rate_per_minute=60))
    assert (event(acme).name, event(acme).rate_per_minute) == ("Spring!", 60)


def test_an_event_that_is_over_stays_as_it_was(acme: Sender, apply: Apply):
    apply(plan())
    move(acme, "cancelled")
    assert {each.change for each in apply(plan())} == {"unchanged"}
    assert "with an id of its own" in refusal(apply, plan(end="2099-03-05T20:00:00"))


def test_a_template_that_changes_is_another_version_and_the_approved_one_stays_as_it_was(acme: Sender, apply: Apply):
    apply(plan())
    changed = plan()
    changed["templates"][0]["subject"] = "Spring is here"
    assert apply(changed)[1] == Applied("template", "spring-mail version 2", "changed")
    found = acme.rows("SELECT version, subject, state FROM campaigns.message_template ORDER BY 1")
    assert found == [(1, "Spring", "archived"), (2, "Spring is here", "approved")]
    del changed["templates"][0]["approve"]
    changed["templates"][0]["subject"] = "Spring again"
    (_, template, *_) = apply(changed)
    assert "approve: true" in template.note
    assert acme.rows("SELECT state FROM campaigns.message_template WHERE version = 3") == [("draft",)]


def test_content_of_a_template_may_be_in_files_beside(acme: Sender, apply: Apply, tmp_path: Path):
    content = plan()
    html = content["templates"][0].pop("html")
    content["templates"][0]["html_file"] = "spring.html"
    assert "spring.html cannot be read" in refusal(apply, content)
    (tmp_path / "spring.html").write_text(html)
    apply(content)
    assert acme.rows("SELECT body_html FROM campaigns.message_template") == [(html,)]
    assert apply(plan())[1].change == "unchanged"


def test_a_segment_of_a_file_has_versions_and_may_be_like_another(acme: Sender, apply: Apply):
    apply(plan())
    changed = plan()
    changed["segments"][0]["rules"] = {"condition": "OR", "rules": EVERYBODY["rules"]}
    changed["segments"].append({"segment": "alike", "name": "Alike", "like": "everybody"})
    assert [(each.name, each.change) for each in apply(changed) if each.kind == "segment"] == [
        ("everybody version 2", "changed"),
        ("alike version 1", "new"),
    ]


def test_a_start_that_is_over_is_said_at_once(apply: Apply):
    *_, late = apply(plan(start="2001-03-01T09:00:00", end="2099-01-01T00:00:00"))
    assert "will be missed" in late.note


def without(listed: str, field: str) -> dict[str, Any]:
    content = plan()
    del content[listed][0][field]
    return content


def with_field(listed: str, **fields: Any) -> dict[str, Any]:
    content = plan()
    content[listed][0] |= fields
    return content


WRONG = {
    "a field is missing": (without("events", "channel"), "event 'spring-1', channel: is missing"),
    "a field is misspelt": (with_field("events", chanel="email"), "channel may be meant"),
    "a list is misspelt": ({"event": []}, "events may be meant"),
    "an event without its campaign": (plan(campaign="autumn"), "there is no campaign 'autumn'"),
    "an event without its segment": (plan(segment="nobody"), "there is no segment 'nobody'"),
    "an event without its template": (plan(template="nothing"), "there is no template 'nothing'"),
    "an event without its channel": (plan(channel="fax"), "no channel 'fax'"),
    "a template of another kind": (plan(channel="sms"), "of kind webhook"),
    "an end before the start": (plan(end="2099-02-01T00:00:00"), "ends before it starts"),
    "a share of everybody": (plan(holdout_share=1), "less than 1"),
    "an id that no key can hold": (plan(event="a|b"), "match pattern"),
    "rules and likeness": (with_field("segments", like="x"), "like has to be given"),
    "a rule that means nothing": (
        with_field("segments", rules={"condition": "AND", "rules": [{"field": "status", "operator": "is_blue"}]}),
        "rules[0]",
    ),
    "text and file": (with_field("templates", text_file="x.txt"), "Leave one out"),
    "a template without the opt-out link": (with_field("templates", html="<p>{{ postal_address }}</p>"), "opt_out_url"),
    "no YAML": ("events: [", "no YAML"),
    "nothing": ("", "is empty"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_written(acme: Sender, apply: Apply, wrong: str):
    content, said = WRONG[wrong]
    message = refusal(apply, content)
    assert said in message
    assert "line " in message or wrong == "nothing"
    assert rows(acme) == {table: [] for table in TABLES}


def test_an_entry_that_is_there_twice_is_refused(apply: Apply):
    content = plan()
    content["events"] *= 2
    assert "event 'spring-1' is there twice" in refusal(apply, content)


def test_plans_of_one_tenant_are_nothing_to_another(
    acme: Sender, apply: Apply, app: psycopg.Connection, tmp_path: Path
):
    apply(plan())
    before = rows(acme)
    tenants.add(app, "other", arango_database="", settings=[CampaignSettings(postal_address="2 Main Street")])
    other = tenants.get(app, "other")
    only_events = {"events": plan()["events"]}
    with pytest.raises(ConfigurationError, match="there is no segment"):
        planning.apply(app, other, write(tmp_path, only_events))
    planning.apply(app, other, write(tmp_path, plan(start="2099-05-01T09:00:00", end="2099-05-02T09:00:00")))
    assert rows(acme) == before


def test_an_event_has_a_text_to_embed_that_follows_its_name(acme: Sender, apply: Apply):
    apply(plan())
    of_event = "SELECT entity_id, content FROM embeddings.entity_text WHERE kind = 'event'"
    assert acme.rows(of_event) == [("spring-1", "Spring sale; Ten percent off")]
    waiting = "SELECT entity_ids FROM embeddings.text_batch WHERE kind = 'event'"
    assert acme.rows(waiting) == [(["spring-1"],)]
    acme.rows("DELETE FROM embeddings.text_batch")
    apply(plan(end="2099-03-01T21:00:00"))
    assert acme.rows(waiting) == []
    apply(plan(end="2099-03-01T21:00:00", name="Spring!"))
    assert acme.rows(waiting) == [(["spring-1"],)]
