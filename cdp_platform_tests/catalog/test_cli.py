"""`cdp catalog`, as it is typed."""

import json
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.catalog.conftest import Mall, product, shard
from cdp_platform_tests.command_line import answers, invoke, refusal, says
from cdp_platform_tests.sandbox_process import PASSWORD, SandboxProcess

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

BAD = product(9, offers={"@type": "Offer", "price": "abc", "priceCurrency": "USD"})


def report(name: str = "shop") -> dict[str, Any]:
    return answers("catalog", "report", "--ingestor", name)


def test_ingest_takes_registry_and_feed_and_report_says_how_it_went(mall: Mall):
    shop = mall.shop("shop")
    shop.write_feed(shard(*(product(number) for number in range(100, 130)), BAD))
    assert "No round of shop yet: `cdp catalog ingest --ingestor shop`" in says(
        "catalog", "report", "--ingestor", "shop"
    )
    said = says("catalog", "ingest", "--ingestor", "shop")
    assert "product_feed shop 30 30 0 0 0 1" in said
    found = report()
    registry, feed = found["rounds"]
    assert (found["tenant"], registry["outcome"], registry["new"]) == ("acme", "landed", 2)
    assert [feed[name] for name in ("products", "offers", "new", "rejected", "shards")] == [30, 30, 30, 1, 1]
    (code,) = feed["rejected_by_code"]
    said = says("catalog", "report", "--ingestor", "shop")
    assert f"Acme {code} 1" in said
    assert "Acme landed" in said


def test_ingest_that_fails_says_why_and_so_does_the_report(mall: Mall):
    shop = mall.shop("shop")
    (shop.folder / "feed" / "feed-000.json").unlink()
    said = says("catalog", "ingest", "--ingestor", "shop", code=1)
    assert "feed-000.json cannot be read" in said
    assert "failed: Acme: " in says("catalog", "report", "--ingestor", "shop")
    assert report()["rounds"][-1]["outcome"] == "failed"


def test_a_round_that_was_stopped_is_approved_and_made(mall: Mall):
    shop = mall.shop("shop")
    shop.write_feed(shard(*(product(number) for number in range(30))))
    says("catalog", "ingest", "--ingestor", "shop")
    assert "No feed of ingestor shop waits" in refusal("catalog", "approve", "--ingestor", "shop")
    shop.write_feed(shard(product(1)))
    assert "cdp catalog approve --ingestor shop" in says("catalog", "ingest", "--ingestor", "shop", code=1)
    assert "cdp catalog approve --ingestor shop" in says("catalog", "report", "--ingestor", "shop")
    assert "`cdp catalog ingest --ingestor shop`" in says("catalog", "approve", "--ingestor", "shop")
    assert "Approved at" in says("catalog", "report", "--ingestor", "shop")
    says("catalog", "ingest", "--ingestor", "shop")
    assert shop.products() == ["urn:cmp:sku:1"]


def test_an_unknown_ingestor_is_told_which_there_are(mall: Mall, monkeypatch: pytest.MonkeyPatch):
    mall.shop("shop")
    for command in ("report", "approve", "ingest"):
        assert refusal("catalog", command, "--ingestor", "shpo") == "There is no ingestor 'shpo'. There are: shop."
    monkeypatch.delenv("INGESTION_CONFIG_PATH")
    settings.forget()
    assert "INGESTION_CONFIG_PATH" in refusal("catalog", "report", "--ingestor", "shop")


def test_cleanup_counts_without_deleting_and_then_deletes(mall: Mall):
    shop = mall.shop("shop")
    mall.run("shop")
    with tenant_transaction(mall.connection, "acme"):
        mall.connection.execute("UPDATE catalog.product SET removed_at = now() - interval '31 days'")
    said = says("catalog", "cleanup", "--dry-run")
    assert "What would be deleted" in said
    assert "acme catalog.product 1 1 0" in said
    assert shop.rows("SELECT count(*) FROM catalog.product") == [(1,)]
    assert "acme catalog.product 1 1 1" in says("catalog", "cleanup")
    assert says("catalog", "cleanup") == "Nothing is past its retention."


def test_a_cleanup_of_much_waits_for_a_person_who_allows_it(mall: Mall):
    shop = mall.shop("shop")
    shop.write_feed(shard(*(product(number) for number in range(150))))
    mall.run("shop")
    with tenant_transaction(mall.connection, "acme"):
        mall.connection.execute("UPDATE catalog.product SET removed_at = now() - interval '31 days'")
    assert "150 of 150 rows of catalog.product" in says("catalog", "cleanup", code=1)
    assert "nan is not a number" in says("catalog", "cleanup", "--max-share", "nan", code=2)
    assert shop.rows("SELECT count(*) FROM catalog.product") == [(150,)]
    found = json.loads(says("catalog", "cleanup", "--max-share", "1", "--json"))
    assert found["stopped"] == {}
    assert shop.rows("SELECT count(*) FROM catalog.product") == [(0,)]


def test_rejected_items_are_listed_and_replay_says_when_they_are_tried_again(
    mall: Mall, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
):
    shop = mall.shop("shop")
    shop.write_feed(shard(product(1), BAD))
    mall.run("shop")
    (record,) = json.loads(says("rejected", "list", "--tenant", "acme", "--json"))
    assert record["source"] == "catalog:shop"
    assert record["path"].startswith("$")
    assert "catalog:shop" in says("rejected", "list", "--tenant", "acme")
    monkeypatch.setenv("ARANGO_HOST", sandbox.url)
    monkeypatch.setenv("ARANGO_USER", "root")
    monkeypatch.setenv("ARANGO_PASSWORD", PASSWORD)
    settings.forget()
    sandbox.arango().create_database("acme")
    said = says("rejected", "replay", "--tenant", "acme")
    sandbox.arango().delete_database("acme")
    assert "1 of catalog:shop are not tried here: they are taken when their feed or file is read again." in said
    assert len(shop.rejected()) == 1
    shop.write_feed(shard(product(1)))
    mall.run("shop")
    assert shop.rejected() == []


def test_a_wrong_file_is_one_line_that_names_the_ingestor(mall: Mall):
    mall.shop("shop", schedule="0 2 * * *")
    text = (mall.folder / "ingestion.yaml").read_text()
    (mall.folder / "ingestion.yaml").write_text(text.replace("0 2 * * *", "0 25 * * *"))
    for command in (("catalog", "report", "--ingestor", "shop"), ("catalog", "ingest", "--ingestor", "shop")):
        said = refusal(*command)
        assert "ingestor 'shop', schedule: is no cron schedule" in said
        assert isinstance(invoke(*command).exception, ConfigurationError)
