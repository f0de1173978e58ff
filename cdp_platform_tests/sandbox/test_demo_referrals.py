"""The referrals of the demo tenants: what is drawn, purely, and that it arrives in the warehouse, once."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from cdp_platform.warehouse.connection import tenant_transaction
from cdp_sandbox.demo.markets import MARKETS
from cdp_sandbox.demo.model import HARBOUR, REFERENCE, SAIGON, DemoTenant
from cdp_sandbox.demo.referrals import COLUMNS, Referrals, fill_referrals, referrals

TENANTS = (SAIGON, HARBOUR)


@pytest.fixture(scope="module", params=TENANTS, ids=lambda tenant: tenant.id)
def tenant(request: pytest.FixtureRequest) -> DemoTenant:
    return request.param


@pytest.fixture(scope="module")
def made(tenant: DemoTenant) -> Referrals:
    return referrals(MARKETS[tenant.id], "default", REFERENCE)


def rows(made: Referrals, table: LiteralString) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS[table], row, strict=True)) for row in getattr(made, table)]


def test_the_same_seed_gives_the_same_rows(tenant: DemoTenant):
    code = (
        "import hashlib, sys; from cdp_sandbox.demo import markets, model, referrals;"
        "made = referrals.referrals(markets.MARKETS[sys.argv[1]], 'small', model.REFERENCE);"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, tenant.id],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {
        hashlib.sha256(repr(referrals(MARKETS[tenant.id], "small", REFERENCE)).encode()).hexdigest() + "\n"
    }


def test_an_event_is_the_same_at_every_scale(tenant: DemoTenant, made: Referrals):
    small = referrals(MARKETS[tenant.id], "small", REFERENCE)
    for table in COLUMNS:
        assert getattr(small, table) == getattr(made, table)[: len(getattr(small, table))]


@pytest.mark.parametrize(("scale", "events"), [("small", 2_000), ("default", 8_000), ("large", 100_000)])
def test_there_is_as_much_as_was_promised(scale: Any, events: int):
    drawn = [referrals(MARKETS[tenant.id], scale, REFERENCE) for tenant in TENANTS]
    assert sum(len(each.click_event) + len(each.signup_event) for each in drawn) == pytest.approx(events, rel=0.05)


def test_no_id_and_no_code_occurs_twice(made: Referrals):
    for table in COLUMNS:
        ids = [row[0] for row in getattr(made, table)]
        assert ids
        assert len(ids) == len(set(ids))
    codes = [link["ref_code"] for link in rows(made, "referral_link")]
    assert len(codes) == len(set(codes))


def test_campaigns_run_without_end_have_ended_run_now_and_start_soon(made: Referrals):
    campaigns = rows(made, "campaign")
    assert any(each["ends_at"] is None for each in campaigns)
    assert any(each["ends_at"] and each["ends_at"] < REFERENCE and not each["is_active"] for each in campaigns)
    assert any(each["ends_at"] and each["starts_at"] < REFERENCE < each["ends_at"] for each in campaigns)
    assert any(each["starts_at"] > REFERENCE for each in campaigns)


def test_events_lie_in_the_hundred_days_before_the_moment_and_within_their_campaign(made: Referrals):
    links = {link["referral_link_id"]: link for link in rows(made, "referral_link")}
    campaigns = {campaign["campaign_id"]: campaign for campaign in rows(made, "campaign")}
    clicks = rows(made, "click_event")
    for click in clicks:
        link = links[click["referral_link_id"]]
        campaign = campaigns[link["campaign_id"]]
        ends = [each for each in (campaign["ends_at"], link["revoke_at"], REFERENCE) if each]
        assert max(campaign["starts_at"], REFERENCE - timedelta(days=100)) <= click["occurred_at"] < min(ends)
        assert click["occurred_at"] < click["ingested_at"] <= REFERENCE
    assert len({click["occurred_at"].date() for click in clicks}) > 95


def test_signups_come_minutes_to_days_after_their_click(made: Referrals):
    clicks = {click["click_event_id"]: click for click in rows(made, "click_event")}
    minutes = []
    for signup in rows(made, "signup_event"):
        click = clicks[signup["click_event_id"]]
        assert click["referral_link_id"] == signup["referral_link_id"]
        lasted = signup["occurred_at"] - click["occurred_at"]
        assert signup["occurred_at"] < REFERENCE
        assert signup["conversion_minutes"] == lasted // timedelta(minutes=1)
        minutes.append(signup["conversion_minutes"])
    assert min(minutes) < 5
    assert max(minutes) > 3 * 24 * 60
    assert 0.1 < len(minutes) / len(clicks) < 0.15


def test_some_are_flagged_some_look_like_formulas_and_some_came_late(tenant: DemoTenant):
    for scale in ("small", "default"):
        made = referrals(MARKETS[tenant.id], scale, REFERENCE)
        clicks = rows(made, "click_event")
        flagged = [click for click in clicks if (click["fraud_score"] or 0) > 7]
        assert 0.02 < len(flagged) / len(clicks) < 0.06
        assert any((signup["fraud_score"] or 0) > 7 for signup in rows(made, "signup_event"))
        assert any(click["user_agent"].startswith("=") for click in clicks)
        late = Counter(
            click["ingested_at"] for click in clicks if click["ingested_at"] - click["occurred_at"] > timedelta(days=1)
        )
        assert list(late) == [REFERENCE - timedelta(days=7)]
        assert late.total() >= 3


def test_nobody_is_real(made: Referrals):
    assert all(signup["email"].endswith("@example.com") for signup in rows(made, "signup_event"))
    for click in rows(made, "click_event"):
        assert click["ip"].startswith(("203.0.113.", "198.51.100.", "192.0.2.", "2001:db8:"))


def contents(connection: psycopg.Connection) -> dict[str, list[Any]]:
    found = {}
    for tenant in TENANTS:
        with tenant_transaction(connection, tenant.id):
            for table in COLUMNS:
                query = f"SELECT *, xmin FROM referrals.{table} ORDER BY 1, 2"
                found[f"{tenant.id}/{table}"] = connection.execute(query).fetchall()
    return found


def test_what_arrives_is_what_was_made(app: psycopg.Connection):
    filled = fill_referrals(app, "small", REFERENCE)
    for tenant in TENANTS:
        made = referrals(MARKETS[tenant.id], "small", REFERENCE)
        with tenant_transaction(app, tenant.id):
            for table, columns in COLUMNS.items():
                stored = app.execute(f"SELECT {', '.join(columns)} FROM referrals.{table}").fetchall()
                assert sorted(map(repr, stored)) == sorted(map(repr, getattr(made, table)))
                assert (tenant.id, table, len(stored), 0) in filled


def test_a_second_fill_writes_nothing(app: psycopg.Connection):
    fill_referrals(app, "small", REFERENCE)
    before = contents(app)
    for moment in (REFERENCE, REFERENCE + timedelta(days=3, hours=7)):
        assert all(row.written == 0 for row in fill_referrals(app, "small", moment))
        assert contents(app) == before


def test_a_larger_scale_adds_and_what_changed_since_stays(app: psycopg.Connection):
    fill_referrals(app, "small", REFERENCE)
    with tenant_transaction(app, SAIGON.id):
        app.execute("UPDATE referrals.officer SET full_name = 'Renamed'")
    before = contents(app)
    fill_referrals(app, "default", REFERENCE)
    after = contents(app)
    for name, stored in before.items():
        assert set(map(repr, stored)) <= set(map(repr, after[name]))
    assert len(after["saigon/click_event"]) > len(before["saigon/click_event"])
