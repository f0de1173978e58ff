"""The assets, checks and jobs of the room on a real instance: one ingestor, ranges of them, trouble."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.catalog import rounds
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.defs.assets import BRAND_REGISTRY, PRODUCT_FEED
from cdp_platform.catalog.defs.resources import FeedsResource
from cdp_platform.catalog.sources import Source
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import locks, tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import RunResult, run_job
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.catalog.conftest import Mall, product, shard
from cdp_platform_tests.dagster_runs import figures, verdicts
from cdp_platform_tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

BAD = product(9, offers={"@type": "Offer", "price": "abc", "priceCurrency": "USD"})


def only(outcome: RunResult, asset: str, name: str, *names: str) -> tuple[Any, ...]:
    return figures(outcome, *names)[asset, name]


def test_registry_and_feed_of_an_ingestor_are_one_run(mall: Mall):
    mall.shop("shop")
    outcome = mall.run("shop")
    assert outcome.success, outcome.errors
    registry = ("dagster/partition_row_count", "organizations", "brands", "new", "rejected")
    assert only(outcome, "brand_registry", "shop", *registry) == (1, 1, 1, 2, 0)
    feed = ("dagster/partition_row_count", "groups", "products", "offers", "new", "shards", "rejected")
    assert only(outcome, "product_feed", "shop", *feed) == (1, 0, 1, 1, 1, 1, 0)
    assert set(verdicts(outcome).values()) == {"passed"}


class Moved(FeedsResource):
    """The feeds of all ingestors from the folder ``moved`` beside their own."""

    def open(self, ingestor: Ingestor) -> AbstractContextManager[Source]:
        return super().open(ingestor.model_copy(update={"root": str(Path(ingestor.root).parent / "moved")}))


def test_a_deployment_can_replace_where_feeds_are_read_from(mall: Mall):
    shop = mall.shop("shop")
    shop.folder.rename(shop.folder.parent / "moved")
    assert not mall.run("shop").success
    outcome = run_job(build_definitions({"feeds": Moved()}), "catalog_ingest", mall.instance, ["shop"])
    assert outcome.success, outcome.errors
    assert shop.products() == ["urn:cmp:sku:1"]


def test_an_unchanged_feed_writes_nothing_and_its_figures_say_so(mall: Mall):
    shop = mall.shop("shop")
    mall.run("shop")
    before = shop.rows("SELECT xmin::text, ctid::text FROM catalog.product")
    outcome = mall.run("shop")
    assert only(outcome, "product_feed", "shop", "products", "new", "changed", "unchanged") == (1, 0, 0, 1)
    assert only(outcome, "brand_registry", "shop", "new", "unchanged") == (0, 2)
    assert shop.rows("SELECT xmin::text, ctid::text FROM catalog.product") == before


def test_a_range_of_ingestors_is_one_run_with_figures_for_each(mall: Mall):
    mall.shop("a")
    mall.shop("b", tenant="other").write_feed(shard(product(1), product(2)))
    outcome = mall.run("a", "b")
    assert outcome.success, outcome.errors
    assert only(outcome, "product_feed", "a", "products") == (1,)
    assert only(outcome, "product_feed", "b", "products") == (2,)
    assert verdicts(outcome)["product_feed: rejected_share", "b"] == "passed"


def test_a_failed_registry_stops_its_own_feed_and_nobody_elses(mall: Mall):
    shops = {name: mall.shop(name) for name in ("a", "b", "c")}
    shops["b"].write("registry.json", b"{")
    outcome = mall.run("a", "b", "c")
    (error,) = outcome.errors
    assert error.startswith("ingest: b: ")
    assert "a: " not in error.removeprefix("ingest: ")
    assert shops["a"].rows("SELECT count(*) FROM catalog.product") == [(2,)]
    for asset in ("brand_registry", "product_feed"):
        assert [mall.materialized(asset, name) for name in ("a", "b", "c")] == [1, 0, 1]
    assert said(mall, BRAND_REGISTRY).startswith("b: The registry is not JSON")


def test_a_failed_feed_keeps_the_registry_that_was_taken(mall: Mall):
    shop = mall.shop("shop")
    (shop.folder / "feed" / "feed-000.json").unlink()
    outcome = mall.run("shop")
    assert "feed-000.json cannot be read" in outcome.errors[0]
    assert (mall.materialized("brand_registry", "shop"), mall.materialized("product_feed", "shop")) == (1, 0)
    assert "feed-000.json cannot be read" in said(mall, PRODUCT_FEED)


def said(mall: Mall, asset: dg.AssetKey) -> str:
    """What the check `whole` says after the last run; '' if nothing is wrong."""
    check = dg.AssetCheckKey(asset, "whole")
    event: Any = mall.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0].event
    found = event.dagster_event.event_specific_data
    assert found.passed == (not found.description)
    return found.description or ""


def test_a_feed_alone_is_not_taken_behind_a_registry_that_failed(mall: Mall):
    shop = mall.shop("shop")
    good = (shop.folder / "registry.json").read_bytes()
    assert not alone(mall, PRODUCT_FEED).success
    assert "because its registry never was" in said(mall, PRODUCT_FEED)
    mall.run("shop")
    shop.write("registry.json", b"{")
    mall.run("shop")
    outcome = alone(mall, PRODUCT_FEED)
    assert not outcome.success
    assert "because its registry could not be" in said(mall, PRODUCT_FEED)
    shop.write("registry.json", good)
    assert alone(mall, BRAND_REGISTRY).success
    assert alone(mall, PRODUCT_FEED).success


def alone(mall: Mall, asset: dg.AssetKey) -> dg.ExecuteInProcessResult:
    job = build_definitions().resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=mall.instance, partition_key="shop", asset_selection=[asset], raise_on_error=False
    )


def test_a_second_run_of_an_ingestor_steps_aside(mall: Mall, second_connection):
    mall.shop("a")
    mall.shop("b")
    with locks.held(second_connection, locks.ingestor("acme", "a")):
        outcome = mall.run("a", "b")
    assert outcome.success
    assert only(outcome, "product_feed", "a", "skipped", "products") == ("another run is at work on it", None)
    assert only(outcome, "product_feed", "b", "products") == (1,)


def test_ingestors_of_a_retired_tenant_are_left_alone(mall: Mall):
    shop = mall.shop("shop")
    tenants.retire(mall.connection, "acme")
    outcome = mall.run("shop")
    assert only(outcome, "product_feed", "shop", "skipped") == ("its tenant acme is retired",)
    assert shop.rows("SELECT count(*) FROM catalog.organization") == [(0,)]


def test_an_ingestor_of_an_unknown_tenant_says_what_to_do(mall: Mall):
    mall.shop("shop")
    mall.list(name="lost", tenant="nobody", source_type="local", root="shop", registry="registry.json")
    outcome = mall.run("shop", "lost")
    assert "lost: There is no tenant 'nobody'" in outcome.errors[0]
    assert mall.materialized("product_feed", "shop") == 1


def test_a_round_that_would_remove_much_waits_until_a_person_approves(mall: Mall):
    shop = mall.shop("shop")
    shop.write_feed(shard(*(product(number) for number in range(30))))
    mall.run("shop")
    shop.write_feed(shard(product(1)))
    outcome = mall.run("shop")
    assert "cdp catalog approve --ingestor shop" in outcome.errors[0]
    assert "cdp catalog approve --ingestor shop" in said(mall, PRODUCT_FEED)
    assert len(shop.products()) == 30
    rounds.approve(mall.connection, "acme", "shop")
    outcome = mall.run("shop")
    assert outcome.success, outcome.errors
    assert only(outcome, "product_feed", "shop", "gone", "products") == (29, 1)
    assert said(mall, PRODUCT_FEED) == ""


@pytest.mark.parametrize(("good", "verdict"), [(1, "ERROR"), (40, "WARN")])
def test_rejected_items_are_counted_by_code_and_told_by_a_check(mall: Mall, good: int, verdict: str):
    shop = mall.shop("shop")
    shop.write_feed(shard(BAD, *(product(number) for number in range(100, 100 + good))))
    outcome = mall.run("shop")
    assert not outcome.errors
    rejected, waiting, codes = only(outcome, "product_feed", "shop", "rejected", "rejected_waiting", "rejected_by_code")
    assert (rejected, waiting) == (1, 1)
    assert "| 1 |" in codes
    assert verdicts(outcome)["product_feed: rejected_share", "shop"] == verdict


def test_products_are_followed_by_their_vectors(mall: Mall):
    mall.shop("shop")
    mall.run("shop")
    partitions.keep_in_step(mall.instance, tenants.registered(mall.connection))
    outcome = run_job(build_definitions(), "embeddings_update", mall.instance, ["acme"])
    assert outcome.success, outcome.errors
    assert only(outcome, "product_embeddings", "acme", "dagster/partition_row_count", "embedded") == (1, 1)


def test_what_failed_is_still_told_when_another_ingestor_does_well_and_by_the_hour(mall: Mall):
    mall.shop("bad").write("registry.json", b"{")
    mall.shop("good")
    for name in ("bad", "good"):
        mall.run(name)
        assert "bad: " in said(mall, BRAND_REGISTRY)
    result = build_definitions().resolve_job_def("catalog_checks").execute_in_process(instance=mall.instance)
    found = {(each.asset_key, each.check_name): each for each in result.get_asset_check_evaluations()}
    assert not found[BRAND_REGISTRY, "whole"].passed
    assert str(found[BRAND_REGISTRY, "whole"].description).startswith("bad: failed: The registry is not JSON")
    assert found[PRODUCT_FEED, "whole"].passed


# Staleness ------------------------------------------------------------------------------------------------------------


def staleness(mall: Mall, at: datetime | None = None, *, monkeypatch: pytest.MonkeyPatch | None = None) -> Any:
    if at is not None:
        assert monkeypatch is not None

        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return at

        monkeypatch.setattr("cdp_platform.catalog.defs.checks.datetime", Clock)
    result = build_definitions().resolve_job_def("catalog_checks").execute_in_process(instance=mall.instance)
    return next(each for each in result.get_asset_check_evaluations() if each.check_name == "staleness")


def test_an_ingestor_whose_schedule_passed_without_a_run_that_worked_is_stale(mall: Mall, monkeypatch):
    mall.shop("daily", schedule="0 2 * * *")
    mall.shop("whenever")
    found = staleness(mall)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "daily: never taken"
    mall.run("daily")
    assert staleness(mall).passed
    now = datetime.now(UTC)
    found = staleness(mall, now + timedelta(days=3), monkeypatch=monkeypatch)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    found = staleness(mall, now + timedelta(days=9), monkeypatch=monkeypatch)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)


# The file -------------------------------------------------------------------------------------------------------------


def test_without_a_file_there_are_no_ingestors_and_the_graph_is_the_same(monkeypatch: pytest.MonkeyPatch):
    definitions = build_definitions()
    dg.Definitions.validate_loadable(definitions)
    assert {PRODUCT_FEED, BRAND_REGISTRY} <= definitions.resolve_asset_graph().materializable_asset_keys


@pytest.mark.parametrize(
    ("entry", "words"),
    [({"schedule": "61 * * * *"}, "cron"), ({"source_type": "gopher"}, "source_type"), ({"sorce": 1}, "sorce")],
)
def test_a_wrong_file_is_an_error_at_load_that_names_ingestor_and_line(
    entry: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    good = {"name": "shop", "tenant": "acme", "source_type": "local", "root": ".", "registry": "r.json"}
    lines = ["ingestion:", "  - name: first", *(f"    {k}: {v}" for k, v in good.items() if k != "name")]
    lines += ["  - name: second", *(f"    {k}: '{v}'" for k, v in ({**good, **entry}).items() if k != "name")]
    (tmp_path / "ingestion.yaml").write_text("\n".join(lines))
    monkeypatch.setenv("INGESTION_CONFIG_PATH", str(tmp_path / "ingestion.yaml"))
    settings.forget()
    with pytest.raises(ConfigurationError, match=rf"line \d+, ingestor 'second'.*{words}"):
        build_definitions()


def test_a_file_that_is_named_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("INGESTION_CONFIG_PATH", str(tmp_path / "nothing.yaml"))
    settings.forget()
    with pytest.raises(ConfigurationError, match="INGESTION_CONFIG_PATH"):
        build_definitions()


# Over HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(mall: Mall, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> Mall:
    """The file of the checkout, and the shops that the sandbox serves."""
    monkeypatch.setenv("SANDBOX_URL", sandbox.url)
    monkeypatch.setenv("INGESTION_CONFIG_PATH", str(Path(__file__).parents[2] / "ingestion.yaml"))
    settings.forget()
    for tenant in ("saigon", "harbour"):
        tenants.add(mall.connection, tenant, arango_database=tenant)
    return mall


def test_what_the_sandbox_serves_is_taken_by_the_checkouts_file(served: Mall, sandbox: SandboxProcess):
    published = sandbox.http().get("/feeds/_generation").json()["published"].values()
    outcome = served.run("saigon-shops", "harbour-shops")
    assert outcome.success, outcome.errors
    found = figures(outcome, "groups", "products", "rejected")
    taken = [found["product_feed", name] for name in ("saigon-shops", "harbour-shops")]
    assert sorted(each[:2] for each in taken) == sorted((each["groups"], each["products"]) for each in published)
    assert {each[2] for each in taken} == {0}


def test_a_server_in_trouble_fails_one_ingestor_and_says_why(served: Mall, sandbox: SandboxProcess):
    sandbox.spoil({"match": {"path_regex": "^/feeds/"}, "action": "status", "status": 404, "times": None})
    outcome = served.run("saigon-shops")
    assert sandbox.fired()[0] >= 1
    assert "404" in outcome.errors[0]
    sandbox.clear()
    assert served.run("saigon-shops").success


# Cleanup --------------------------------------------------------------------------------------------------------------


def cleanup(mall: Mall, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_definitions().resolve_job_def("catalog_cleanup")
    run_config = {"ops": {"clean_catalog": {"config": config}}} if config else None
    return job.execute_in_process(instance=mall.instance, run_config=run_config, raise_on_error=False)


def output(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    event: Any = next(each for each in result.all_events if each.event_type == dg.DagsterEventType.STEP_OUTPUT)
    return {name: value.value for name, value in event.event_specific_data.metadata.items()}


def age(mall: Mall, tenant: str, days: int) -> None:
    with tenant_transaction(mall.connection, tenant):
        mall.connection.execute("UPDATE catalog.product SET removed_at = now() - make_interval(days => %s)", [days])


def test_the_cleanup_counts_and_then_deletes_what_is_past_its_retention(mall: Mall):
    shop = mall.shop("shop")
    mall.run("shop")
    age(mall, "acme", 31)
    found = output(cleanup(mall))
    assert "| acme | product | 1 | 1 | 0 |" in found["due"]
    assert "| acme | product | 1 | 1 | 1 |" in found["deleted"]
    assert shop.rows("SELECT count(*) FROM catalog.product") == [(0,)]
    assert output(cleanup(mall))["rows_deleted"] == 0


def test_a_tenant_that_would_lose_much_is_named_and_the_others_are_cleaned(mall: Mall):
    shop = mall.shop("shop")
    mall.shop("other", tenant="other")
    shop.write_feed(shard(*(product(number) for number in range(150))))
    mall.run("shop", "other")
    age(mall, "acme", 31)
    age(mall, "other", 31)
    result = cleanup(mall)
    assert not result.success
    failure: Any = next(each for each in result.all_events if each.is_step_failure)
    assert "acme: 150 of 150 rows" in failure.step_failure_data.user_failure_data.description
    count = "SELECT count(*) FROM catalog.product"
    assert shop.rows(count) == [(150,)]
    with tenant_transaction(mall.connection, "other"):
        assert mall.connection.execute(count).fetchone() == (0,)
    assert cleanup(mall, max_share=1.0).success
    assert shop.rows(count) == [(0,)]
