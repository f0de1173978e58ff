"""Names of products are read with the purchases that say them."""

import pytest

from cdp_platform.customers import product_names
from cdp_platform.customers.product_names import COLLECTION, NamesResult
from cdp_platform_tests.dagster_runs import Run, figures
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def shop(leo: Leo) -> Leo:
    leo.database.create_collection(COLLECTION)
    put(leo, "p1", title="Waxed rain jacket", keywords=["jacket", None, "rain"])
    put(leo, "p2", title="", day=2)
    return leo


def put(leo: Leo, key: str, *, day: int = 1, **fields: object) -> None:
    leo.put(COLLECTION, {"_key": key, "updatedAt": STAMP.format(day=day), **fields})


def refresh(leo: Leo, *, full: bool = False) -> NamesResult:
    with leo.reading("transactions") as (source, _):
        return product_names.refresh(leo.connection, source, leo.tenant.tenant_id, full=full)


def held(leo: Leo) -> dict[str, tuple[str | None, list[str]]]:
    rows = leo.rows("SELECT product_id, name, keywords FROM customers.product_name")
    return {key: (name, keywords) for key, name, keywords in rows}


def test_a_product_has_its_title_and_keywords(shop: Leo):
    assert refresh(shop) == NamesResult(written=2)
    assert held(shop) == {"p1": ("Waxed rain jacket", ["jacket", "rain"]), "p2": (None, [])}
    assert refresh(shop) == NamesResult()


def test_what_changed_is_read_and_all_of_it_in_full(shop: Leo):
    refresh(shop)
    put(shop, "p1", title="Unseen: its timestamp is older than the last that was read")
    put(shop, "p3", day=3, title="Wool socks")
    assert refresh(shop) == NamesResult(written=1)
    assert held(shop)["p1"] == ("Waxed rain jacket", ["jacket", "rain"])
    assert refresh(shop, full=True) == NamesResult(written=1)
    assert held(shop)["p1"] == ("Unseen: its timestamp is older than the last that was read", [])


def test_a_timestamp_in_the_future_hides_no_later_change(shop: Leo):
    put(shop, "future", title="Tomorrow", updatedAt="2999-01-01T00:00:00.000Z")
    refresh(shop)
    put(shop, "p3", day=3, title="Wool socks")
    refresh(shop)
    assert held(shop)["p3"] == ("Wool socks", [])


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        ({"title": ["a"]}, "not_a_text", "$.title"),
        ({"title": "a\0b"}, "nul_character", "$.title"),
        ({"keywords": "a"}, "not_a_list", "$.keywords"),
        ({"updatedAt": "soon"}, "not_a_timestamp", "$.updatedAt"),
    ],
)
def test_what_has_a_wrong_type_waits_with_its_reason_and_changes_nothing(
    shop: Leo, wrong: dict[str, object], code: str, path: str
):
    refresh(shop)
    shop.put(COLLECTION, {"_key": "p1", "updatedAt": STAMP.format(day=1), "title": "Another", **wrong})
    put(shop, "p4", title="Right")
    assert refresh(shop, full=True) == NamesResult(written=1, rejected=1)
    assert held(shop)["p1"] == ("Waxed rain jacket", ["jacket", "rain"])
    waiting = [(each.source, each.document_key, each.code, each.path) for each in shop.waiting()]
    assert waiting == [(COLLECTION, "p1", code, path)]
    put(shop, "p1", day=3, title="Mended")
    assert refresh(shop) == NamesResult(written=1)
    assert shop.waiting() == []


def test_a_product_that_is_gone_waits_no_longer(shop: Leo):
    put(shop, "p3", day=3, title=["a"])
    assert refresh(shop).rejected == 1
    shop.delete(COLLECTION, "p3")
    refresh(shop)
    assert [each.document_key for each in shop.waiting()] == ["p3"]
    refresh(shop, full=True)
    assert shop.waiting() == []


def test_a_deleted_product_keeps_its_name(shop: Leo):
    refresh(shop)
    shop.delete(COLLECTION, "p1")
    refresh(shop, full=True)
    assert held(shop)["p1"][0] == "Waxed rain jacket"


def test_a_cdp_without_products_has_no_names(leo: Leo):
    assert refresh(leo, full=True) == NamesResult()


def test_a_run_reads_names_with_the_purchases(shop: Leo, run: Run):
    shop.profile("buyer")
    shop.purchase("line", "buyer")
    outcome = run("acme")
    assert outcome.success
    assert figures(outcome, "product_names", "product_names_rejected")["transactions", "acme"] == (2, 0)
    (text,) = shop.rows("SELECT content FROM embeddings.entity_text WHERE kind = 'transaction'")
    assert text == ("transaction; Waxed rain jacket; jacket, rain; 10 USD; 1 January 2026",)


def test_a_run_does_so_for_all_products_when_it_compares(shop: Leo, run: Run):
    run("acme")
    put(shop, "p1", title="Renamed without a newer timestamp")
    assert figures(run("acme"), "product_names")["transactions", "acme"] == (0,)
    assert figures(run("acme", job="customers_reconcile"), "product_names")["transactions", "acme"] == (1,)
