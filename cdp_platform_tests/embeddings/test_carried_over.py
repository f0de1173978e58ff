"""What the migration to gate and spend does with the queue, the pauses and the costs of a running installation."""

from datetime import timedelta
from decimal import Decimal

from cdp_platform.embeddings import worker
from cdp_platform.warehouse import migrate
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings
from cdp_platform_tests.embeddings.texts import INSERT, Recorder, Tenant

# Revision 0016 with a worker at work: p1 waits, p2 is with the worker, p3 with a worker that vanished, p4 was given up,
# and p5 has its vector. Each token costs a dollar, the model is paused for ten minutes, and 48 dollars are spent today.
RUNNING = """
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
TEXTS = {"p1": "hanoi", "p2": "hue", "p3": "saigon", "p4": "vinh", "p5": "dalat"}


def test_jobs_pauses_and_costs_of_a_running_installation_go_on_and_nothing_is_sent_twice(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate.migrate(settings, revision="0016")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        superuser.execute(INSERT, [list(TEXTS), list(TEXTS.values()), "acme"])
        superuser.execute(RUNNING.encode())
    # As the owner, whom the policies bind, and who sees no row of any tenant.
    migrate.migrate(settings)
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

    with connect(settings) as app:
        acme = Tenant(Warehouse(settings, server), app, "acme")
        # The model stays paused, for the same reason.
        result = drain()
        assert (result.calls, "is paused until" in (result.note or ""), provider.batches) == (0, True, [])
        ((seconds, reason),) = app.execute(
            "SELECT extract(epoch FROM rests_until - now()), reason FROM ops.gate"
        ).fetchall()
        assert 500 < seconds <= 600
        assert reason == "HTTP 503"
        app.execute("UPDATE ops.gate SET rests_until = now()")
        # The budget is used up.
        result = drain(Decimal(48))
        assert (result.calls, result.note) == (0, "the budget of $48 for today (UTC) is used up; 2 texts wait")
        acme.retry()
        acme.change("UPDATE embeddings.embedding_job SET status = 'dead' WHERE entity_id = 'p4'")
        # What waits is sent once. The other worker's text is left to it until its lease ends.
        drain()
        assert sorted(provider.texts) == ["hanoi", "saigon"]
        assert acme.jobs() == {
            "p1": "completed",
            "p2": "processing",
            "p3": "completed",
            "p4": "dead",
            "p5": "completed",
        }
        acme.expire_leases()
        drain()
        assert sorted(provider.texts) == ["hanoi", "hue", "saigon"]
        acme.change("UPDATE embeddings.embedding_job SET not_before = now() - %s", timedelta(days=1))
        drain()
        assert len(provider.texts) == 3
        assert acme.usage()[3] > 48
