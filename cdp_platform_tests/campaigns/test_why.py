"""Why one person gets a message or none."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.campaigns import why
from cdp_platform.campaigns.why import Why
from cdp_platform.errors import QueryError
from cdp_platform_tests.campaigns.audiences import EMAIL, MEMBER, frozen, prepared, with_settings
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.command_line import answers, says

_RULES = """
INSERT INTO campaigns.segment (tenant_id, segment_id, version, name, kind, rules, origin, content_hash)
VALUES ('acme', 'adults', 1, 'Adults', 'rules', %s::jsonb, 'file', '')
"""
_TREE = """
{"condition": "AND", "rules": [
    {"field": "age", "type": "integer", "operator": "greater_or_equal", "value": 18},
    {"condition": "OR", "rules": [
        {"field": "livingCity", "type": "string", "operator": "equal", "value": "100% Hanoi"},
        {"field": "livingCity", "type": "string", "operator": "equal", "value": "Hue"}]}]}
"""


def _why(sender: Sender, profile_id: str = "p0000", event_id: str = "spring", **own: Any) -> Why:
    prepared(sender)
    return why.explain(sender.connection, with_settings(sender, **own), event_id, profile_id, EMAIL)


def test_each_rule_says_whether_it_holds(sender: Sender) -> None:
    sender.people(1, document={"age": 20, "livingCity": "100% Hanoi"})
    sender.people(1, prefix="other", document={"age": 20, "livingCity": "Saigon"})
    sender.rows(_RULES, [_TREE])
    sender.event(segment_id="adults")
    told = _why(sender)
    assert [(rule.path, rule.field, rule.holds) for rule in told.rules] == [
        ("rules[0]", "age", True),
        ("rules[1].rules[0]", "livingCity", True),
        ("rules[1].rules[1]", "livingCity", False),
    ]
    assert (told.in_segment, told.reason) == (True, None)
    told = _why(sender, "other0000")
    assert [rule.holds for rule in told.rules] == [True, False, False]
    assert (told.in_segment, told.reason, told.due_at) == (False, "not in the segment", None)


def test_the_consent_is_shown_with_its_evidence_and_everybody_whose_word_counts(sender: Sender) -> None:
    sender.people(1, segments=MEMBER, receive_email=True)
    sender.rows("UPDATE campaigns.consent_management SET evidence = 'form 3', source = 'file'")
    sender.profiles(
        {"profile_id": "other", "primary_email": "p0000@example.org"},
        {"profile_id": "merged", "root_profile_id": "p0000", "closed_at": "2026-01-01", "closed_reason": "merged"},
    )
    sender.consent(["other"], "withdrawn")
    sender.event()
    told = _why(sender)
    assert [(voice.role, voice.profile_id, voice.state, voice.cdp_consent) for voice in told.voices] == [
        ("own", "p0000", "given", True),
        ("merged", "merged", None, None),
        ("address", "other", "withdrawn", None),
    ]
    assert told.voices[0].evidence == "form 3"
    assert told.reason == "no_consent"


def test_what_the_caps_count_and_what_suppresses_is_shown(sender: Sender) -> None:
    sender.people(1, segments=MEMBER)
    sender.reserve(["p0000"], sender.event("earlier"))
    sender.rows("UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now()")
    sender.event()
    told = _why(sender, cap_messages=1)
    assert [counted.event_id for counted in told.counted] == ["earlier"]
    assert (told.cap, told.channel_cap, told.cap_hours, told.reason) == (1, 1, 24, "capped")
    sender.rows(
        "INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason)"
        " SELECT 'acme', '*', address_hash, 'complaint' FROM campaigns.address_of"
    )
    told = _why(sender)
    assert [(each.channel, each.reason) for each in told.suppressed] == [("*", "complaint")]
    assert told.reason == "suppressed"


def test_of_profiles_with_one_address_the_other_one_is_the_reason(sender: Sender) -> None:
    sender.people(1, segments=MEMBER, updated_at="2026-01-01")
    sender.people(1, prefix="newer", segments=MEMBER, updated_at="2026-02-01", primary_email="p0000@example.org")
    sender.event()
    assert _why(sender).reason == "duplicate"
    assert _why(sender, "newer0000").reason is None


def test_what_would_happen_now_is_told_beside_what_was_decided(sender: Sender) -> None:
    sender.people(1, segments=MEMBER, living_country="Vietnam")
    sender.event(end_at=datetime.now(UTC) + timedelta(days=2))
    assert _why(sender).frozen is None
    frozen(sender)
    sender.consent(["p0000"], "withdrawn")
    told = _why(sender)
    assert told.frozen is not None
    assert (told.frozen.decision, told.frozen.state, told.frozen.time_zone) == (
        "included",
        "reserved",
        "Asia/Ho_Chi_Minh",
    )
    assert told.reason == "no_consent"
    sender.consent(["p0000"])
    told = _why(sender)
    assert (told.reason, told.time_zone, told.time_zone_source) == (None, "Asia/Ho_Chi_Minh", "country")
    assert told.due_at is not None


def test_who_is_not_there_is_said(sender: Sender) -> None:
    sender.people(1, segments=MEMBER)
    sender.event()
    with pytest.raises(QueryError, match="no profile"):
        _why(sender, "nobody")
    with pytest.raises(QueryError, match="no event"):
        _why(sender, event_id="none")


def test_the_command_tells_it_without_an_address(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "channels.yaml"
    file.write_text("channels: [{name: email, kind: email, address: smtp.example.com, from: news@shop.example}]")
    monkeypatch.setenv("CHANNELS_CONFIG_PATH", str(file))
    settings.forget()
    sender.people(2, document={"age": 20, "livingCity": "Hue"})
    sender.people(1, prefix="other", primary_email="p0001@example.org", consent=None)
    sender.consent(["other0000"], "refused")
    sender.rows(_RULES, [_TREE])
    prepared(sender)
    sender.event(segment_id="adults")
    asked = ("campaign", "why", "--tenant", "acme", "--event", "spring", "--profile")
    told = says(*asked, "p0000")
    assert "rules[1].rules[1] livingCity equal Hue yes" in told
    assert "0 of 3 messages" in told
    assert "Time zone: UTC, from the tenant." in told
    assert "Now: a message, not before" in told
    frozen(sender)
    told = says(*asked, "p0001")
    assert "The audience of the event: no_consent." in told
    assert "Now: no message, no consent." in told
    assert "@" not in told
    assert answers(*asked, "p0001")["reason"] == "no_consent"
