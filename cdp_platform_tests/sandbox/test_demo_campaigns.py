"""The plans of the demo's campaigns: what they say, that they stay, and where they are not sent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from cdp_platform.campaigns.planned_file import PlannedFile
from cdp_platform.cli.extensions import Platform
from cdp_sandbox.demo import campaigns, retail
from cdp_sandbox.demo.model import SEGMENTS
from cdp_sandbox.demo.preparing import plans
from cdp_sandbox.lifecycle import Sandbox

NOW = datetime(2026, 11, 29, 17, 51, tzinfo=UTC)


@pytest.fixture
def planned(tmp_path: Path) -> PlannedFile:
    return PlannedFile.model_validate(yaml.safe_load(campaigns.write_plans(tmp_path / "demo", NOW).read_text()))


def test_two_events_are_due_one_is_to_come_and_one_is_too_late(planned: PlannedFile):
    events = {event.event: event for event in planned.events}
    assert set(events) == {campaigns.SENT, campaigns.SENT_BY_SMS, campaigns.PLANNED, campaigns.MISSED}
    for name in (campaigns.SENT, campaigns.SENT_BY_SMS):
        start = events[name].start
        assert start <= NOW <= start + timedelta(minutes=events[name].grace_minutes)
    assert events[campaigns.PLANNED].local_time
    assert events[campaigns.PLANNED].start.replace(tzinfo=UTC) > NOW + timedelta(days=6)
    missed = events[campaigns.MISSED]
    assert missed.start + timedelta(minutes=missed.grace_minutes) < NOW < missed.end


def test_their_segments_are_those_of_the_demo(planned: PlannedFile):
    there = {segment["_key"] for segment in retail.collections(campaigns.TENANT, "small")[SEGMENTS]}
    assert {event.segment for event in planned.events} <= there


def test_plans_that_are_there_stay_as_they_are(tmp_path: Path):
    file = campaigns.write_plans(tmp_path / "demo", NOW)
    before = file.read_bytes()
    assert campaigns.write_plans(tmp_path / "demo", NOW + timedelta(days=3)) == file
    assert file.read_bytes() == before


def test_nothing_is_planned_where_messages_would_leave_the_machine(tmp_path: Path):
    platform, channels = Platform(), tmp_path / "channels.yaml"
    box = Sandbox(tmp_path, platform.files(tmp_path))
    box.state_dir.mkdir()
    assert plans(platform, box) == {}
    channels.write_text(platform.files(tmp_path)["channels.yaml"])
    assert set(plans(platform, box)) == {campaigns.TENANT.id}
    channels.write_text(channels.read_text().replace("127.0.0.1:${SANDBOX_SMTP_PORT}", "smtp.example.com:587"))
    assert plans(platform, box) == {}
