"""What the migration to texts of purchases and indexes of half precision does with a running installation."""

import numpy as np
import pytest

from cdp_platform.embeddings import indexes, models, search
from cdp_platform.embeddings.reconcile import reconcile
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, postgres_settings
from cdp_platform_tests.embeddings.planted import clustered
from cdp_platform_tests.warehouse.test_isolation import any_row

VECTORS = clustered(200, 16, seed=1)


@pytest.fixture
def migrated(server: Server):
    """A database of the version before, with a purchase, vectors of both kinds and an index, that was then migrated."""
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0028")
    with server.superuser(settings.db_name) as connection:
        connection.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        connection.execute(
            "INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, state)"
            " VALUES ('local', 'planted', 16, 1000, 'active')"
        )
        row = any_row(connection, "customers.transactions")
        connection.execute(row, {"table": "customers.transactions", "tenant": "acme"})
        connection.execute("UPDATE customers.transactions SET line_id = 'line', event_name = 'purchase'")
        connection.execute(
            "INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
            " SELECT 'acme', 'profile', i::text, 1, v::vector, ''"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS t (v, i)",
            [[str(vector.tolist()) for vector in VECTORS]],
        )
        connection.execute(
            "INSERT INTO embeddings.embedding VALUES ('acme', 'transaction', 'line', 1, %s::vector, '')",
            [str(VECTORS[0].tolist())],
        )
        connection.execute("SELECT embeddings.build_vector_indexes('profile', 1, 1)")
    migrate(settings)
    with connect(settings) as connection:
        yield connection


def test_no_vector_is_lost_and_the_index_is_built_anew_by_the_next_run(migrated):
    model = models.active(migrated)
    assert indexes.names(migrated, "profile", model.model_id) == []
    exact = search.nearest(migrated, "acme", "profile", model, VECTORS[7], k=5)
    assert exact[0] == ("8", pytest.approx(1))
    assert indexes.build(migrated, "profile", model.model_id) == 1
    (definition,) = migrated.execute(
        "SELECT pg_get_indexdef(%s::regclass)", [f"embeddings.{indexes.names(migrated, 'profile', model.model_id)[0]}"]
    ).fetchone()
    assert "halfvec_cosine_ops" in definition
    assert search.nearest(migrated, "acme", "profile", model, VECTORS[7], k=5) == exact
    assert np.allclose([similarity for _, similarity in exact], np.sort(VECTORS @ VECTORS[7])[::-1][:5], atol=1e-6)


def test_vectors_of_purchases_stay_until_the_comparison_has_their_texts_embedded_again(migrated):
    with tenant_transaction(migrated, "acme"):
        kept = migrated.execute("SELECT entity_id FROM embeddings.embedding WHERE kind = 'transaction'").fetchall()
    assert kept == [("line",)]
    assert reconcile(migrated, "acme", "transaction").enqueued == 1
