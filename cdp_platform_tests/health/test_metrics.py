"""Metrics are what the tables say, in the format that Prometheus reads, for any number of tenants."""

import re
import time
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdp_platform.health import metrics
from cdp_platform.ops import tenants
from cdp_platform.ops.alerts import Trouble, note
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse

LABELS = {family.name: family.labels for family in metrics.FAMILIES}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"


def read(
    app: psycopg.Connection, *, most_tenants: int = 200, dagster: str | None = None
) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by family, and by the values of its labels."""
    text = metrics.render(app, dagster, most_tenants=most_tenants).decode()
    return {
        family.name: {
            tuple(sample.labels[label] for label in LABELS[family.name]): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def reject(app: psycopg.Connection, tenant_id: str, documents: int) -> None:
    with tenant_transaction(app, tenant_id):
        app.execute(
            "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
            " SELECT %s, 'cdp_profile', i::text, 'not_a_number', '$', 'Jane Doe', '{}'"
            " FROM generate_series(1, %s) AS i",
            [tenant_id, documents],
        )


def test_figures_are_those_of_the_tables_by_tenant_and_room(app: psycopg.Connection):
    for tenant_id in ("acme", "beta"):
        tenants.add(app, tenant_id, arango_database=tenant_id)
    reject(app, "acme", 3)
    with tenant_transaction(app, "beta"):
        app.execute(
            "INSERT INTO embeddings.text_batch (tenant_id, kind, entity_ids, enqueued_at)"
            " VALUES ('beta', 'profile', '{a,b,c}', now() - interval '90 seconds')"
        )
        app.execute(
            "INSERT INTO embeddings.spend (tenant_id, account, day, unit, amount)"
            " VALUES ('beta', 'openai', (now() AT TIME ZONE 'UTC')::date, 'USD', 1.25)"
        )
        app.execute(
            "INSERT INTO ops.sync_watermark (tenant_id, source, last_success_at)"
            " VALUES ('beta', 'cdp_profile', now() - interval '10 minutes')"
        )
    app.execute("INSERT INTO ops.gate (name, open_until) VALUES ('apollo', now() + interval '1 minute')")
    note(app, [Trouble("breaker", "apollo", "Not called."), Trouble("stale", "cdp_profile", "Late.", tenant="acme")])
    found = read(app)
    assert found["cdp_tenants"] == {(): 2}
    assert found["cdp_rejected_documents"] == {("acme", "customers", "cdp_profile"): 3}
    assert found["cdp_queue_size"] == {("beta", "embeddings", "profile"): 3}
    assert found["cdp_queue_oldest_age_seconds"]["beta", "embeddings", "profile"] == pytest.approx(90, abs=30)
    assert found["cdp_spent_today"] == {("beta", "embeddings", "USD"): 1.25}
    assert found["cdp_source_read_age_seconds"]["beta", "customers", "cdp_profile"] == pytest.approx(600, abs=30)
    assert found["cdp_alerts_open"] == {("", "breaker"): 1, ("acme", "stale"): 1}
    assert found["cdp_breaker_open"] == {("apollo",): 1}
    assert found["cdp_up"] == {("warehouse",): 1}


def test_tenants_beyond_the_limit_are_put_together(app: psycopg.Connection):
    for number, tenant_id in enumerate(("a", "b", "c"), 1):
        tenants.add(app, tenant_id, arango_database=tenant_id)
        reject(app, tenant_id, number)
    with tenant_transaction(app, "c"):
        app.execute("UPDATE ops.tenant SET created_at = now() - interval '1 hour'")
    found = read(app, most_tenants=1)
    assert found["cdp_rejected_documents"] == {
        ("a", "customers", "cdp_profile"): 1,
        ("other", "customers", "cdp_profile"): 5,
    }
    ages = found["cdp_source_read_age_seconds"]
    assert ages["other", "customers", "cdp_profile"] == pytest.approx(3600, abs=60), "the oldest, and no sum"
    assert found["cdp_tenants"] == {(): 3}


def test_every_family_is_as_prometheus_wants_it():
    assert len(metrics.FAMILIES) <= 20
    assert len({family.name for family in metrics.FAMILIES}) == len(metrics.FAMILIES)
    for family in metrics.FAMILIES:
        assert re.fullmatch(r"cdp_[a-z]+(_[a-z]+)*", family.name), family.name
        # Endings that mean a counter, a part of a histogram, or no base unit.
        assert not re.search(r"_(total|count|sum|bucket|info|ms|milliseconds|minutes|hours|days)$", family.name)
        assert ("_age_" in family.name or "_wait_" in family.name) == bool(
            re.search(r"(age|wait)_seconds$", family.name)
        )
        assert family.about.endswith((".", "failed."))
        assert "tenant" not in family.labels[1:], "the tenant comes first, as its values are put together"


def test_each_family_has_its_help_and_type_even_without_a_value(app: psycopg.Connection):
    text = metrics.render(app, None, most_tenants=1).decode()
    for family in metrics.FAMILIES:
        assert f"# HELP {family.name} {family.about}\n# TYPE {family.name} gauge\n" in text


def test_no_figure_names_a_person(app: psycopg.Connection):
    tenants.add(app, "acme", arango_database="acme")
    reject(app, "acme", 1)
    note(app, [Trouble("run", "customers_sync", "sk-secret Jane Doe", tenant="acme")])
    text = metrics.render(app, None, most_tenants=1).decode()
    assert "acme" in text
    assert "Jane" not in text
    assert "secret" not in text


def test_of_a_dagster_that_is_away_only_that_is_said(app: psycopg.Connection):
    found = read(app, dagster="host=127.0.0.1 port=1 dbname=x")
    assert found["cdp_up"] == {("warehouse",): 1, ("dagster",): 0}
    assert found["cdp_dagster_runs"] == {}


def test_a_thousand_tenants_take_less_than_a_second(app: psycopg.Connection, warehouse: Warehouse):
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO ops.tenant (tenant_id, name, arango_database)"
            " SELECT 't' || i, 't' || i, 'd' || i FROM generate_series(1, 1000) AS i"
        )
        connection.execute(
            "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
            " SELECT 't' || i, 'cdp_profile', j::text, 'x', '$', '', '{}'"
            " FROM generate_series(1, 1000) AS i, generate_series(1, 5) AS j"
        )
        connection.execute("ANALYZE")
    metrics.render(app, None, most_tenants=200)
    began = time.process_time()
    metrics.render(app, None, most_tenants=200)
    assert time.process_time() - began < 1


def test_the_page_has_the_table_of_families():
    rows = [
        f"| `{family.name}` | {', '.join(f'`{label}`' for label in family.labels)} | {family.about} |"
        for family in metrics.FAMILIES
    ]
    table = "\n".join(["| Family | Labels | What it says |", "|---|---|---|", *rows])
    assert table in PAGE.read_text(), f"docs/operating.md is out of date; it needs:\n{table}"
