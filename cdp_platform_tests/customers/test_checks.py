"""Each check fails when what it promises does not hold."""

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.health.findings import Finding, examine
from cdp_platform.ops import tenants
from cdp_platform.ops.looks import Source
from cdp_platform.orchestration.watch import Watch
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.dagster_runs import figures, verdicts
from cdp_platform_tests.leo import Leo, with_customers

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


def test_rejected_documents_warn_below_one_in_a_hundred_and_are_an_error_above(leo: Leo, run):
    for number in range(120):
        leo.profile(f"c{number}")
    leo.profile("broken", inSegments={"id": "x"})
    assert verdicts(run("acme"))["cdp_profiles: rejected_share", "acme"] == "WARN"
    for number in range(5):
        leo.profile(f"broken{number}", inSegments={"id": "x"})
    outcome = run("acme")
    assert verdicts(outcome)["cdp_profiles: rejected_share", "acme"] == "ERROR"
    assert not outcome.success


def test_a_key_that_stands_twice_blocks_the_metrics(leo: Leo, run, warehouse: Warehouse):
    with_customers(leo)
    run("acme")
    with warehouse.superuser() as connection:
        connection.execute(
            "ALTER TABLE customers.cdp_profiles DROP CONSTRAINT cdp_profiles_pkey;"
            "INSERT INTO customers.cdp_profiles SELECT * FROM customers.cdp_profiles LIMIT 1"
        )
    outcome = run("acme")
    assert verdicts(outcome)["cdp_profiles: keys_unique", "acme"] == "ERROR"
    assert ("customer_metrics", "acme") not in figures(outcome)


def test_in_a_range_the_metrics_of_the_others_are_computed(new_leo, run, warehouse: Warehouse, instance):
    with_customers(new_leo("good"))
    with_customers(new_leo("twice"))
    run("good", "twice")
    with warehouse.superuser() as connection:
        connection.execute(
            "ALTER TABLE customers.cdp_profiles DROP CONSTRAINT cdp_profiles_pkey;"
            "INSERT INTO customers.cdp_profiles SELECT * FROM customers.cdp_profiles WHERE tenant_id = 'twice' LIMIT 1"
        )
    outcome = run("good", "twice")
    assert verdicts(outcome)["cdp_profiles: keys_unique", "twice"] == "ERROR"
    assert verdicts(outcome)["cdp_profiles: keys_unique", "good"] == "passed"
    assert "twice: Not computed, because a blocking check fails" in outcome.errors[0]
    metrics = dg.AssetRecordsFilter(dg.AssetKey(["customers", "customer_metrics"]))
    made = instance.fetch_materializations(metrics, limit=9).records
    assert sorted(str(record.partition_key) for record in made) == ["good", "good", "twice"]


def test_transactions_without_profile_or_currency_are_told(leo: Leo, run):
    with_customers(leo)
    leo.purchase("orphan", "nobody")
    leo.purchase("unpriced", "c1", currencyCode=None)
    found = verdicts(run("acme"))
    assert found["transactions: transactions_without_profile", "acme"] == "WARN"
    assert found["transactions: amounts_without_currency", "acme"] == "WARN"


@pytest.mark.parametrize(("hours", "verdict"), [(0, "passed"), (2, "WARN"), (25, "ERROR")])
def test_a_tenant_that_nobody_reads_any_more_is_stale(  # noqa: PLR0917 (fixtures and cases)
    new_leo, run, warehouse: Warehouse, instance, hours, verdict
):
    with_customers(new_leo("busy"))
    with_customers(new_leo("quiet"))
    run("busy", "quiet")
    with warehouse.superuser() as connection:
        connection.execute(
            "UPDATE ops.sync_watermark SET last_success_at = now() - make_interval(hours => %s)"
            " WHERE tenant_id = 'quiet'",
            [hours],
        )
    result = build_definitions().resolve_job_def("customers_staleness").execute_in_process(instance=instance)
    evaluations = [each for each in result.get_asset_check_evaluations() if each.check_name == "staleness"]
    assert len(evaluations) == 2
    assert {"passed" if each.passed else each.severity.value for each in evaluations} == {verdict}
    assert all("quiet" in (each.description or "") for each in evaluations if not each.passed)


def test_a_tenant_that_was_never_read_is_stale(new_leo, instance: dg.DagsterInstance):
    new_leo("fresh")
    result = build_definitions().resolve_job_def("customers_staleness").execute_in_process(instance=instance)
    evaluations = [each for each in result.get_asset_check_evaluations() if each.check_name == "staleness"]
    assert {each.description for each in evaluations} == {"fresh: never read"}


@pytest.mark.parametrize(("seconds", "passed"), [(60, True), (180, False)])
def test_a_tenant_that_the_sensor_does_not_look_at_any_more_is_told(  # noqa: PLR0917 (fixtures and cases)
    new_leo, app: psycopg.Connection, warehouse: Warehouse, instance, seconds, passed
):
    leos = [new_leo("busy"), new_leo("quiet")]

    def verdict() -> dg.AssetCheckEvaluation:
        result = build_definitions().resolve_job_def("customers_staleness").execute_in_process(instance=instance)
        (found,) = (each for each in result.get_asset_check_evaluations() if each.check_name == "looked_at")
        return found

    def finding() -> Finding:
        (found,) = (each for each in examine() if each.system == "Looks at sources")
        return found

    # Where the daemon has never run, nothing is late.
    assert verdict().passed
    assert (finding().state, finding().version) == ("ok", "")
    sources = {leo.tenant.tenant_id: Source(leo.tenant.tenant_id, leo.tenant.arango_database) for leo in leos}
    watch = Watch(app, "arango_changes", None, sources)
    for tenant_id in sources:
        watch.saw(tenant_id, {}, changed=False)
    watch.cursor()
    with warehouse.superuser() as connection:
        connection.execute(
            "UPDATE ops.source_look SET looked_at = now() - make_interval(secs => %s) WHERE tenant_id = 'quiet'",
            [seconds],
        )
    assert verdict().passed is passed
    assert finding().state == ("ok" if passed else "warn")
    for words in (verdict().description or "", finding().advice):
        assert bool(words) is not passed
        assert passed or "No look at 1 of 2 tenants for 2 minutes: quiet (3 min)." in words
    # A tenant whose database is another one was not looked at there, and counts from when it was added.
    tenants.add(app, "quiet", arango_database="elsewhere")
    assert verdict().passed


def test_metrics_that_are_not_as_computed_are_told(leo: Leo, run, warehouse: Warehouse):
    with_customers(leo)
    assert verdicts(run("acme"))["customer_metrics: as_computed", "acme"] == "passed"
    with warehouse.superuser() as connection:
        connection.execute("UPDATE customers.customer_metrics SET clv_est = 7")
    assert verdicts(run("acme"))["customer_metrics: as_computed", "acme"] == "ERROR"
    mended = run("acme", config={"customers__customer_metrics": {"config": {"full": True}}})
    assert verdicts(mended)["customer_metrics: as_computed", "acme"] == "passed"
