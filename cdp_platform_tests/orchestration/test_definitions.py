"""Promises that hold for every asset, check, schedule and sensor of the platform."""

import warnings
from pathlib import Path

import dagster as dg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.orchestration import code_references
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import ArangoResource
from cdp_platform_tests.rooms import ROOMS

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

# Made of several tables, of which this one has the rows that are counted.
TABLES = {
    "brand_registry": "catalog.organization",
    "consent": "campaigns.consent_management",
    "audience_snapshot": "campaigns.segment_snapshot",
    "campaign_deliveries": "campaigns.delivery_log",
    "product_feed": "catalog.product",
    "tracker_events": "referrals.click_event",
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions()


def test_definitions_load_without_environment_and_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The `__fields__` attribute is deprecated", DeprecationWarning)
        # As `orchestration.partitions` has them for every process, in place of which pytest has its own.
        warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)
        warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheck", dg.PreviewWarning)
        # As `orchestration.automation` has it.
        warnings.filterwarnings("ignore", "Parameter `use_user_code_server`", dg.BetaWarning)
        dg.Definitions.validate_loadable(build_definitions())


def test_every_asset_says_what_it_is_whose_and_where(definitions: dg.Definitions):
    specs = list(definitions.resolve_all_asset_specs())
    assert specs
    for spec in specs:
        assert spec.group_name in {"ops", *ROOMS}, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.description, spec.key


def test_an_asset_that_is_a_table_has_its_name_under_its_room(definitions: dg.Definitions):
    for asset in definitions.resolve_asset_graph().materializable_asset_keys:
        node = definitions.resolve_asset_graph().get(asset)
        assert node.group_name == asset.path[0]
        if "worksheet" in node.metadata:
            continue
        table = node.metadata["dagster/table_name"]
        assert table.startswith(f"{asset.path[0]}.")
        # Vectors of every kind are in one table; any other asset is a table of its own, maybe in the singular.
        if asset.path[-1].endswith("_embeddings"):
            assert table == "embeddings.embedding"
        elif asset.path[-1] in TABLES:
            assert table == TABLES[asset.path[-1]]
        else:
            assert table in {".".join(asset.path), ".".join(asset.path).removesuffix("s")}


def test_an_asset_that_is_a_table_says_what_each_column_holds(definitions: dg.Definitions):
    tables = [spec for spec in definitions.resolve_all_asset_specs() if "dagster/table_name" in spec.metadata]
    assert len(tables) > 10
    for spec in tables:
        columns = spec.metadata["dagster/column_schema"].columns
        assert {"tenant_id"} < {column.name for column in columns}, spec.key
        assert all(column.description for column in columns), spec.key


def test_every_job_schedule_and_sensor_says_what_it_does(definitions: dg.Definitions):
    repository = definitions.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    for each in (
        *jobs,
        *repository.schedule_defs,
        *repository.sensor_defs,
        *repository.asset_checks_defs_by_key.values(),
    ):
        description = (
            next(iter(each.check_specs)).description if isinstance(each, dg.AssetChecksDefinition) else each.description
        )
        assert description, each


def test_every_field_of_the_launchpad_says_what_it_sets(definitions: dg.Definitions):
    described = {}
    for job in definitions.get_repository_def().get_all_jobs():
        for node, op in fields(fields(job.run_config_schema.config_type)["ops"].config_type).items():
            for name, field in fields(fields(op.config_type)["config"].config_type).items():
                described[job.name, node, name] = field.description
    assert ("customers_sync", "customers__cdp_profiles", "full") in described
    assert {key for key, description in described.items() if not description} == set()


def fields(schema: object) -> dict[str, dg.Field]:
    """The fields of a part of a job's configuration; none if it has no configuration."""
    return getattr(schema, "fields", {})


def test_in_a_checkout_the_ui_leads_from_an_asset_to_its_source(definitions: dg.Definitions):
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    (reference,) = specs["customers/customer_metrics"].metadata["dagster/code_references"].code_references
    lines = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1 :]
    assert next(line for line in lines if line.startswith("def ")) == "def customer_metrics("
    for key in definitions.resolve_asset_graph().materializable_asset_keys:
        assert "dagster/code_references" in specs[key.to_user_string()].metadata, key


def test_without_a_checkout_there_is_no_reference_to_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code_references, "CHECKOUT", tmp_path)
    for spec in build_definitions().resolve_all_asset_specs():
        assert "dagster/code_references" not in spec.metadata, spec.key


def test_what_lies_outside_is_in_the_graph(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.external_asset_keys} == {
        "arangodb/cdp_profile",
        "arangodb/cdp_profile2conversion",
        "arangodb/cdp_segment",
        "dagster/runs",
        "google_sheets/spreadsheet",
        "publishers/feeds",
        "tracker/events",
    }


def test_the_graph_is_as_drawn(definitions: dg.Definitions):
    """Keys, dependencies, partitions and conditions: a change here is a change for everybody's deployment."""
    found = {
        spec.key.to_user_string(): (
            sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            dimensions(spec.partitions_def),
            spec.automation_condition.get_label() if spec.automation_condition else None,
        )
        for spec in definitions.resolve_all_asset_specs()
    }
    assert found == {
        "arangodb/cdp_profile": ([], "tenant", None),
        "arangodb/cdp_profile2conversion": ([], "tenant", None),
        "arangodb/cdp_segment": ([], "tenant", None),
        # Taken and counted every hour, measured every day.
        "campaigns/segments": (["customers/cdp_segments"], "tenant", "follow_upstream"),
        "campaigns/consent": ([], "tenant", None),
        "campaigns/effect": (["customers/transactions"], "tenant", None),
        # Asked for by the sensor that knows which events are due.
        "campaigns/audience_snapshot": (["campaigns/consent", "campaigns/segments"], "marketing_event", None),
        "campaigns/campaign_deliveries": (["campaigns/audience_snapshot"], "marketing_event", None),
        # Asked for by the sensor that looks at the sources, and by a schedule of each ingestor.
        "catalog/brand_registry": (["publishers/feeds"], "ingestor", None),
        "catalog/product_feed": (["catalog/brand_registry", "publishers/feeds"], "ingestor", None),
        "publishers/feeds": ([], "ingestor", None),
        "customers/cdp_profiles": (["arangodb/cdp_profile"], "tenant", None),
        "customers/transactions": (["arangodb/cdp_profile2conversion"], "tenant", None),
        "customers/cdp_segments": (["arangodb/cdp_segment"], "tenant", None),
        "customers/customer_metrics": (
            ["customers/cdp_profiles", "customers/transactions"],
            "tenant",
            "follow_upstream",
        ),
        "customers/customer_value": (
            ["customers/cdp_profiles", "customers/transactions"],
            "tenant",
            "follow_upstream",
        ),
        # Told of by the sensor that ends lost runs.
        "dagster/runs": ([], None, None),
        # Asked for by the queue, which knows what waits.
        "embeddings/profile_embeddings": (["customers/cdp_profiles"], "tenant", None),
        "embeddings/transaction_embeddings": (["customers/transactions"], "tenant", None),
        "embeddings/marketing_event_embeddings": ([], "tenant", None),
        "embeddings/product_embeddings": (["catalog/product_feed"], "tenant", None),
        "embeddings/profile_clusters": (["embeddings/profile_embeddings"], "tenant", None),
        "embeddings/lookalike_audiences": (["embeddings/profile_embeddings"], "tenant", None),
        # Asked for by the sensor of paid searches, and every hour.
        "enrichment/enriched_contacts": ([], "tenant", None),
        # Asked for by the sensor that looks at events, and by each tenant's own morning.
        "tracker/events": ([], "tenant", None),
        "referrals/tracker_events": (["tracker/events"], "tenant", None),
        "referrals/daily_metrics": (["referrals/tracker_events"], "month and tenant", None),
        "referrals/tracker_raw_data": (["referrals/tracker_events"], "tenant", None),
        "referrals/officer_summary": (["referrals/daily_metrics"], "tenant", None),
        "referrals/campaign_summary": (["referrals/daily_metrics"], "tenant", None),
        "referrals/time_series_data": (["referrals/daily_metrics"], "tenant", None),
        "google_sheets/spreadsheet": (
            [
                "referrals/campaign_summary",
                "referrals/officer_summary",
                "referrals/time_series_data",
                "referrals/tracker_raw_data",
            ],
            "tenant",
            None,
        ),
    }


def dimensions(partitions: dg.PartitionsDefinition | None) -> str | None:
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return " and ".join(sorted(partitions.partition_dimension_names))
    return "ingestor" if isinstance(partitions, dg.StaticPartitionsDefinition) else getattr(partitions, "name", None)


def test_the_checks_are_as_listed(definitions: dg.Definitions):
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert {f"{key.asset_key.path[-1]}: {key.name}" for key in keys} == {
        "audience_snapshot: missed",
        "brand_registry: rejected_share",
        "brand_registry: whole",
        "campaign_deliveries: adds_up",
        "campaign_deliveries: unknown",
        "cdp_profiles: documents_dated",
        "cdp_profiles: in_step_with_source",
        "cdp_profiles: keys_unique",
        "cdp_profiles: rejected_share",
        "cdp_profiles: looked_at",
        "cdp_profiles: staleness",
        "cdp_segments: documents_dated",
        "cdp_segments: in_step_with_source",
        "cdp_segments: keys_unique",
        "cdp_segments: rejected_share",
        "customer_metrics: amounts_configured",
        "customer_metrics: as_computed",
        "customer_value: adds_up",
        "daily_metrics: counts_every_event",
        "enriched_contacts: contacts_add_up",
        "enriched_contacts: ledger_matches_account",
        "enriched_contacts: no_money_in_doubt",
        "enriched_contacts: paid_is_ready",
        "enriched_contacts: payments_fit",
        "marketing_event_embeddings: in_step_with_texts",
        "product_embeddings: in_step_with_texts",
        "product_feed: rejected_share",
        "product_feed: staleness",
        "product_feed: whole",
        "profile_embeddings: in_step_with_texts",
        "runs: moving",
        "segments: agrees_with_cdp",
        "segments: resolvable",
        "tracker_raw_data: delivered",
        "transaction_embeddings: in_step_with_texts",
        "transactions: amounts_without_currency",
        "transactions: documents_dated",
        "transactions: in_step_with_source",
        "transactions: keys_unique",
        "transactions: rejected_share",
        "transactions: staleness",
        "transactions: transactions_without_profile",
    }


def test_only_checks_that_block_stand_before_what_follows(definitions: dg.Definitions):
    """In a run with one step after the other, a check that blocks nothing would still be waited for."""
    graph = definitions.resolve_asset_graph()
    blocking = {key for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking
    for checks in definitions.asset_checks or []:
        priority = int(checks.op.tags.get("dagster/priority", 0))
        for key in checks.check_keys:
            assert priority == (0 if key in blocking else -1), key


def test_schedules_and_sensors_run_from_the_start(definitions: dg.Definitions):
    repository = definitions.get_repository_def()
    for schedule in repository.schedule_defs:
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING, schedule.name
    for sensor in repository.sensor_defs:
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING, sensor.name


def test_what_follows_by_itself_is_made_for_tenants(definitions: dg.Definitions):
    """The one automation asks for ranges of tenants; partitions of another kind would have a run each."""
    following = [spec for spec in definitions.resolve_all_asset_specs() if spec.automation_condition]
    assert following
    for spec in following:
        assert spec.partitions_def in {None, tenant_partitions}, spec.key


def test_a_resource_can_be_replaced_by_name():
    other = ArangoResource()
    assert (build_definitions({"arango": other}).resources or {})["arango"] is other
