"""History of the LEO data workers is taken whole, in both shapes, and is never sent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns import leo_activation
from cdp_platform.campaigns.leo_activation import ImportResult
from cdp_platform.customers import persons
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops import rejected
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.leo_workers import LeoWorkers
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import PASSWORD, Server

_NOW = datetime(2026, 8, 1, tzinfo=UTC)
_THEN = datetime(2026, 5, 4, 9, tzinfo=UTC)


@dataclass(frozen=True)
class _Channel:
    name: str


_CHANNELS = {name: _Channel(kept) for name, kept in (("email", "email"), ("zalo_oa", "zalo"), ("zalo", "zalo"))}


@pytest.fixture
def workers(server: Server) -> Iterator[Callable[..., LeoWorkers]]:
    """Makes a database of the LEO data workers."""
    opened: list[psycopg.Connection] = []
    names: list[str] = []

    def made(*, older: bool = False) -> LeoWorkers:
        names.append(server.new_database("postgres"))
        opened.append(server.superuser(names[-1]))
        url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{server.port}/{names[-1]}"
        return LeoWorkers(opened[-1], url, older=older)

    yield made
    for connection in opened:
        connection.close()
    with server.superuser() as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _event(name: str = "summer", **columns: Any) -> dict[str, Any]:
    """An event of the newer shape; that of the older one has no ``marketing_`` in its names."""
    return {
        "marketing_event_id": name,
        "marketing_event_name": f"Event {name}",
        "marketing_event_type": "EMAIL",
        "marketing_event_channel": "PROMOTIONAL",
        "start_at": _THEN,
        "end_at": _THEN + timedelta(hours=1),
        "status": "completed",
    } | columns


def _take(sender: Sender, there: LeoWorkers) -> ImportResult:
    return leo_activation.take(sender.connection, sender.tenant, there.url, _CHANNELS, now=_NOW)


def _delivered(there: LeoWorkers, status: str, profile_id: str, **columns: Any) -> None:
    given = {"marketing_event_id": "summer", "channel": "EMAIL", "sent_at": _THEN, "created_at": _THEN} | columns
    there.add("delivery_log", delivery_status=status, profile_id=profile_id, **given)


def _events(sender: Sender) -> dict[str, tuple]:
    rows = sender.rows(
        "SELECT event_id, name, campaign_code, channel, status FROM campaigns.marketing_event ORDER BY event_id"
    )
    return {event_id: tuple(others) for event_id, *others in rows}


def test_what_was_planned_and_sent_there_is_here(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, people = workers(), sender.people(3)
    there.add("campaign", campaign_id="c1", campaign_code="SUMMER-2026", campaign_name="Summer", objective="SALES")
    there.add("marketing_event", **_event(campaign_id="c1", embedding="[0.1]"))
    for status, person in zip(("SENT", "delivered", "failed"), people, strict=True):
        _delivered(there, status, person, provider_response={"to": "somebody@example.org"})
    found = _take(sender, there)
    assert _events(sender) == {"summer": ("Event summer", "SUMMER-2026", "email", "partly_failed")}
    assert sender.states("summer") == {"confirmed": 2, "failed refused": 1}
    assert found.read == {"campaign": 1, "marketing_event": 1, "delivery_log": 3}
    assert (found.left_out, found.remarks) == ({}, {})
    (row,) = sender.rows("SELECT people FROM campaigns.segment_snapshot WHERE event_id = 'summer'")
    assert row == (3,)
    assert "example.org" not in str(sender.rows("SELECT d FROM campaigns.delivery_log AS d"))


def test_the_older_shape_names_profiles_by_their_key_in_the_cdp(
    sender: Sender, workers: Callable[..., LeoWorkers]
) -> None:
    there, (person,) = workers(older=True), sender.people(1)
    there.add("cdp_profiles", profile_id="0b6f0000-0000-0000-0000-000000000001", ext_id=person)
    older = {name.removeprefix("marketing_"): value for name, value in _event().items()}
    there.add("marketing_event", **older | {"event_description": "Sun", "campaign_code": "Tết 2026"})
    there.add(
        "delivery_log",
        event_id="summer",
        profile_id="0b6f0000-0000-0000-0000-000000000001",
        channel="email",
        delivery_status="sent",
        sent_at=_THEN,
    )
    _take(sender, there)
    ((name, code, channel, status),) = _events(sender).values()
    assert (name, channel, status) == ("Event summer", "email", "done")
    # What is no code is made one, and another name makes another one.
    assert code.startswith("T-t-2026-")
    assert sender.rows("SELECT name FROM campaigns.campaign") == [("Tết 2026",)]
    assert sender.rows("SELECT description FROM campaigns.marketing_event") == [("Sun",)]
    assert sender.rows("SELECT profile_id, state FROM campaigns.delivery_log") == [(person, "confirmed")]


@pytest.mark.parametrize(
    ("status", "start_at", "becomes"),
    [
        ("completed", _THEN, "done"),
        ("planned", _THEN, "missed"),
        ("active", _THEN, "missed"),
        ("cancelled", _THEN, "cancelled"),
        ("nonsense", _THEN, "missed"),
        ("planned", _NOW + timedelta(days=1), "cancelled"),
    ],
)
def test_an_event_is_history_and_moves_nowhere(
    sender: Sender, workers: Callable[..., LeoWorkers], status: str, start_at: datetime, becomes: str
) -> None:
    there = workers()
    there.add("marketing_event", **_event(status=status, start_at=start_at, end_at=start_at + timedelta(hours=1)))
    _take(sender, there)
    assert sender.status("summer") == becomes
    for after in ("planned", "running"):
        with pytest.raises(psycopg.errors.CheckViolation, match="history"):
            sender.rows("UPDATE campaigns.marketing_event SET status = %s", [after])


def test_history_that_failed_is_not_tried_again(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, (person,) = workers(), sender.people(1)
    there.add("marketing_event", **_event())
    _delivered(there, "failed", person)
    _take(sender, there)
    with pytest.raises(psycopg.errors.CheckViolation, match="history"):
        sender.rows("UPDATE campaigns.marketing_event SET status = 'running'")
    assert sender.states("summer") == {"failed refused": 1}


def test_again_writes_nothing_but_what_is_new_there(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, people = workers(), sender.people(2)
    there.add("marketing_event", **_event())
    there.add("message_templates", channel="email", template_name="hello", body_template="<p>Hi</p>")
    there.add("segment_snapshot", snapshot_id="s1", segment_name="VIP")
    there.add("segment_snapshot_member", snapshot_id="s1", profile_id=people[0])
    there.add("consent_management", profile_id=people[0], channel="EMAIL", is_allowed=True)
    _delivered(there, "sent", people[0])
    first = _take(sender, there)
    assert {table for table, rows in first.written.items() if rows == 0} == set()
    assert set(_take(sender, there).written.values()) == {0}
    _delivered(there, "sent", people[1])
    there.add("segment_snapshot_member", snapshot_id="s1", profile_id=people[1])
    assert {table for table, rows in _take(sender, there).written.items() if rows} == {
        "delivery_log",
        "segment_snapshot",
        "segment_snapshot_member",
    }
    assert sender.states("summer") == {"confirmed": 2}
    assert sender.rows("SELECT snapshot_id, people FROM campaigns.segment_snapshot ORDER BY 1") == [
        ("leo-activation:s1", 2),
        ("summer", 2),
    ]


def test_a_failure_that_was_sent_again_there_counts_once(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, (person,) = workers(), sender.people(1)
    there.add("marketing_event", **_event())
    _delivered(there, "failed", person)
    _take(sender, there)
    _delivered(there, "sent", person)
    _take(sender, there)
    assert sender.states("summer") == {"confirmed": 1}
    assert sender.rows("SELECT step, state, superseded FROM campaigns.delivery_log ORDER BY step") == [
        (1, "failed", True),
        (2, "confirmed", False),
    ]


def test_consent_is_taken_with_its_basis_and_a_later_word_here_stays(
    sender: Sender, workers: Callable[..., LeoWorkers]
) -> None:
    there, people = workers(), sender.people(3, consent=None)
    for person, allowed, channel in zip(people, (True, False, True), ("EMAIL", "email", "Zalo OA"), strict=True):
        there.add(
            "consent_management",
            profile_id=person,
            channel=channel,
            is_allowed=allowed,
            legal_basis="gdpr_consent",
            source="form",
            updated_at=_THEN,
        )
    sender.consent(people[:1], "withdrawn")
    _take(sender, there)
    assert sender.rows(
        "SELECT profile_id, channel, state, source, evidence FROM campaigns.consent_management ORDER BY 1"
    ) == [
        (people[0], "email", "withdrawn", "test", None),
        (people[1], "email", "refused", "leo-activation", "form"),
        (people[2], "zalo", "given", "leo-activation", "form"),
    ]


def test_an_approved_template_is_a_draft_until_it_is_approved_here(
    sender: Sender, workers: Callable[..., LeoWorkers]
) -> None:
    there = workers()
    for version, status in ((1, "archived"), (2, "approved")):
        there.add(
            "message_templates",
            channel="email",
            template_name="price alert",
            subject_template="{{ symbol }}",
            body_template="<p>Hi</p>",
            version=version,
            status=status,
        )
    there.add("message_templates", channel="zalo_oa", template_name="price", body_template="Hi {{ first_name }}")
    _take(sender, there)
    rows = sender.rows(
        "SELECT template, version, channel_kind, state, body_html, body_text FROM campaigns.message_template"
        " ORDER BY template, version"
    )
    assert [row[1:] for row in rows] == [
        (1, "email", "archived", "<p>Hi</p>", None),
        (2, "email", "draft", "<p>Hi</p>", None),
        (1, "webhook", "draft", None, "Hi {{ first_name }}"),
    ]
    assert rows[2][0] == "zalo.price"


def test_what_cannot_be_taken_is_kept_with_its_reason(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, (person,) = workers(), sender.people(1)
    there.add("marketing_event", **_event())
    _delivered(there, "sent", person, marketing_event_id="NEWS_EVENT_5")
    there.add("message_templates", channel="email", template_name="old", body_template="", template_engine="liquid")
    there.add("consent_management", profile_id="nobody", channel="email", is_allowed=True)
    there.add("activation_outcomes", outcome_type="click", profile_id=person)
    found = _take(sender, there)
    assert {table for table, _ in found.left_out} == {
        "delivery_log",
        "message_templates",
        "consent_management",
        "activation_outcomes",
    }
    with tenant_transaction(sender.connection, sender.tenant_id):
        kept = rejected.waiting(sender.connection, sender.tenant_id)
    assert {(each.source, each.document_key.split()[0], each.code) for each in kept} == {
        ("leo-activation", "delivery_log", "no_event"),
        ("leo-activation", "message_templates", "engine"),
        ("leo-activation", "consent_management", "no_profile"),
    }
    # What can be taken later is no longer kept.
    sender.profiles({"profile_id": "nobody"})
    _take(sender, there)
    with tenant_transaction(sender.connection, sender.tenant_id):
        assert len(rejected.waiting(sender.connection, sender.tenant_id)) == 2


def test_an_event_that_was_planned_here_keeps_its_id_and_gets_no_foreign_deliveries(
    sender: Sender, workers: Callable[..., LeoWorkers]
) -> None:
    there, (person,) = workers(), sender.people(1)
    sender.event("summer")
    there.add("marketing_event", **_event())
    _delivered(there, "sent", person)
    found = _take(sender, there)
    assert sum(found.left_out.values()) == 2
    assert (sender.status("summer"), sender.states("summer")) == ("planned", {})


def test_values_that_are_taken_with_a_change_are_counted(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, people = workers(), sender.people(2)
    there.add("marketing_event", **_event(marketing_event_type="IN_APP", marketing_event_channel="Web Push"))
    _delivered(there, "dunno", people[0])
    _delivered(there, "sent", "nobody")
    _delivered(there, "pending", people[1])
    found = _take(sender, there)
    assert {table for table, _ in found.remarks} == {"marketing_event", "delivery_log"}
    assert sum(found.remarks.values()) == 3
    assert sender.states("summer") == {"failed no_outcome": 1, "confirmed": 1, "excluded not_sent": 1}
    assert _events(sender)["summer"][2] == "web_push"


def test_recent_messages_there_count_for_the_caps_here(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, (person,) = workers(), sender.people(1)
    there.add("marketing_event", **_event())
    _delivered(there, "sent", person)
    _take(sender, there)
    assert sender.rows("SELECT profile_id, handed_over_at FROM campaigns.delivery_log") == [(person, _THEN)]


def test_an_erased_person_does_not_come_back_by_an_import(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there, (person,) = workers(), sender.people(1)
    there.add("marketing_event", **_event())
    there.add("consent_management", profile_id=person, channel="email", is_allowed=True)
    _delivered(there, "sent", person)
    persons.erase(sender.connection, sender.tenant_id, [person])
    _take(sender, there)
    assert person not in str(sender.rows("SELECT d FROM campaigns.delivery_log AS d"))
    assert sender.rows("SELECT FROM campaigns.consent_management") == []
    assert sender.states("summer") == {"confirmed": 1}


def test_another_tenant_of_theirs_has_to_be_named(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there = workers()
    there.connection.execute("INSERT INTO tenant VALUES (gen_random_uuid(), 'other')")
    with pytest.raises(ConfigurationError, match="--source-tenant"):
        _take(sender, there)


def test_a_database_that_is_not_theirs_is_named(sender: Sender, workers: Callable[..., LeoWorkers]) -> None:
    there = workers()
    there.connection.execute("DROP TABLE marketing_event")
    with pytest.raises(SourceError, match="LEO_ACTIVATION_DATABASE_URL"):
        _take(sender, there)


def test_tenants_are_apart(
    sender: Sender, new_sender: Callable[[str], Sender], workers: Callable[..., LeoWorkers]
) -> None:
    there, other = workers(), new_sender("globex")
    there.add("marketing_event", **_event())
    _take(sender, there)
    assert _events(sender).keys() == {"summer"}
    assert _events(other) == {}
