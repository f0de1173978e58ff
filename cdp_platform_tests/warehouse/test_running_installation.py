"""What the migration from revision 0016 makes of an installation at work: nothing is paid or written twice.

Each mechanism has a function that writes what the version of 0016 had at that moment, and tests of what became of it.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from cdp_platform.embeddings import worker
from cdp_platform.embeddings.reconcile import reconcile
from cdp_platform.errors import PacedError
from cdp_platform.ops import tenants
from cdp_platform.ops.gate import MINUTE, Gate
from cdp_platform.referrals.worksheets import RAW_DATA
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings
from cdp_platform_tests.embeddings.texts import INSERT, Recorder, Tenant
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import Tracker
from cdp_platform_tests.sheets_stub import SheetsStub

ACCOUNT = "google-sheets cdp@project.iam.gserviceaccount.com"


def turns_taken(superuser: psycopg.Connection) -> None:
    """All but one of the writes of a minute are taken; reads were asked to rest."""
    superuser.execute(
        "SELECT ops.take_turn(%s, 60) FROM generate_series(1, 59)",
        [f"{ACCOUNT} writes"],
    )
    superuser.execute("SELECT ops.take_turn(%s, 60), ops.rest(%s, 300)", [f"{ACCOUNT} reads", f"{ACCOUNT} reads"])


# A worker is at work: p1 waits, p2 is with the worker, p3 with a worker that vanished, p4 was given up, and p5 has its
# vector. Each token costs a dollar, the model is paused for ten minutes, and 48 dollars are spent today.
TEXTS = {"p1": "hanoi", "p2": "hue", "p3": "saigon", "p4": "vinh", "p5": "dalat"}
JOBS = """
UPDATE embeddings.embedding_job SET status = 'processing', claim = gen_random_uuid(),
    lease_until = now() + CASE entity_id WHEN 'p2' THEN interval '1 minute' ELSE interval '-1 second' END
WHERE entity_id IN ('p2', 'p3');
UPDATE embeddings.embedding_job SET status = 'dead', attempts = 5, content_hash = embeddings.text_hash('vinh', 1000)
WHERE entity_id = 'p4';
UPDATE embeddings.embedding_job SET status = 'completed' WHERE entity_id = 'p5';
INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, price_per_million_tokens, state,
    paused_until, pauses, pause_reason)
VALUES ('openai', 'text-embedding-3-small', 16, 1000, 1000000, 'active', now() + interval '10 minutes', 3, 'HTTP 503');
INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)
SELECT 'acme', 'profile', 'p5', model_id, array_fill(0.25::float4, ARRAY[16])::vector,
    embeddings.text_hash('dalat', 1000)
FROM embeddings.embedding_model;
INSERT INTO embeddings.passage (tenant_id, kind, entity_id, content) VALUES ('acme', 'profile', 'p5', 'dalat');
INSERT INTO embeddings.usage (tenant_id, model_id, day, calls, texts, tokens, cost)
SELECT 'acme', model_id, (now() AT TIME ZONE 'UTC')::date, 1, 12, 48, 48 FROM embeddings.embedding_model;
"""


def texts_embedded(superuser: psycopg.Connection) -> None:
    """Jobs in every state, a paused model, and a part of the day's budget."""
    superuser.execute(INSERT, [list(TEXTS), list(TEXTS.values()), "acme"])
    superuser.execute(JOBS.encode())


CONTENT: tuple[Callable[[psycopg.Connection], None], ...] = (turns_taken, texts_embedded)


@pytest.fixture(scope="module")
def migrated(server: Server) -> Iterator[psycopg.Connection]:
    """The platform's own connection to the warehouse after the migration."""
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0016")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        for write in CONTENT:
            write(superuser)
    migrate(settings)
    with connect(settings) as connection:
        yield connection


def test_turns_that_were_taken_count_for_the_gate(migrated: psycopg.Connection) -> None:
    gate = Gate(migrated, f"{ACCOUNT} writes", {MINUTE: 60})
    gate.take(wait_seconds=0)
    with pytest.raises(PacedError) as raised:
        gate.take(wait_seconds=0)
    assert 0 < raised.value.retry_after_seconds <= 61


def test_a_rest_that_was_asked_for_goes_on(migrated: psycopg.Connection) -> None:
    gate = Gate(migrated, f"{ACCOUNT} reads", {MINUTE: 60})
    closed = gate.closed()
    assert closed is not None
    assert 200 < closed.seconds <= 300
    with pytest.raises(PacedError):
        gate.take(wait_seconds=10)


def test_jobs_pauses_and_costs_of_embeddings_go_on_and_nothing_is_sent_twice(
    migrated: psycopg.Connection, server: Server
) -> None:
    settings = postgres_settings(server, migrated.info.dbname)
    acme = Tenant(Warehouse(settings, server), migrated, "acme")
    provider = Recorder()

    def drain(budget: Decimal | None = None) -> worker.DrainResult:
        return worker.drain(
            lambda: connect(settings),
            ["acme"],
            "profile",
            open_provider=lambda _model: provider,
            batch_size=10,
            budget=budget,
        )["acme"]

    # The model stays paused, for the same reason.
    result = drain()
    assert (result.calls, "is paused until" in (result.note or ""), provider.batches) == (0, True, [])
    gate = Gate(migrated, "embeddings openai text-embedding-3-small")
    closed = gate.closed()
    assert closed is not None
    assert (500 < closed.seconds <= 600, closed.reason) == (True, "HTTP 503")
    migrated.execute("UPDATE ops.gate SET rests_until = now() WHERE name = %s", [gate.name])
    # The budget is used up.
    result = drain(Decimal(48))
    assert (result.calls, result.note) == (0, "the budget of $48 for today (UTC) is used up; 2 texts wait")
    acme.change("UPDATE embeddings.text_batch SET not_before = now() WHERE not_before > now()")
    # Waiting texts are sent once. The other worker's text is left to it until its lease ends.
    drain()
    assert sorted(provider.texts) == ["hanoi", "saigon"]
    assert acme.states() == {"p2": "processing", "p4": "dead"}
    acme.expire_leases()
    drain()
    assert sorted(provider.texts) == ["hanoi", "hue", "saigon"]
    assert reconcile(migrated, "acme", "profile").enqueued == 0
    drain()
    assert len(provider.texts) == 3
    assert acme.usage()[3] > 48


def test_an_export_that_was_handed_over_is_resolved_and_nothing_is_written_twice(
    server: Server, app: psycopg.Connection, sheets_stub: SheetsStub
) -> None:
    """The spreadsheet has what the first export handed over, and nothing of the second."""
    tenants.add(app, "acme", arango_database="acme")
    tracker = Tracker(app, tenants.get(app, "acme"))
    tracker.begin()
    tracker.click(event_id="k1", user_agent="first")
    with Exporter(tracker, sheets_stub) as exporter:
        arrived = exporter.run().export_id

    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0016")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        before = Tracker(superuser, tracker.tenant)
        before.begin()
        for position, (export_id, event_id, agent, outcome) in enumerate(
            [(arrived, "k1", "first", "handed_over"), (uuid4(), "k2", "second", "unknown")], start=1
        ):
            before.click(event_id=event_id, user_agent=agent)
            superuser.execute(
                "INSERT INTO referrals.sheet_export (tenant_id, export_id, spreadsheet_id, link, snapshot_at,"
                " worksheets, rows, checksum, outcome) VALUES ('acme', %s, %s, '', now(), '{}', 1, '', %s)",
                [export_id, sheets_stub.spreadsheet_id, outcome],
            )
            superuser.execute(
                "INSERT INTO referrals.exported_event (tenant_id, spreadsheet_id, event_type, event_id, position,"
                " export_id) VALUES ('acme', %s, 'click', %s, %s, %s)",
                [sheets_stub.spreadsheet_id, event_id, position, export_id],
            )
    migrate(settings)
    with connect(settings) as connection, Exporter(Tracker(connection, tracker.tenant), sheets_stub) as exporter:
        assert exporter.ledger() == ["handed_over", "unknown"]
        exporter.run()
        assert exporter.ledger() == ["confirmed", "failed", "confirmed"]
        assert [row[8] for row in exporter.rows(RAW_DATA)[1:]] == ["first", "second"]
