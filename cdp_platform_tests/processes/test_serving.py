"""What `cdp up` promises: a UI whose buttons work, changes that arrive without a person, and rest after them.

What is asked for here was asked for when `cdp up` began (`launched`, `newcomer`, `purchase`), and has had time since.
"""

from typing import Any

import httpx2
import psycopg
import pytest

from cdp_platform_tests.processes.conftest import ASSETS, Checkout, Launched, Purchase, Serving, ticks_after, wait_for

pytestmark = pytest.mark.alone

SENSORS = ("arango_changes", "automation", "embedding_queue", "tenant_registry")

# Two sensor intervals of 15 s, twice the 30 s of the backfill daemon where several tenants change at once, the queue
# and the run. About 100 s amid the other work that begins with it here.
ARRIVAL_SECONDS = 180


def automatic_runs(checkout: Checkout) -> list[dict[str, Any]]:
    """Those that a sensor asked for, not a person and not the clock."""
    runs = checkout.ask(
        """{ runsOrError { ... on Runs { results {
        runId status jobName creationTime endTime tags { key value } } } } }"""
    )["runsOrError"]["results"]
    mine = {"dagster/sensor_name", "dagster/from_automation_condition"}
    return [run for run in runs if mine & {tag["key"] for tag in run["tags"]}]


def materializations(checkout: Checkout, asset: str, tenant: str) -> dict[str, dict[str, int]]:
    """The figures of each materialization, by run."""
    answer = checkout.ask(
        """query ($key: AssetKeyInput!, $tenants: [String!]) { assetOrError(assetKey: $key) { ... on Asset {
        assetMaterializations(partitions: $tenants) {
        runId metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }""",
        key={"path": ["customers", asset]},
        tenants=[tenant],
    )
    return {
        made["runId"]: {entry["label"]: entry["intValue"] for entry in made["metadataEntries"] if "intValue" in entry}
        for made in answer["assetOrError"]["assetMaterializations"]
    }


def run_status(checkout: Checkout, run_id: str) -> str:
    answer = checkout.ask("query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
    return answer["runOrError"]["status"]


def test_the_ui_answers_and_every_daemon_is_healthy(served: Serving):
    page = httpx2.get(served.checkout.url, timeout=30)
    assert page.status_code == 200
    assert "dagster" in page.text.lower()

    def healthy() -> bool:
        answer = served.checkout.ask(
            "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
        )
        found = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        return len(found) > 5 and all(each["healthy"] for each in found if each["required"])

    wait_for(healthy, 180, "healthy daemons")
    print(f"\ncdp up was ready after {served.ready_after:.1f} s")  # noqa: T201


def test_a_run_launched_in_the_ui_materializes_one_asset_of_one_tenant(checkout: Checkout, launched: Launched):
    status = wait_for(
        lambda: (found := run_status(checkout, launched.run_id)) in {"SUCCESS", "FAILURE"} and found, 240, "the run"
    )
    assert status == "SUCCESS"
    figures = materializations(checkout, "cdp_profiles", "harbour")[launched.run_id]
    assert figures["source_count"] == figures["dagster/partition_row_count"] + figures["rejected_waiting"] == 150
    for asset, tenant in (("cdp_profiles", "saigon"), ("transactions", "harbour")):
        assert launched.run_id not in materializations(checkout, asset, tenant)


def test_a_backfill_of_two_tenants_leaves_the_third_alone_and_reports_each(checkout: Checkout, launched: Launched):
    def ended() -> dict[str, Any] | None:
        found = checkout.ask(
            """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { status runs { runId } } } }""",
            id=launched.backfill_id,
        )["partitionBackfillOrError"]
        return found if found["status"].startswith(("COMPLETED", "FAILED", "CANCELED")) else None

    backfill = wait_for(ended, 300, "the backfill")
    assert backfill["status"] == "COMPLETED_SUCCESS"
    runs = {run["runId"] for run in backfill["runs"]}
    for asset in ASSETS:
        for tenant, wanted in (("cdnow", 1), ("saigon", 1), ("harbour", 0)):
            figures = [f for run, f in materializations(checkout, asset, tenant).items() if run in runs]
            assert len(figures) == wanted, (asset, tenant)
            counts = [each["dagster/partition_row_count"] for each in figures]
            assert all(count > 50 for count in counts), (asset, tenant, counts)


def test_a_purchase_in_the_source_reaches_the_metrics_without_a_person(checkout: Checkout, purchase: Purchase):
    arrived = wait_for(
        lambda: checkout.query(
            "harbour",
            """
            SELECT max(t.synced_at), max(m.updated_at), count(DISTINCT t.line_id)
            FROM customers.transactions AS t JOIN customers.customer_metrics AS m USING (tenant_id, profile_id)
            WHERE t.line_id = ANY(%s::text[]) AND m.last_purchase >= date_trunc('milliseconds', %s::timestamptz)
            HAVING count(DISTINCT t.line_id) = cardinality(%s::text[])
            """,
            purchase.keys,
            purchase.moment,
            purchase.keys,
        ),
        ARRIVAL_SECONDS,
        "the purchase in the metrics",
    )
    ((row, metrics, _),) = arrived
    seconds = [(moment - purchase.moment).total_seconds() for moment in (row, metrics)]
    print(f"\nfrom the purchase to its row {seconds[0]:.0f} s, to the metrics {seconds[1]:.0f} s")  # noqa: T201
    assert seconds[1] < ARRIVAL_SECONDS


def test_what_has_arrived_gets_its_vectors_without_a_person(checkout: Checkout, purchase: Purchase):
    wait_for(
        lambda: (
            checkout.query(
                "harbour",
                "SELECT count(*) FROM embeddings.embedding WHERE kind = 'transaction' AND entity_id = ANY(%s::text[])",
                purchase.keys,
            )
            == [(len(purchase.keys),)]
        ),
        ARRIVAL_SECONDS,
        "the vectors of the purchase",
    )


def test_a_new_tenant_is_loaded_without_a_person(checkout: Checkout, newcomer: str):
    wait_for(
        lambda: checkout.query(newcomer, "SELECT count(*) FROM customers.customer_metrics")[0][0] > 100,
        ARRIVAL_SECONDS,
        "the new tenant's metrics",
    )


def test_nothing_runs_again_once_every_change_has_arrived(served: Serving):
    checkout = served.checkout

    def at_rest() -> bool:
        """No work is asked for or going on, and all have looked four times since the last run ended."""
        runs = automatic_runs(checkout)
        if any(run["status"] in {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"} for run in runs):
            return False
        asked = checkout.ask(
            "{ partitionBackfillsOrError(status: REQUESTED) { ... on PartitionBackfills { results { id } } } }"
        )
        if asked["partitionBackfillsOrError"]["results"]:
            return False
        last = max(run["endTime"] for run in runs)
        return all(len(ticks_after(checkout, name, last)) >= 4 for name in ("arango_changes", "automation"))

    # Were a run's own outcome a reason for the next, there would be no end of it.
    wait_for(at_rest, 400, "an end of the runs")
    runs = automatic_runs(checkout)
    assert {run["status"] for run in runs} == {"SUCCESS"}
    # All tenants at the start, one purchase, one new tenant; each may be seen in two looks, or be a run for every
    # stretch of neighbours. Commands that find no change, and what is made of the same tables, ask for none.
    embedding = [run for run in runs if run["jobName"].startswith("embeddings")]
    assert len(runs) - len(embedding) <= 6
    print(f"\n{len(runs)} automatic runs in all, {len(embedding)} of them for embeddings")  # noqa: T201


def test_a_retired_tenant_loses_its_partition_and_keeps_its_rows(served: Serving, newcomer: str):
    checkout = served.checkout
    retired = checkout.cdp("tenant", "retire", newcomer)
    assert retired.code == 0, retired.err
    answer = checkout.ask(
        """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }""",
        key={"path": ["customers", "cdp_profiles"]},
    )
    assert sorted(answer["assetNodeOrError"]["partitionKeys"]) == ["cdnow", "harbour", "saigon"]
    assert checkout.query(newcomer, "SELECT count(*) FROM customers.cdp_profiles")[0][0] > 100
    env = checkout.env
    with psycopg.connect(
        host=env["PGSQL_DB_HOST"],
        port=env["PGSQL_DB_PORT"],
        dbname=env["PGSQL_DB_NAME"],
        user=env["PGSQL_DB_USER"],
        password=env["PGSQL_DB_PASSWORD"],
    ) as connection:
        row = connection.execute(
            "SELECT status FROM ops.registered_tenants() WHERE tenant_id = %s", [newcomer]
        ).fetchone()
    assert row == ("retired",)


def test_no_tick_of_any_sensor_failed(served: Serving):
    for sensor in SENSORS:
        ticks = ticks_after(served.checkout, sensor, 0)
        assert ticks
        assert [tick["error"] for tick in ticks if tick["status"] == "FAILURE"] == []
