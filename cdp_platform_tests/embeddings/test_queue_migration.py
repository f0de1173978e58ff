"""What becomes of a queue of an older version, which has a row per text."""

from collections.abc import Iterator

import pytest

from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings
from cdp_platform_tests.embeddings.texts import INSERT, Desk, Recorder, Tenant

TEXTS = {f"p{number:04}": f"town {number}" for number in range(1_200)}
# Of the first texts: what the older version had in the row, beside texts that wait.
JOBS = """
UPDATE embeddings.embedding_job SET status = 'completed' WHERE entity_id = 'p0000';
UPDATE embeddings.embedding_job SET status = 'dead', attempts = 5, last_error = 'too odd',
    content_hash = embeddings.text_hash('town 1', 1000) WHERE entity_id = 'p0001';
UPDATE embeddings.embedding_job SET status = 'failed', attempts = 2, last_error = 'odd',
    content_hash = embeddings.text_hash('town 2', 1000), not_before = now() + interval '1 hour'
WHERE entity_id = 'p0002';
UPDATE embeddings.embedding_job SET status = 'processing', claim = gen_random_uuid(),
    lease_until = now() + interval '1 minute' WHERE entity_id = 'p0003';
UPDATE embeddings.embedding_job SET status = 'processing', claim = gen_random_uuid(),
    lease_until = now() - interval '1 minute', changed_meanwhile = true WHERE entity_id = 'p0004';
UPDATE embeddings.embedding_job SET not_before = now() + interval '1 hour' WHERE entity_id = 'p0005';
UPDATE embeddings.embedding_job SET attempts = 3, content_hash = embeddings.text_hash('town 6', 1000)
WHERE entity_id = 'p0006';
"""


@pytest.fixture
def desk(server: Server) -> Iterator[Desk]:
    """Two tenants as the older version left them, after the migration."""
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0027")
    with connect(settings) as before:
        for tenant_id in ("acme", "other"):
            tenants.add(before, tenant_id, arango_database=tenant_id)
            with tenant_transaction(before, tenant_id):
                before.execute(INSERT, [list(TEXTS), list(TEXTS.values()), tenant_id])
    with server.superuser(settings.db_name) as superuser:
        superuser.execute(JOBS.encode())
    migrate(settings)
    with connect(settings) as app:
        yield Desk(Warehouse(settings, server), app)


def test_batches_of_the_version_before_keep_their_texts_and_say_how_many_they_are(server: Server) -> None:
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0029")
    with connect(settings) as app:
        tenants.add(app, "acme", arango_database="acme")
        with tenant_transaction(app, "acme"):
            app.execute(INSERT, [list(TEXTS), list(TEXTS.values()), "acme"])
        acme = Tenant(Warehouse(settings, server), app, "acme")
        # Of 500, 500 and 200 texts.
        acme.change(
            "UPDATE embeddings.text_batch SET claim = gen_random_uuid(), lease_until = now() - interval '1 minute',"
            " attempts = 4 WHERE cardinality(entity_ids) = 200"
        )
    migrate(settings)
    with connect(settings) as app:
        desk = Desk(Warehouse(settings, server), app)
        acme = Tenant(desk.warehouse, app, "acme")
        assert acme.rows("SELECT texts FROM embeddings.text_batch ORDER BY arrival") == [(500,), (500,), (200,)]
        assert desk.counts(acme) == {"pending": 1_000, "processing": 200}
        desk.drain(Recorder(), acme)
        acme.require_right(desk.model)


def test_every_text_that_waited_waits_and_what_failed_counts_on(desk: Desk) -> None:
    acme = Tenant(desk.warehouse, desk.app, "acme")
    states = acme.states()
    assert {entity_id: states[entity_id] for entity_id in sorted(states)[:6]} == {
        "p0001": "dead",
        "p0002": "failed",
        "p0003": "processing",
        "p0004": "processing",
        "p0005": "pending",
        "p0006": "pending",
    }
    assert states.keys() == TEXTS.keys() - {"p0000"}
    batches = acme.rows("SELECT cardinality(entity_ids) FROM embeddings.text_batch ORDER BY arrival, batch_id")
    assert max(size for (size,) in batches) <= 500
    assert len(batches) <= 6
    assert acme.attempts()["p0006"] == 3
    provider = Recorder()
    desk.drain(provider, acme)
    # In the order in which they came; the text of a worker that vanished is sent, that of another worker is left to it.
    sent = [text for text in TEXTS.values() if text not in {f"town {number}" for number in (0, 1, 2, 3, 5)}]
    assert sorted(provider.texts) == sorted(sent)
    assert [text for text in provider.texts if text not in {"town 4"}] == [text for text in sent if text != "town 4"]
    assert acme.states() == {"p0001": "dead", "p0002": "failed", "p0003": "processing", "p0005": "pending"}
    acme.let_time_pass()
    desk.drain(provider, acme)
    assert acme.states() == {"p0001": "dead"}
