"""What the tracker wrote into its own database arrives in the warehouse once and complete."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from cdp_platform.errors import BusyError, ConfigurationError, SourceError
from cdp_platform.ops import locks, rejected, tenants, watermark
from cdp_platform.referrals import tracker as tracker_module
from cdp_platform.referrals.tracker import PullResult, latest_stamps, pull, row_counts
from cdp_platform.referrals.tracker_database import TrackerDatabase, open_tracker
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import PASSWORD, Server, Warehouse
from cdp_sandbox.processes import free_port

NOW = datetime.now(UTC).replace(microsecond=0)
RELATIONS = ("officer", "campaign", "referral_link", "click_event", "signup_event")
# Without constraints: the platform must not rely on any in the tracker's database.
TABLES = """
CREATE TABLE officer (tenant_id text, officer_id {id}, full_name varchar(255), is_active bool, ingested_at timestamptz);
CREATE TABLE campaign (tenant_id text, campaign_id {id}, name text, description text, starts_at timestamptz,
    ends_at timestamptz, is_active bool, ingested_at timestamptz);
CREATE TABLE referral_link (tenant_id text, referral_link_id {id}, officer_id {id}, campaign_id {id}, full_link text,
    ref_code text, is_active bool, revoke_at timestamptz, ingested_at timestamptz);
CREATE TABLE click_event (tenant_id text, click_event_id {id}, referral_link_id {id}, occurred_at timestamptz,
    ingested_at timestamptz, ip text, user_agent text, geo_country text, geo_city text, geo_region text,
    fraud_score float8);
CREATE TABLE signup_event (tenant_id text, signup_event_id {id}, click_event_id {id}, referral_link_id {id},
    occurred_at timestamptz, ingested_at timestamptz, conversion_minutes bigint, email text, fraud_score float8);
CREATE INDEX ON click_event (tenant_id, ingested_at);
CREATE INDEX ON signup_event (tenant_id, ingested_at);
"""


@dataclass
class Application:
    """The tracker's own database, written as the tracker writes it, and a role that may only read."""

    server: Server
    database: str
    tenant_id: str = "t1"
    connection: psycopg.Connection = field(init=False)
    schema: str = "referrals"

    def __post_init__(self) -> None:
        self.connection = self.server.superuser(self.database)

    def make(self, *, views: bool = False, ids: str = "text") -> None:
        """The five relations: tables, or views of tables elsewhere."""
        self.connection.execute("DROP SCHEMA IF EXISTS referrals CASCADE; DROP SCHEMA IF EXISTS app CASCADE")
        self.connection.execute("CREATE SCHEMA referrals")
        if views:
            self.schema = "app"
            self.connection.execute("CREATE SCHEMA app")
        self.connection.execute(f"SET search_path = {self.schema}")
        self.connection.execute(TABLES.format(id=ids))
        for relation in RELATIONS if views else ():
            self.connection.execute(f"CREATE VIEW referrals.{relation} AS SELECT * FROM app.{relation}")
        self.connection.execute("GRANT USAGE ON SCHEMA referrals TO test_reader")
        self.connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA referrals TO test_reader")

    @property
    def url(self) -> str:
        return f"postgresql://test_reader:{PASSWORD}@127.0.0.1:{self.server.port}/{self.database}"

    def open(self) -> AbstractContextManager[TrackerDatabase]:
        return open_tracker(self.url)

    def write(self, relation: str, *, connection: psycopg.Connection | None = None, **row: Any) -> None:
        """Insert a row, or replace the one of the same id. Values that are not given have usual defaults."""
        usual: dict[str, Any] = {
            "officer": {"full_name": "Lan Nguyễn", "is_active": True},
            "campaign": {"name": "Spring", "starts_at": NOW - timedelta(days=30), "is_active": True},
            "referral_link": {"full_link": "https://example.com/?r=1", "is_active": True},
            "click_event": {"occurred_at": NOW - timedelta(days=1), "ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
            "signup_event": {"occurred_at": NOW, "conversion_minutes": 90, "email": "an@example.com"},
        }[relation]
        values = {"tenant_id": self.tenant_id, "ingested_at": NOW - timedelta(days=1), **usual, **row}
        key = f"{relation}_id"
        connection = connection or self.connection
        if values[key] is not None:
            self.delete(relation, values[key], connection=connection)
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(self.schema, relation),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            ),
            list(values.values()),
        )

    def add(self, relation: str, **row: Any) -> None:
        """Like `write`, but keeps an existing row of the same id."""
        key = f"{relation}_id"
        self.write(relation, **{**row, key: None})
        self.connection.execute(
            sql.SQL("UPDATE {} SET {key} = %s WHERE {key} IS NULL").format(
                sql.Identifier(self.schema, relation), key=sql.Identifier(key)
            ),
            [row[key]],
        )

    def delete(self, relation: str, key: Any, *, connection: psycopg.Connection | None = None) -> None:
        (connection or self.connection).execute(
            sql.SQL("DELETE FROM {} WHERE tenant_id = %s AND {} = %s").format(
                sql.Identifier(self.schema, relation), sql.Identifier(f"{relation}_id")
            ),
            [self.tenant_id, key],
        )

    def usual(self) -> None:
        """Two officers, two campaigns, three links, six clicks and two signups, of the last days."""
        for name in ("o1", "o2"):
            self.write("officer", officer_id=name)
        self.write("campaign", campaign_id="c1")
        self.write("campaign", campaign_id="c2", ends_at=NOW, description="=SUM(1;1)")
        for number, (officer, campaign) in enumerate([("o1", "c1"), ("o2", "c1"), ("o2", "c2")], start=1):
            self.link(f"l{number}", officer_id=officer, campaign_id=campaign)
        for number in range(1, 7):
            self.click(f"k{number}", f"l{(number + 1) // 2}", ingested_at=NOW - timedelta(hours=10 - number))
        self.signup("s1", "l1", click_event_id="k1", ingested_at=NOW - timedelta(hours=8))
        self.signup("s2", "l2", ingested_at=NOW - timedelta(hours=5))

    def link(self, key: str, **row: Any) -> None:
        row = {"officer_id": "o1", "campaign_id": "c1", "ref_code": f"code-{key}", **row}
        self.write("referral_link", referral_link_id=key, **row)

    def click(self, key: str, link: str = "l1", **row: Any) -> None:
        self.write("click_event", click_event_id=key, referral_link_id=link, **row)

    def signup(self, key: str, link: str = "l1", **row: Any) -> None:
        self.write("signup_event", signup_event_id=key, referral_link_id=link, **row)


@dataclass
class Room:
    """A tenant of the warehouse and its tracker."""

    connection: psycopg.Connection
    warehouse: Warehouse
    application: Application
    tenant_id: str = "t1"

    def pull(self, **options: Any) -> PullResult:
        return pull(self.connection, self.application.open, self.tenant_id, **options)

    def rows(
        self, relation: LiteralString, columns: LiteralString = "*", *, tenant_id: str | None = None
    ) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, tenant_id or self.tenant_id):
            return self.connection.execute(f"SELECT {columns} FROM referrals.{relation} ORDER BY 1, 2").fetchall()

    def keys(self, relation: LiteralString) -> list[str]:
        return [key for key, _ in self.rows(relation, f"{relation}_id, 1")]

    def one(self, relation: LiteralString, key: str, columns: LiteralString) -> Any:
        with tenant_transaction(self.connection, self.tenant_id):
            return self.connection.execute(
                f"SELECT {columns} FROM referrals.{relation} WHERE {relation}_id = %s", [key]
            ).fetchone()

    def waiting(self) -> dict[tuple[str, str], tuple[str, str]]:
        with tenant_transaction(self.connection, self.tenant_id):
            records = rejected.waiting(self.connection, self.tenant_id)
        return {(r.source.removeprefix("tracker."), r.document_key): (r.code, r.path) for r in records}

    def mark(self, relation: str) -> datetime:
        with tenant_transaction(self.connection, self.tenant_id):
            states = {state.source: state for state in watermark.states(self.connection, self.tenant_id)}
        stamp = states[f"tracker.{relation}"].stamp
        assert stamp
        return datetime.fromisoformat(stamp)

    def erase(self, relation: LiteralString, key: str, *columns: LiteralString) -> None:
        assignments = ", ".join(f"{column} = NULL" for column in columns)
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(
                f"UPDATE referrals.{relation} SET erased_at = now(), {assignments} WHERE {relation}_id = %s", [key]
            )


@pytest.fixture(scope="session")
def _application(server: Server) -> Application:
    with server.superuser() as connection:
        connection.execute(f"CREATE ROLE test_reader LOGIN PASSWORD '{PASSWORD}'")
    return Application(server, server.new_database("test_owner"))


@pytest.fixture
def application(_application: Application) -> Application:
    _application.schema, _application.tenant_id = "referrals", "t1"
    _application.make()
    return _application


@pytest.fixture
def room(app: psycopg.Connection, warehouse: Warehouse, application: Application) -> Room:
    tenants.add(app, "t1", arango_database="t1")
    return Room(app, warehouse, application)


def stamps(url: str) -> dict[str, str]:
    with open_tracker(url) as tracker:
        return latest_stamps(tracker)


def figures(pulled: PullResult) -> dict[str, tuple[int, int, int, int]]:
    return {name: (c.read, c.new, c.changed, c.rejected) for name, c in pulled.relations.items()}


# --- what arrives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [False, True], ids=["tables", "views"])
def test_what_the_tracker_wrote_arrives(room: Room, views: bool):
    room.application.make(views=views)
    room.application.usual()
    assert figures(room.pull()) == {
        "officer": (2, 2, 0, 0),
        "campaign": (2, 2, 0, 0),
        "referral_link": (3, 3, 0, 0),
        "click_event": (6, 6, 0, 0),
        "signup_event": (2, 2, 0, 0),
    }
    for relation in tracker_module.RELATIONS:
        columns = ", ".join(name for name in relation.columns if name != "ingested_at")
        there = room.application.connection.execute(f"SELECT {columns} FROM {relation.name} ORDER BY 1, 2").fetchall()
        assert room.rows(relation.name, columns) == there
        assert there
    assert room.waiting() == {}


def test_ids_that_are_uuids_arrive_as_their_text(room: Room):
    room.application.make(ids="uuid")
    number = itertools.count(1)
    officer, campaign, link, click, signup = (str(UUID(int=next(number))) for _ in RELATIONS)
    room.application.write("officer", officer_id=officer)
    room.application.write("campaign", campaign_id=campaign)
    room.application.link(link, officer_id=officer, campaign_id=campaign)
    room.pull()
    # Also in an incremental read, which asks for waiting rows by their ids.
    room.application.click(click, str(UUID(int=99)), ingested_at=NOW - timedelta(hours=9))
    room.application.signup(signup, link, click_event_id=click)
    room.pull()
    assert room.waiting() == {("click_event", click): ("unknown_link", "$.referral_link_id")}
    room.application.link(str(UUID(int=99)), officer_id=officer, campaign_id=campaign, ref_code="other")
    room.pull()
    assert room.keys("click_event") == [click]
    assert room.rows("signup_event", "signup_event_id, click_event_id") == [(signup, click)]


def test_a_second_run_touches_no_row(room: Room):
    room.application.usual()
    room.pull()
    before = {relation: room.rows(relation, "*, xmin, xmax, ctid") for relation in RELATIONS}
    for options in ({}, {"full": True}):
        pulled = room.pull(**options)
        assert pulled.new == pulled.changed == 0
        assert pulled.read > 0
        assert {relation: room.rows(relation, "*, xmin, xmax, ctid") for relation in RELATIONS} == before


def test_only_what_differs_is_written(room: Room):
    room.application.usual()
    room.pull()
    before = {relation: dict(room.rows(relation, f"{relation}_id, xmin::text")) for relation in RELATIONS}
    room.application.write("officer", officer_id="o2", full_name="Renamed", ingested_at=NOW)
    room.application.click("k6", "l3", fraud_score=8.5, ingested_at=NOW)
    pulled = room.pull()
    assert pulled.relations["officer"].changed == pulled.relations["click_event"].changed == 1
    assert (pulled.new, pulled.changed) == (0, 2)
    after = {relation: dict(room.rows(relation, f"{relation}_id, xmin::text")) for relation in RELATIONS}
    touched = {key for name in RELATIONS for key in after[name] if after[name][key] != before[name][key]}
    assert touched == {"o2", "k6"}
    assert room.one("click_event", "k6", "fraud_score") == (8.5,)
    assert room.one("officer", "o2", "full_name") == ("Renamed",)


def test_a_changed_event_has_its_day_counted_again(room: Room):
    room.application.usual()
    room.pull()
    with tenant_transaction(room.connection, "t1"):
        room.connection.execute("DELETE FROM referrals.touched_quarter")
    room.pull(full=True)
    assert room.rows("touched_quarter") == []
    room.application.click("k6", "l3", fraud_score=8.5, ingested_at=NOW)
    room.pull()
    assert len(room.rows("touched_quarter")) == 1


def test_only_rows_of_the_tenant_are_taken(room: Room):
    room.application.usual()
    tenants.add(room.connection, "t2", arango_database="t2")
    room.application.tenant_id = "t2"
    room.application.write("officer", officer_id="o1", full_name="Another")
    assert room.pull().relations["officer"].read == 2
    assert room.rows("officer", tenant_id="t2") == []
    pull(room.connection, room.application.open, "t2")
    assert [name for _, name in room.rows("officer", "officer_id, full_name", tenant_id="t2")] == ["Another"]
    assert room.one("officer", "o1", "full_name") == ("Lan Nguyễn",)


def test_a_tenant_of_whom_the_tracker_has_nothing_is_no_error(room: Room):
    pulled = room.pull()
    assert (pulled.read, pulled.new, pulled.changed, pulled.rejected_by_code.total()) == (0, 0, 0, 0)


def test_what_the_tracker_deletes_stays(room: Room):
    room.application.usual()
    room.pull()
    for relation in RELATIONS:
        room.application.connection.execute(f"DELETE FROM {relation}")
    room.pull(full=True)
    assert row_counts(room.connection, "t1") == dict(zip(RELATIONS, [2, 2, 3, 6, 2], strict=True))


def test_progress_is_told_after_each_relation(room: Room):
    room.application.usual()
    told: list[tuple[int, int | None]] = []
    room.pull(progress=lambda *figures: told.append(figures))
    assert told == [(2, None), (4, None), (7, None), (13, None), (15, None)]


# --- how far it was read ----------------------------------------------------------------------------------------------


def test_an_event_that_is_committed_late_is_not_missed(room: Room):
    room.application.usual()
    with room.application.server.superuser(room.application.database) as late:
        late.autocommit = False
        room.application.click("late", "l1", ingested_at=NOW - timedelta(minutes=50), connection=late)
        room.application.click("soon", "l1", ingested_at=NOW)
        room.pull()
        assert "late" not in room.keys("click_event")
        assert room.mark("click_event") == NOW
        late.commit()
    counted = room.pull().relations["click_event"]
    assert (counted.new, counted.full) == (1, False)
    assert "late" in room.keys("click_event")


def test_an_event_with_an_old_stamp_is_noticed_by_counting(room: Room):
    room.application.usual()
    room.pull()
    room.application.click("restored", "l1", ingested_at=NOW - timedelta(days=9))
    counted = room.pull().relations["click_event"]
    assert (counted.new, counted.full) == (1, True)
    assert not room.pull().relations["click_event"].full


def test_events_of_one_stamp_are_all_taken(room: Room):
    room.application.usual()
    room.application.click("a", "l1", ingested_at=NOW)
    room.pull()
    for key in ("0", "b", "c"):
        room.application.click(key, "l1", ingested_at=NOW)
    assert room.pull().relations["click_event"].new == 3


def test_only_the_last_hour_is_read_again(room: Room):
    room.application.usual()
    room.application.click("a", "l1", ingested_at=NOW)
    room.application.click("b", "l1", ingested_at=NOW - tracker_module.OVERLAP)
    room.pull()
    counted = room.pull().relations["click_event"]
    assert (counted.read, counted.full) == (2, False)
    assert room.pull(full=True).relations["click_event"].read == 8


def test_a_stamp_in_the_future_does_not_hide_what_comes_after_it(room: Room):
    room.application.usual()
    room.application.click("ahead", "l1", ingested_at=NOW + timedelta(days=400))
    room.pull()
    assert room.mark("click_event") < NOW
    room.application.click("next", "l1", ingested_at=NOW)
    room.pull()
    assert {"ahead", "next"} <= set(room.keys("click_event"))


def test_in_another_database_the_position_means_nothing(room: Room):
    room.application.usual()
    room.pull()
    other = Application(room.application.server, room.application.server.new_database("test_owner"))
    other.make()
    other.usual()
    other.click("old", "l1", ingested_at=NOW - timedelta(days=90))
    other.delete("click_event", "k6")
    counted = pull(room.connection, other.open, "t1").relations["click_event"]
    assert (counted.read, counted.new, counted.full) == (6, 1, True)
    other.connection.close()


def test_all_is_of_one_moment(room: Room):
    """A link and its click are written between the reads of links and clicks: either both arrive or none."""
    room.application.usual()

    def meanwhile(read: int, _total: int | None) -> None:
        if read == 7:
            room.application.link("l9")
            room.application.click("k9", "l9", ingested_at=NOW)

    assert room.pull(progress=meanwhile).relations["click_event"].read == 6
    assert room.waiting() == {}
    room.pull()
    assert "k9" in room.keys("click_event")


# --- what cannot be taken ---------------------------------------------------------------------------------------------


def test_what_cannot_be_taken_waits_and_the_rest_lands(room: Room):
    room.application.usual()
    app = room.application
    app.write("officer", officer_id="nameless", full_name=None)
    app.write("campaign", campaign_id="backwards", ends_at=NOW - timedelta(days=60))
    app.write("campaign", campaign_id="eternal", starts_at="-infinity")
    app.write("campaign", campaign_id="endless", ends_at="infinity")
    app.write("officer", officer_id="timeless", ingested_at="infinity")
    app.link("no-officer", officer_id="nobody")
    app.link("no-campaign", campaign_id="backwards")
    app.link("same-code", ref_code="code-l1", ingested_at=NOW)
    app.link("no-code", ref_code=None)
    app.click("no-link", "nowhere")
    app.click("of-rejected-link", "same-code")
    app.click("never", "l1", occurred_at="infinity")
    app.click("unstamped", "l1", ingested_at=None)
    app.signup("negative", "l1", conversion_minutes=-1)
    app.signup("ages", "l1", conversion_minutes=3_000_000_000)
    app.signup("endless", "l1", email="x" * 5000)
    app.signup("no-moment", "l1", occurred_at=None)
    app.write("signup_event", signup_event_id=None, referral_link_id="l1")
    pulled = room.pull()
    assert room.waiting() == {
        ("officer", "nameless"): ("value_missing", "$.full_name"),
        ("campaign", "backwards"): ("ends_before_start", "$.ends_at"),
        ("campaign", "eternal"): ("not_a_moment", "$.starts_at"),
        ("campaign", "endless"): ("not_a_moment", "$.ends_at"),
        ("officer", "timeless"): ("not_a_moment", "$.ingested_at"),
        ("referral_link", "no-officer"): ("unknown_officer", "$.officer_id"),
        ("referral_link", "no-campaign"): ("unknown_campaign", "$.campaign_id"),
        ("referral_link", "same-code"): ("duplicate_ref_code", "$.ref_code"),
        ("referral_link", "no-code"): ("value_missing", "$.ref_code"),
        ("click_event", "no-link"): ("unknown_link", "$.referral_link_id"),
        ("click_event", "of-rejected-link"): ("unknown_link", "$.referral_link_id"),
        ("click_event", "never"): ("not_a_moment", "$.occurred_at"),
        ("click_event", "unstamped"): ("value_missing", "$.ingested_at"),
        ("signup_event", "negative"): ("not_a_duration", "$.conversion_minutes"),
        ("signup_event", "ages"): ("not_a_duration", "$.conversion_minutes"),
        ("signup_event", "endless"): ("value_too_long", "$.email"),
        ("signup_event", "no-moment"): ("value_missing", "$.occurred_at"),
        ("signup_event", ""): ("value_missing", "$.signup_event_id"),
    }
    assert pulled.rejected_by_code.total() == len(room.waiting())
    assert pulled.relations["signup_event"].rejected_by_code == {
        "not_a_duration": 2,
        "value_too_long": 1,
        "value_missing": 2,
    }
    assert [len(room.rows(relation)) for relation in RELATIONS] == [2, 2, 3, 6, 2]


def test_what_waits_says_nothing_of_a_person(room: Room):
    room.application.usual()
    room.application.click("no-link", "nowhere", ip="198.51.100.9", user_agent="Of a person", geo_city="Huế")
    room.application.signup("negative", "l1", conversion_minutes=-1, email="mai@example.com")
    room.pull()
    with tenant_transaction(room.connection, "t1"):
        kept = {record.document_key: record.document for record in rejected.waiting(room.connection, "t1")}
    assert set(kept) == {"no-link", "negative"}
    assert kept["negative"]["conversion_minutes"] == -1
    for word in ("198.51.100.9", "Of a person", "Huế", "mai@example.com"):
        assert word not in str(kept)


def test_a_click_that_came_before_its_link_is_taken_when_the_link_comes(room: Room):
    room.application.usual()
    room.application.click("early", "l9", ingested_at=NOW - timedelta(days=3))
    room.pull()
    assert ("click_event", "early") in room.waiting()
    room.application.link("l9")
    pulled = room.pull().relations["click_event"]
    assert (pulled.new, pulled.rejected_by_code.total(), pulled.full) == (1, 0, False)
    assert room.waiting() == {}


def test_an_id_may_hold_any_character(room: Room):
    room.application.usual()
    odd = """%s {"a\\b", 'c'} %(x)s"""
    room.application.click(odd, "l9", ingested_at=NOW - timedelta(days=3))
    room.pull()
    room.application.link("l9")
    assert room.pull().relations["click_event"].new == 1
    assert odd in room.keys("click_event")


def test_a_waiting_click_that_the_tracker_deleted_waits_no_more(room: Room):
    room.application.usual()
    room.application.click("early", "l9", ingested_at=NOW - timedelta(days=3))
    room.application.click("wrong", "l1", occurred_at=None, ingested_at=NOW - timedelta(days=3))
    room.pull()
    assert set(room.waiting()) == {("click_event", "early"), ("click_event", "wrong")}
    for key in ("early", "wrong"):
        room.application.delete("click_event", key)
    room.application.link("l9")
    room.pull()
    assert set(room.waiting()) == {("click_event", "wrong")}
    room.pull(full=True)
    assert room.waiting() == {}


def test_a_mended_row_waits_no_more(room: Room):
    room.application.usual()
    room.application.write("officer", officer_id="o3", full_name=None)
    room.application.signup("s3", "l1", conversion_minutes=-1)
    room.pull()
    assert len(room.waiting()) == 2
    room.application.write("officer", officer_id="o3")
    room.application.signup("s3", "l1", conversion_minutes=1, ingested_at=NOW)
    room.pull()
    assert room.waiting() == {}
    assert "o3" in room.keys("officer")
    assert "s3" in room.keys("signup_event")


def test_a_row_that_goes_wrong_stays_as_it_was_last_right(room: Room):
    room.application.usual()
    room.pull()
    room.application.write("campaign", campaign_id="c2", ends_at=NOW - timedelta(days=60))
    room.pull()
    assert set(room.waiting()) == {("campaign", "c2")}
    assert room.one("campaign", "c2", "ends_at") == (NOW,)


def test_of_two_rows_of_one_id_the_newer_is_taken(room: Room):
    room.application.usual()
    room.application.add("click_event", click_event_id="k1", referral_link_id="l1", geo_city="Huế", ingested_at=NOW)
    pulled = room.pull().relations["click_event"]
    assert (pulled.read, pulled.new, pulled.rejected_by_code.total()) == (7, 6, 1)
    assert room.one("click_event", "k1", "geo_city") == ("Huế",)
    assert room.waiting() == {("click_event", "k1"): ("duplicate_id", "$.click_event_id")}


def test_a_code_that_moves_to_another_link_gets_there(room: Room):
    room.application.usual()
    room.pull()
    room.application.link("l1", ref_code="new")
    room.application.link("l0", ref_code="code-l1")
    room.pull()
    assert room.one("referral_link", "l1", "ref_code") == ("new",)
    assert set(room.waiting()) == {("referral_link", "l0")}
    room.pull()
    assert room.waiting() == {}
    assert room.one("referral_link", "l0", "ref_code") == ("code-l1",)


# --- erased persons ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_what_was_erased_stays_erased(room: Room, full: bool):
    room.application.usual()
    room.pull()
    room.erase("click_event", "k1", "ip", "user_agent", "geo_country", "geo_city", "geo_region")
    room.erase("signup_event", "s1", "email")
    room.application.click("k1", "l1", geo_city="Huế", fraud_score=9, ingested_at=NOW)
    room.application.signup("s1", "l1", click_event_id="k1", email="new@example.com", ingested_at=NOW)
    assert room.pull(full=full).relations["click_event"].changed == 1
    columns = "ip, user_agent, geo_country, geo_city, geo_region, erased_at IS NULL, fraud_score"
    assert room.one("click_event", "k1", columns) == (None, None, None, None, None, False, 9)
    assert room.one("signup_event", "s1", "email, erased_at IS NULL") == (None, False)
    assert room.pull(full=True).changed == 0


def test_a_click_that_comes_after_its_signup_was_erased_says_nothing(room: Room):
    room.application.usual()
    room.application.signup("s9", "l1", click_event_id="k9", ingested_at=NOW)
    room.pull()
    room.erase("signup_event", "s9", "email")
    room.application.click("k9", "l1", ingested_at=NOW)
    room.pull()
    assert room.one("click_event", "k9", "ip, user_agent, erased_at IS NULL") == (None, None, False)


# --- trouble ----------------------------------------------------------------------------------------------------------


def refused(room: Room, url: str | None = None) -> str:
    with pytest.raises((ConfigurationError, SourceError)) as raised:
        pull(room.connection, lambda: open_tracker(room.application.url if url is None else url), "t1")
    with pytest.raises(type(raised.value)) as asked:
        stamps(room.application.url if url is None else url)
    assert str(asked.value)
    for error in (raised.value, asked.value):
        assert "\n" not in str(error)
        assert PASSWORD not in str(error)
        assert "s3cret" not in str(error)
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "mysql://u:s3cret@127.0.0.1/db",
        "postgresql://u:p@s3cret@127.0.0.1/db",
        "postgresql://u:12/s3cret@127.0.0.1/db",
        "postgresql://u:p/s3cret@127.0.0.1/db",
        "postgresql://u:s3cret%zz@127.0.0.1/db",
        "postgresql://u:s3cret@127.0.0.1",
    ],
)
def test_a_url_that_is_none_is_named_without_its_password(room: Room, url: str):
    assert "REFERRAL_DATABASE_URL" in refused(room, url)


def test_a_server_that_is_not_there_is_named(room: Room):
    port = free_port()
    assert f"127.0.0.1:{port}/db" in refused(room, f"postgresql://u:s3cret@127.0.0.1:{port}/db")


def test_a_wrong_password_is_not_printed(room: Room):
    found = refused(room, room.application.url.replace(PASSWORD, "s3cret"))
    assert "password authentication failed" in found


def test_missing_relations_and_columns_are_named(room: Room):
    room.application.connection.execute("DROP TABLE referrals.signup_event")
    room.application.connection.execute("ALTER TABLE referrals.click_event DROP COLUMN geo_city")
    found = refused(room)
    assert "no referrals.click_event.geo_city, referrals.signup_event." in found


@pytest.mark.parametrize("right", ["USAGE ON SCHEMA referrals", "SELECT ON referrals.click_event"])
def test_a_missing_right_is_named(room: Room, right: str):
    room.application.connection.execute(f"REVOKE {right} FROM test_reader")
    found = refused(room)
    assert "test_reader" in found
    assert "GRANT" in found


def test_a_score_that_is_no_number_lands_and_flags_nothing(room: Room):
    room.application.usual()
    room.application.click("nan", "l1", fraud_score="NaN")
    room.application.click("bot", "l1", fraud_score="Infinity")
    assert not room.pull().rejected_by_code
    flagged = room.rows("click_event", "click_event_id, referrals.is_flagged(fraud_score)")
    assert {key for key, is_flagged in flagged if is_flagged} == {"bot"}
    assert "nan" in room.keys("click_event")


def test_a_value_that_cannot_be_read_is_not_repeated(room: Room):
    room.application.connection.execute("ALTER TABLE referrals.click_event ALTER fraud_score TYPE text")
    room.application.usual()
    room.application.click("k1", "l1", fraud_score="s3cret")
    with pytest.raises(SourceError) as raised:
        room.pull()
    assert "s3cret" not in str(raised.value)
    assert room.rows("officer") == []


def test_a_reading_that_breaks_off_leaves_nothing(room: Room):
    room.application.usual()

    def cut(read: int, _total: int | None) -> None:
        if read == 7:
            with room.application.server.superuser() as administrator:
                administrator.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'test_reader'"
                )

    with pytest.raises(SourceError, match="broke off") as raised:
        room.pull(progress=cut)
    assert raised.value.transient
    assert all(room.rows(relation) == [] for relation in RELATIONS)
    assert room.pull().new == 15


def test_the_tracker_is_only_read(room: Room):
    """With a role that has the right to write."""
    room.application.usual()
    url = room.application.url.replace("test_reader", "postgres")
    with open_tracker(url) as tracker, pytest.raises(SourceError, match="ReadOnlySqlTransaction"):
        tracker.query(sql.Composed([sql.SQL("DELETE FROM referrals.officer RETURNING 1")]))


def test_two_runs_of_a_tenant_do_not_meet(room: Room, monkeypatch: pytest.MonkeyPatch):
    room.application.usual()
    monkeypatch.setattr(locks, "TRACKER_WAIT_SECONDS", 0.05)
    with (
        connect(room.warehouse.settings) as other,
        locks.held(other, locks.tracker("t1")),
        pytest.raises(BusyError),
    ):
        room.pull()
    assert room.pull().new == 15


def test_an_erasure_waits_for_the_run_that_is_writing(room: Room):
    """Otherwise rows that were read before the erasure would be written after it."""
    from cdp_platform.customers.persons import erase

    room.application.usual()
    done = threading.Event()

    def erase_somebody() -> None:
        with connect(room.warehouse.settings) as connection:
            erase(connection, "t1", ["p1"])
            done.set()

    thread = threading.Thread(target=erase_somebody)

    def meanwhile(read: int, _total: int | None) -> None:
        if read == 13:
            thread.start()
            assert not done.wait(0.3)

    room.pull(progress=meanwhile)
    thread.join(timeout=30)
    assert done.is_set()


def test_a_run_that_is_killed_after_any_write_is_all_or_nothing(room: Room):
    """Each way in which rows change: new, changed, mended, rejected, there twice, waiting for a link, erased."""
    application = room.application
    numbers = itertools.count(10)

    def fresh() -> str:
        tenant_id = application.tenant_id = room.tenant_id = f"t{next(numbers)}"
        tenants.add(room.connection, tenant_id, arango_database=tenant_id)
        application.usual()
        application.click("early", "l9", ingested_at=NOW - timedelta(days=3))
        application.signup("s3", "l1", conversion_minutes=-1)
        room.pull()
        room.erase("click_event", "k1", "ip", "user_agent")
        application.write("officer", officer_id="o2", full_name="Renamed")
        application.link("l9")
        application.link("l8", ref_code="code-l1")
        application.click("k1", "l1", fraud_score=9, ingested_at=NOW)
        application.click("k7", "l2", ingested_at=NOW)
        application.click("lost", "l7", ingested_at=NOW)
        application.signup("s3", "l1", conversion_minutes=1, ingested_at=NOW)
        application.signup("s4", "l9", click_event_id="early", ingested_at=NOW)
        return tenant_id

    def work(tenant_id: str) -> None:
        with connect(room.warehouse.settings) as connection:
            pull(connection, application.open, tenant_id)

    unkilled = fresh()
    before = _snapshot(room)
    work(unkilled)
    after = _snapshot(room)
    assert all(before[table] != after[table] for table in before if table != "referrals.campaign")

    killed = 0
    for point, tenant_id in crashes.after_every_write(work, fresh):
        killed += 1
        # Before the commit and after it.
        assert _snapshot(room) in (before, after), point
        work(tenant_id)
        assert _snapshot(room) == after, point
    assert killed > 30


_CIRCUMSTANCES = {
    "tenant_id",
    "first_seen_at",
    "last_seen_at",
    "attempts",
    "moved_at",
    "last_success_at",
    "source_count",
}


def _snapshot(room: Room) -> dict[str, list[str]]:
    tables: list[LiteralString] = [
        *(f"referrals.{relation}" for relation in RELATIONS),
        "ops.rejected_record",
        "ops.sync_watermark",
    ]
    with tenant_transaction(room.connection, room.tenant_id):
        return {table: sorted(map(repr, _rows(room.connection, table))) for table in tables}


def _rows(connection: psycopg.Connection, table: LiteralString) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column.name for column in cursor.description or ()]
    for row in cursor:
        values = dict(zip(names, row, strict=True))
        for moment in ("erased_at", "resolved_at"):
            values[moment] = values.get(moment) is not None
        if table.startswith("referrals."):
            del values["ingested_at"]
        yield {name: value for name, value in values.items() if name not in _CIRCUMSTANCES}


# --- how the sensor sees that there is something new
# ----------------------------------------------------------------------


def test_a_change_shows_for_its_tenant_alone(room: Room):
    application = room.application
    application.usual()
    application.tenant_id = "t2"
    application.write("officer", officer_id="o1")
    url = application.url
    before = stamps(url)
    assert set(before) == {"t1", "t2"}
    assert stamps(url) == before
    application.tenant_id = "t1"
    writes: list[Callable[[], None]] = [
        lambda: application.write("officer", officer_id="o1", ingested_at=NOW),
        lambda: application.write("campaign", campaign_id="c1", ingested_at=NOW),
        lambda: application.link("l1", ingested_at=NOW),
        lambda: application.click("k9", "l1", ingested_at=NOW),
        lambda: application.signup("s9", "l1", ingested_at=NOW),
    ]
    for write in writes:
        write()
        after = stamps(url)
        assert after["t2"] == before["t2"]
        assert after["t1"] != before["t1"]
        before = after


def test_a_stamp_in_the_future_does_not_hide_a_change(room: Room):
    room.application.usual()
    room.application.click("ahead", "l1", ingested_at=NOW + timedelta(days=400))
    before = stamps(room.application.url)
    room.application.click("next", "l1", ingested_at=NOW)
    assert stamps(room.application.url) != before
