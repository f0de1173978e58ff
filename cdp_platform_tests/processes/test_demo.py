"""`cdp demo`, as a newcomer's first command runs it."""

import json
from typing import LiteralString

import httpx2
import pytest
from arango.client import ArangoClient

from cdp_platform_tests.processes.conftest import ASSETS, TENANT_IDS, Checkout, Demo
from cdp_sandbox.demo import campaigns, cdnow, leads, retail
from cdp_sandbox.demo.fill import MANIFEST, _reference_of
from cdp_sandbox.demo.model import CDNOW, CONVERSIONS, PROFILES, TENANTS

TABLES: dict[str, tuple[LiteralString, LiteralString]] = {
    PROFILES: ("cdp_profiles", "profile_id"),
    CONVERSIONS: ("transactions", "line_id"),
}

EVENTS = {
    campaigns.SENT: "done",
    campaigns.SENT_BY_SMS: "done",
    campaigns.PLANNED: "planned",
    campaigns.MISSED: "missed",
}


@pytest.fixture(scope="module")
def demo_again(checkout: Checkout) -> Demo:
    return Demo.run(checkout)


def lines_of(asset: str, out: str) -> dict[str, list[str]]:
    """The cells of an asset's lines in the table, by tenant."""
    cells = [line.split() for line in out.splitlines()]
    return {row[1]: row[2:] for row in cells if row[:1] == [asset] and len(row) == 8}


def test_the_demo_succeeds_and_shows_each_asset_of_each_tenant(demo: Demo):
    assert demo.done.code == 0, demo.done.out + demo.done.err
    # As root, the sandbox tells which folders it opens for PostgreSQL's user.
    assert [line for line in demo.done.err.splitlines() if not line.startswith("note: chmod o+x ")] == []
    for asset in ASSETS:
        shown = lines_of(asset, demo.done.out)
        assert set(shown) == set(TENANT_IDS)
        for tenant, (rows, *_) in shown.items():
            assert int(rows.replace(",", "")) == len(demo.rows[tenant, asset]) > 0
    assert "Customers of most value" in demo.done.out
    assert "What to type next" in demo.done.out


def test_the_demo_sends_events_leaves_one_planned_and_one_missed(checkout: Checkout, demo: Demo, demo_again: Demo):
    lines = [line.split() for line in demo.done.out.splitlines()]
    shown = {line[1]: line for line in lines if line[:1] == ["saigon"] and len(line) == 8}
    statuses = {event: line[2] for event, line in shown.items() if event in EVENTS}
    assert statuses == EVENTS
    messages = httpx2.get(f"{checkout.env['SANDBOX_URL']}/outbox/messages", timeout=30).json()
    sent = sum(int(shown[event][5]) for event in EVENTS)
    assert demo_again.done.code == 0
    # As many as are confirmed, in spite of the second demo.
    assert len(messages) == len({message["key"] for message in messages}) == sent > 0
    assert {message["channel"] for message in messages} == {"email", "sms"}
    assert f"{checkout.env['SANDBOX_URL']}/outbox\n" in demo.done.out


def test_a_second_demo_writes_no_row(demo: Demo, demo_again: Demo):
    print(f"\nfirst demo {demo.done.seconds:.1f} s, second {demo_again.done.seconds:.1f} s")  # noqa: T201
    assert demo_again.rows == demo.rows
    for asset in ("cdp_profiles", "transactions"):
        shown = lines_of(asset, demo_again.done.out)
        assert set(shown) == set(TENANT_IDS)
        for _rows, new, changed, *_ in shown.values():
            assert (new, changed) == ("0", "0")


def test_the_tables_hold_what_the_source_holds_less_what_is_broken_on_purpose(checkout: Checkout, demo: Demo):
    env = checkout.env
    client = ArangoClient(hosts=env["ARANGO_HOST"])
    for tenant in TENANTS:
        database = client.db(tenant.database, env["ARANGO_USER"], env["ARANGO_PASSWORD"])
        assert database.has_collection(MANIFEST)
        moment = _reference_of(database)
        made = cdnow.collections("small") if tenant == CDNOW else retail.collections(tenant, "small", moment)
        flaws = {} if tenant == CDNOW else retail.broken_documents(tenant, "small", moment)
        broken = {document for documents in flaws.values() for document in documents}
        assert tenant == CDNOW or broken
        for collection, (table, key) in TABLES.items():
            wanted = {d["_key"]: d for d in made[collection] if f"{collection}/{d['_key']}" not in broken}
            assert set(demo.rows[tenant.id, table]) == set(wanted)
            kept = dict(checkout.query(tenant.id, f"SELECT {key}, document FROM customers.{table}"))
            # Other tests let a customer buy something meanwhile, and that touches the profile's stamp.
            same = [name for name in wanted if without_stamps(kept[name]) == without_stamps(wanted[name])]
            assert len(same) == len(wanted)
        listed = checkout.cdp("rejected", "list", "--tenant", tenant.id, "--json").json()
        assert {f"{each['source']}/{each['document_key']}" for each in listed} == broken
    client.close()


def without_stamps(document: dict) -> dict:
    plain = json.loads(json.dumps(document))
    return {name: value for name, value in plain.items() if name not in {"_id", "_rev", "updatedAt"}}


def test_the_demo_has_a_search_paid_and_enriched_once(checkout: Checkout, demo: Demo, demo_again: Demo):
    ((status, enriched, credits_used),) = checkout.query(
        leads.TENANT.id, "SELECT status, enriched, credits FROM enrichment.search"
    )
    assert (status, enriched, credits_used) == ("ready", 7, 6)
    assert checkout.query(leads.TENANT.id, "SELECT outcome FROM enrichment.payment_event") == [("paid",)]
    # In spite of the second demo.
    assert checkout.query(leads.TENANT.id, "SELECT count(*) FROM enrichment.provider_call") == [(1,)]
    assert "enriched_contacts" in demo.done.out
    assert demo_again.done.code == 0
