"""`cdp ...` as an operator types it while the platform is served and has work to do."""

import pytest

from cdp_platform_tests.processes.conftest import ASSETS, TENANT_IDS, Checkout, Launched, Purchase, figures_of

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def _beside_a_daemon_at_work(launched: Launched, newcomer: str, purchase: Purchase) -> None:
    """A run, a backfill, a tenant and a change in the source are what it works at."""


def test_health_looks_at_each_system_and_each_tenants_database(checkout: Checkout):
    done = checkout.cdp("health", "--json")
    found = done.json()
    assert done.code == 0, found
    assert {each["state"] for each in found} == {"ok"}
    # Whether opt-outs are kept in a journal is a setting, and nobody is asked for it.
    latencies = {each["system"]: each["latency_ms"] for each in found}
    assert latencies.pop("Opt-outs") is None
    assert all(latency is not None and latency > 0 for latency in latencies.values()), latencies
    assert [each["system"] for each in found[:2]] == ["PostgreSQL (warehouse)", "ArangoDB"]
    assert all(any(f"({tenant})" in each["system"] for each in found) for tenant in TENANT_IDS)
    shown = checkout.cdp("health")
    assert (shown.code, shown.err) == (0, "")
    assert "Outside systems" in shown.out


def test_status_shows_every_source_of_every_tenant(checkout: Checkout):
    done = checkout.cdp("status", "--json")
    # Others may be registered by now, and not be read yet.
    found = [each for each in done.json() if each["tenant_id"] in TENANT_IDS]
    assert done.code == 0
    assert {(each["tenant_id"], each["source"]) for each in found} == {
        (tenant, source) for tenant in TENANT_IDS for source in ("cdp_profile", "cdp_profile2conversion")
    }
    assert all(each["last_success_at"] and each["source_count"] and each["lag"] is not None for each in found)
    shown = checkout.cdp("status")
    assert (shown.code, shown.err) == (0, "")
    assert all(tenant in shown.out for tenant in TENANT_IDS)


def test_a_sync_reports_what_it_did_and_json_stands_alone_on_stdout(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "cdnow", "--json")
    report = done.json()
    assert (done.code, done.err) == (0, "")
    made = [each["asset"] for each in report["outcomes"]]
    assert [asset for asset in made if asset in ASSETS][2:] == ["customer_metrics", "customer_value"]
    assert set(made) == {*ASSETS, "cdp_segments", "segments"}
    figures = figures_of(report)
    assert figures["cdp_profiles"]["changed"] == figures["cdp_profiles"]["new"] == 0
    assert report["errors"] == []


def test_a_full_sync_reads_every_document_and_writes_none_that_is_the_same(checkout: Checkout):
    made = figures_of(checkout.cdp("sync", "--full", "--json", DEFAULT_TENANT_ID="cdnow").json())
    for name in ("cdp_profiles", "transactions"):
        figures = made[name]
        assert figures["read"] == figures["unchanged"] == figures["source_count"] > 100


def test_a_failed_check_fails_the_sync_and_says_which_command_tells_more(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "saigon")
    assert (done.code, done.err) == (1, "")
    assert "Materialized" in done.out
    assert "error saigon cdp_profiles: rejected_share: 3 documents of Saigon Retail (demo: some of its" in done.out
    assert "`cdp rejected list" in done.out


def test_rejected_documents_are_listed_with_the_reason(checkout: Checkout):
    listed = checkout.cdp("rejected", "list", "--tenant", "saigon", "--json").json()
    assert len(listed) == 5
    assert all(each["code"] and each["path"].startswith("$") and each["document"] for each in listed)
    shown = checkout.cdp("rejected", "list", "--tenant", "saigon")
    assert (shown.code, shown.err) == (0, "")
    assert all(each["document_key"] in shown.out and each["code"] in shown.out for each in listed)
    assert checkout.cdp("rejected", "list", "--tenant", "cdnow").out == "No document of cdnow waits.\n"


def test_a_replay_that_takes_nothing_fails_and_one_without_work_does_not(checkout: Checkout):
    done = checkout.cdp("rejected", "replay", "--tenant", "saigon", "--json")
    assert done.code == 1
    assert {each["source"]: (each["tried"], each["taken"], each["still_rejected"]) for each in done.json()} == {
        "cdp_profile": (3, 0, 3),
        "cdp_profile2conversion": (2, 0, 2),
    }
    nothing = checkout.cdp("rejected", "replay", "--tenant", "cdnow")
    assert (nothing.code, nothing.out) == (0, "No document of cdnow waits.\n")


def test_a_comparison_without_a_difference_has_nothing_to_mend_and_shows_equal_checksums(checkout: Checkout):
    shown = checkout.cdp("reconcile", "--tenant", "cdnow")
    assert (shown.code, shown.err) == (0, "")
    # Profiles, transactions and segments.
    assert shown.out.count("the same keys; nothing to mend.") == 3
    figures = figures_of(checkout.cdp("reconcile", "--tenant", "cdnow", "--json").json())
    for name in ("cdp_profiles", "transactions"):
        found = figures[name]
        assert found["source_checksum"] == found["target_checksum"]
        assert found["source_count"] == found["target_count"] == found["dagster/partition_row_count"] > 100
        assert [found[figure] for figure in ("missing", "changed_unseen", "gone", "closed_as_deleted")] == [0] * 4
