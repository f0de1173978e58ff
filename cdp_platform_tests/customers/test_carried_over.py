"""Rows of an installation that is older than the platform say what they should after the migration."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg.types.json import Jsonb

from cdp_platform.customers import profiles, transactions
from cdp_platform.ops import watermark
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse import migrate as migration
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, postgres_settings

CHANNELS = ("receiveEmail", "receiveSMS", "receiveWebPush", "receiveAppPush", "receiveAds")


@pytest.fixture
def older(server: Server, monkeypatch: pytest.MonkeyPatch) -> PostgresSettings:
    """A warehouse as the version of revision 0009 left it."""
    made = postgres_settings(server, server.new_database("test_owner"))
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(migration.command, "upgrade", lambda config, _head: upgrade(config, "0009"))
        migrate(made)
    return made


def insert(connection: psycopg.Connection, table: str, **row: Any) -> None:
    values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"
    connection.execute(statement.encode(), values)


def insert_profile(
    connection: psycopg.Connection, profile_id: str, *, segments: Sequence[str] = (), **fields: Any
) -> None:
    """With consent as it was stored: 0 as a refusal."""
    named: dict[str, Any] = {name: [] for name, kind in profiles.TARGET.columns if kind == "jsonb"}
    named["segments"] = [{"id": each} for each in segments]
    named |= {"ext_data": {}, "event_statistics": {}, "last_purchase_event": None, "document": fields}
    consent = {name: fields.get(channel) for name, channel in zip(COLUMNS, CHANNELS, strict=True)}
    stored = {name: None if value is None else value is True or int(value) > 0 for name, value in consent.items()}
    row = {"tenant_id": "acme", "profile_id": profile_id, "status": "active", "document_hash": b"x", **named, **stored}
    insert(connection, "customers.cdp_profiles", **row)


COLUMNS = ("receive_email", "receive_sms", "receive_web_push", "receive_app_push", "receive_ads")


def test_consent_that_was_no_data_is_no_refusal_any_more(server: Server, older: PostgresSettings):
    with server.superuser(older.db_name) as connection:
        insert(connection, "ops.tenant", tenant_id="acme", name="Acme", arango_database="acme")
        insert_profile(connection, "a", receiveEmail=1, receiveSMS=0, receiveWebPush=-1, receiveAppPush=0.0)
        insert_profile(connection, "b", receiveEmail=True, receiveSMS=False, receiveWebPush=3, receiveAds=-1)
        before = connection.execute("SELECT receive_sms FROM customers.cdp_profiles WHERE profile_id = 'a'").fetchone()
        assert before == (False,)
        queued = connection.execute("SELECT count(*) FROM embeddings.embedding_job").fetchone()
    migrate(older)
    with server.superuser(older.db_name) as connection:
        found = connection.execute(
            f"SELECT profile_id, {', '.join(COLUMNS)} FROM customers.cdp_profiles ORDER BY 1".encode()
        ).fetchall()
        assert found == [("a", True, None, False, None, None), ("b", True, False, None, None, False)]
        waits = "SELECT sum(cardinality(entity_ids)) FROM embeddings.text_batch"
        assert connection.execute(waits.encode()).fetchone() == queued
        # The triggers follow the table again, and row-level security holds for the owner.
        insert_profile(connection, "c", receiveEmail=1)
        touched = connection.execute("SELECT unnest(profile_ids) FROM customers.touched_customer").fetchall()
        assert ("c",) in touched
        forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
        assert connection.execute(forced.encode()).fetchall() == []


def test_a_source_that_was_read_by_an_older_platform_is_read_again(server: Server, older: PostgresSettings):
    with server.superuser(older.db_name) as connection:
        insert(connection, "ops.tenant", tenant_id="acme", name="Acme", arango_database="acme")
        for source in (profiles.COLLECTION, transactions.COLLECTION):
            stamp = "2026-06-01T09:05:00.000Z"
            insert(connection, "ops.sync_watermark", tenant_id="acme", source=source, database="acme", stamp=stamp)
            connection.execute("UPDATE ops.sync_watermark SET document_key = 'p1'")
    migrate(older)
    with connect(older) as connection, tenant_transaction(connection, "acme"):
        for source, version in (
            (profiles.COLLECTION, profiles.VERSION),
            (transactions.COLLECTION, transactions.VERSION),
        ):
            assert watermark.read(connection, "acme", source, database="acme") is not None
            assert watermark.read(connection, "acme", source, database="acme", mapper_version=version) is None


def test_days_with_a_score_that_is_no_number_are_counted_again(server: Server, older: PostgresSettings):
    with server.superuser(older.db_name) as connection:
        insert(connection, "ops.tenant", tenant_id="acme", name="Acme", arango_database="acme")
        insert(connection, "referrals.officer", tenant_id="acme", officer_id="o", full_name="O", is_active=True)
        insert(
            connection, "referrals.campaign", tenant_id="acme", campaign_id="c", name="C", starts_at="2026-01-01",
            is_active=True,
        )  # fmt: skip
        insert(
            connection, "referrals.referral_link", tenant_id="acme", referral_link_id="l", officer_id="o",
            campaign_id="c", full_link="https://example.com/r", ref_code="r",
        )  # fmt: skip
        for key, score in (("nan", "NaN"), ("nine", 9), ("none", None)):
            insert(
                connection, "referrals.click_event", tenant_id="acme", click_event_id=key, referral_link_id="l",
                occurred_at=f"2026-03-0{len(key)}T12:00:00Z", fraud_score=score,
            )  # fmt: skip
        connection.execute("DELETE FROM referrals.touched_quarter")
    migrate(older)
    with server.superuser(older.db_name) as connection:
        touched = connection.execute(
            "SELECT tenant_id, starts_at::date::text FROM referrals.touched_quarter"
        ).fetchall()
        assert touched == [("acme", "2026-03-03")]


def test_touched_customers_segments_and_counts_come_through_the_migration_to_batches(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0026")
    with server.superuser(settings.db_name) as connection:
        insert(connection, "ops.tenant", tenant_id="acme", name="Acme", arango_database="acme")
        insert(connection, "ops.sync_watermark", tenant_id="acme", source=profiles.COLLECTION, database="acme")
        for key, named in (("a", ["x", "y"]), ("b", ["y", "y"]), ("c", [])):
            insert_profile(connection, key)
            segments = Jsonb([{"id": each} for each in named])
            connection.execute("UPDATE customers.cdp_profiles SET segments = %s WHERE profile_id = %s", [segments, key])
            insert(
                connection, "customers.customer_metrics", tenant_id="acme", profile_id=key, currency="USD",
                freq_90d=0, avg_order_value=0, monetary_90d=0, clv_est=0, experience_score=0,
                segment="inactive" if named else "prospective", segment_reason={},
            )  # fmt: skip
        assert connection.execute("SELECT count(*) FROM customers.touched_customer").fetchone() == (3,)
    migrate(settings)
    with connect(settings) as connection, tenant_transaction(connection, "acme"):
        touched = connection.execute("SELECT profile_ids FROM customers.touched_customer").fetchall()
        assert [sorted(keys) for (keys,) in touched] == [["a", "b", "c"]]
        members = "SELECT segment_id, profile_id FROM customers.segment_member ORDER BY 1, 2"
        assert connection.execute(members).fetchall() == [("x", "a"), ("y", "a"), ("y", "b")]
        counted = "SELECT segment, number FROM customers.metrics_segment ORDER BY 1"
        assert connection.execute(counted).fetchall() == [("inactive", 2), ("prospective", 1)]
        # The next sync counts.
        assert connection.execute("SELECT held_rows FROM ops.sync_watermark").fetchall() == [(None,)]


def test_members_of_segments_come_through_the_migration_that_writes_them_with_less_work(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0029")
    members = "SELECT segment_id, profile_id FROM customers.segment_member ORDER BY 1, 2"
    with server.superuser(settings.db_name) as connection:
        insert(connection, "ops.tenant", tenant_id="acme", name="Acme", arango_database="acme")
        insert_profile(connection, "a", segments=["x", "y", "y"])
    migrate(settings)
    with server.superuser(settings.db_name) as connection:
        assert connection.execute(members).fetchall() == [("x", "a"), ("y", "a")]
        insert_profile(connection, "b", segments=["y", "y"])
        assert connection.execute(members).fetchall() == [("x", "a"), ("y", "a"), ("y", "b")]
