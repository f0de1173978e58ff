"""What a warehouse of an older version holds of catalogues stays as it is."""

from typing import Any

from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import Server, postgres_settings
from cdp_platform_tests.warehouse.test_isolation import any_row

TABLE = "catalog.product"


def test_products_that_left_their_feed_stay_removed_and_have_no_text(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings, revision="0017")
    with server.superuser(settings.db_name) as connection:
        connection.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', '', '')")
        kept: dict[str, Any] = {"product_id": "kept", "attributes": {}}
        left = {**kept, "product_id": "left", "tombstoned_at": "2026-01-01T00:00:00Z"}
        for given in (kept, left):
            connection.execute(any_row(connection, TABLE, given), {"table": TABLE, "tenant": "acme"})
        connection.execute("DELETE FROM embeddings.embedding_job")
        migrate(settings)
        removed = "SELECT product_id, removed_at IS NOT NULL FROM catalog.product ORDER BY 1"
        assert connection.execute(removed).fetchall() == [("kept", False), ("left", True)]
        texts = "SELECT entity_id, content IS NULL FROM embeddings.entity_text WHERE kind = 'product' ORDER BY 1"
        assert connection.execute(texts).fetchall() == [("#kept", False), ("#left", True)]
        connection.execute("UPDATE catalog.product SET removed_at = NULL, name = 'Back' WHERE product_id = 'left'")
        assert connection.execute("SELECT entity_ids FROM embeddings.text_batch").fetchall() == [(["#left"],)]
