"""Segments have versions, say where their people come from, and are compared with the CDP."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cdp_platform.campaigns import segments
from cdp_platform.errors import QueryError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.campaigns.rule_profiles import TENANT, plant
from cdp_platform_tests.conftest import Warehouse
from cdp_sandbox.demo import retail
from cdp_sandbox.demo.markets import MARKETS
from cdp_sandbox.demo.model import PROFILES, SEGMENTS


@pytest.fixture
def tenant(app: psycopg.Connection) -> Tenant:
    tenants.add(app, TENANT, arango_database="")
    return tenants.get(app, TENANT)


def rules(field: str, operator: str, value: Any, **more: Any) -> dict[str, Any]:
    rule = {"field": field, "operator": operator, "value": value, **more}
    return {"condition": "AND", "rules": [rule]}


def save(connection: psycopg.Connection, name: str = "young", below: int = 30, **given: Any) -> int:
    with tenant_transaction(connection, TENANT):
        content: dict[str, Any] = {
            "name": name,
            "kind": "rules",
            "rules": rules("age", "less", below),
            "origin": "file",
        }
        return segments.save(connection, TENANT, "young", **(content | given))


def people(connection: psycopg.Connection, segment_id: str = "young") -> set[str]:
    with tenant_transaction(connection, TENANT):
        found = segments.people(connection, TENANT, segment_id)
        return {row[0] for row in connection.execute(found.query)}


def from_the_cdp(connection: psycopg.Connection, *documents: dict[str, Any]) -> None:
    """Rows of ``customers.cdp_segments`` as the sync writes them."""
    with tenant_transaction(connection, TENANT):
        connection.execute("DELETE FROM customers.cdp_segments")
        for document in documents:
            connection.execute(
                "INSERT INTO customers.cdp_segments (tenant_id, segment_id, name, json_query_rules,"
                " custom_query_filter, closed_at, closed_reason, document, document_hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, '{}', '')",
                [
                    TENANT,
                    document["_key"],
                    document["name"],
                    document.get("jsonQueryRules"),
                    document.get("customQueryFilter"),
                    *(("2026-01-01", "removed") if document.get("status", 1) < 0 else (None, None)),
                ],
            )


def result(**numbers: int) -> segments.SegmentsResult:
    return segments.SegmentsResult(**numbers, left_out=0)


def aged(ages: Sequence[int], segment: str | None = None) -> list[dict[str, Any]]:
    reference = [{"id": segment, "name": segment}] if segment else []
    return [
        {"_key": f"p{age}", "age": age, "primaryEmail": f"p{age}@example.com", "inSegments": reference} for age in ages
    ]


def test_another_version_is_written_where_the_rules_change_and_only_there(
    app: psycopg.Connection, tenant: Tenant
) -> None:
    assert save(app) == 1
    assert save(app) == 1
    assert save(app, name="The young") == 1
    assert save(app, below=40) == 2
    assert save(app, below=30) == 3
    with tenant_transaction(app, TENANT):
        (used,) = segments.listed(app, TENANT)
    assert (used.version, used.name, used.rules) == (3, "young", rules("age", "less", 30))


def test_a_version_that_an_audience_was_resolved_with_stays_as_it_was(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app)
    with tenant_transaction(app, TENANT):
        plant(app, aged([20, 35]))
        before = segments.people(app, TENANT, "young")
    save(app, below=40)
    with tenant_transaction(app, TENANT):
        after = segments.people(app, TENANT, "young")
        assert (before.version, after.version) == (1, 2)
        assert before.content_hash != after.content_hash
        assert {row[0] for row in app.execute(before.query)} == {"p20"}
        assert {row[0] for row in app.execute(after.query)} == {"p20", "p35"}
        (held,) = app.execute("SELECT rules FROM campaigns.segment WHERE version = 1").fetchone() or (None,)
    assert held == rules("age", "less", 30)


def test_rules_that_cannot_be_computed_are_not_saved(app: psycopg.Connection, tenant: Tenant) -> None:
    with pytest.raises(QueryError, match=r"^rules\[0\].field: there is no such field"):
        save(app, rules=rules("agee", "less", 30))
    with tenant_transaction(app, TENANT):
        assert segments.listed(app, TENANT) == []
        with pytest.raises(QueryError, match="has no segment 'young'"):
            segments.people(app, TENANT, "young")


def test_a_file_cannot_take_over_a_segment_of_the_cdp(app: psycopg.Connection, tenant: Tenant) -> None:
    from_the_cdp(app, {"_key": "young", "name": "Young", "jsonQueryRules": json.dumps(rules("age", "less", 30))})
    segments.refresh(app, tenant)
    with pytest.raises(QueryError, match="choose another name"):
        save(app)


def test_the_cdp_cannot_take_over_a_segment_of_a_file(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app)
    from_the_cdp(app, {"_key": "young", "name": "Others"}, {"_key": "vip", "name": "VIP"})
    found = segments.refresh(app, tenant)
    assert (found.membership, found.left_out, found.retired) == (1, 1, 0)
    with tenant_transaction(app, TENANT):
        assert segments.get(app, TENANT, "young").name == "young"


def test_two_who_save_a_segment_at_once_write_one_version(
    app: psycopg.Connection, warehouse: Warehouse, tenant: Tenant
) -> None:
    def another(_: int) -> int:
        with connect(warehouse.settings) as connection:
            return save(connection)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(another, range(16))) == {1}


def test_what_left_the_file_is_retired_and_comes_back_as_it_was(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app)
    with tenant_transaction(app, TENANT):
        assert segments.retire(app, TENANT, "file", ["another"]) == 1
    with pytest.raises(QueryError, match="was deleted"):
        people(app)
    assert save(app) == 1
    assert people(app) == set()


def test_segments_of_the_cdp_are_computed_where_that_can_be_done_and_say_why_not(
    app: psycopg.Connection, tenant: Tenant
) -> None:
    young = json.dumps(rules("age", "less", 30, type="integer"))
    events = json.dumps(rules("cdp_trackingevent__metricName", "equal", "purchase", type="string"))
    from_the_cdp(
        app,
        {"_key": "young", "name": "Young", "jsonQueryRules": young},
        {"_key": "free", "name": "Free", "jsonQueryRules": young, "customQueryFilter": "FILTER d.age > 1"},
        {"_key": "events", "name": "Events", "jsonQueryRules": events},
        {"_key": "none", "name": "None", "jsonQueryRules": None},
        {"_key": "nul", "name": "Nul", "jsonQueryRules": young.replace("{", '{"label": "\\u0000", ', 1)},
        {"_key": "gone", "name": "Gone", "jsonQueryRules": young, "status": -4},
    )
    assert segments.refresh(app, tenant) == result(rules=1, membership=4, written=5, retired=0)
    assert segments.refresh(app, tenant) == result(rules=1, membership=4, written=0, retired=0)
    with tenant_transaction(app, TENANT):
        found = {each.segment_id: (each.kind, each.problem) for each in segments.listed(app, TENANT)}
    assert found == {
        "young": ("rules", None),
        "free": ("membership", "The CDP asks for it in AQL (customQueryFilter), which is not computed here."),
        "events": (
            "membership",
            "The rules are not computed here: rules[0].field: cdp_trackingevent is a collection of the CDP that the "
            "platform does not read.",
        ),
        "none": ("membership", "The rules are not computed here: rules: there are none."),
        "nul": ("membership", "The rules are not computed here: the rules hold a NUL character."),
    }
    with tenant_transaction(app, TENANT):
        plant(app, [*aged([20, 40], "free"), *aged([25])])
    assert people(app, "young") == {"p20", "p25"}
    assert people(app, "free") == {"p20", "p40"}
    from_the_cdp(app, {"_key": "free", "name": "Free", "jsonQueryRules": young})
    assert segments.refresh(app, tenant) == result(rules=1, membership=0, written=1, retired=4)
    assert people(app, "free") == {"p20", "p25"}
    with pytest.raises(QueryError, match="was deleted"):
        people(app, "young")


def test_how_far_rules_and_membership_agree_is_known(app: psycopg.Connection, tenant: Tenant) -> None:
    from_the_cdp(app, {"_key": "young", "name": "Young", "jsonQueryRules": json.dumps(rules("age", "less", 30))})
    segments.refresh(app, tenant)
    with tenant_transaction(app, TENANT):
        plant(app, [*aged([20, 21, 40], "young"), *aged([22, 23])])
        # The CDP has no closed profile in a segment.
        app.execute(
            "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'merged' WHERE profile_id = 'p23'"
        )
    (found,) = segments.agreement(app, TENANT)
    assert (found.computed, found.members, found.both, found.share) == (3, 3, 2, 0.5)


@pytest.mark.parametrize("market", sorted(MARKETS))
def test_the_segments_of_the_demo_have_whom_their_rules_find(
    app: psycopg.Connection, tenant: Tenant, market: str
) -> None:
    made = retail.collections(MARKETS[market].tenant, "small")
    documents = [
        each for each in made[PROFILES] if isinstance(each["inSegments"], list) and "\0" not in each["firstName"]
    ]
    from_the_cdp(app, *made[SEGMENTS])
    counted = segments.refresh(app, tenant)
    assert (counted.rules, counted.membership) == (7, 1)
    with tenant_transaction(app, TENANT):
        plant(app, documents)
        app.execute(
            "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'inactive'"
            " WHERE (document ->> 'status')::int <= 0"
        )
    for each in segments.agreement(app, TENANT):
        assert (each.name, each.share) == (each.name, 1.0)
        assert 0 < each.both < len(documents), each.name


def test_a_rule_on_amounts_names_its_currency_where_there_are_several(app: psycopg.Connection, tenant: Tenant) -> None:
    rich = rules("customer_metrics__monetary_90d", "greater", 100)
    save(app, rules=rich)
    with tenant_transaction(app, TENANT):
        plant(app, aged([20, 30, 40]))
        _figures(app, ("p20", "USD", 500), ("p30", "USD", 50), ("p40", "XXX", 0))
    assert people(app) == {"p20"}
    save(app, rules=rules("customer_metrics__monetary_90d", "less", 100))
    # Who never bought has spent nothing, in any currency.
    assert people(app) == {"p30", "p40"}
    with tenant_transaction(app, TENANT):
        _figures(app, ("p30", "VND", 900_000))
    save(app, rules=rich)
    with pytest.raises(QueryError, match=r"rules\[0\].currency: there are amounts in USD, VND: the rule must name one"):
        people(app)
    save(app, rules=rules("customer_metrics__monetary_90d", "greater", 100, currency="VND"))
    assert people(app) == {"p30"}


def _figures(connection: psycopg.Connection, *rows: tuple[str, str, int]) -> None:
    for profile_id, currency, spend in rows:
        connection.execute(
            "INSERT INTO customers.customer_metrics (tenant_id, profile_id, currency, freq_90d, avg_order_value,"
            " monetary_90d, clv_est, experience_score, segment, segment_reason, last_purchase)"
            " VALUES (%s, %s, %s, 1, 1, %s, 1, 1, 'target', '{}', CASE WHEN %s <> 'XXX' THEN now() END)",
            [TENANT, profile_id, currency, spend, currency],
        )


def test_the_rules_on_orders_in_a_group_are_about_one_order(app: psycopg.Connection, tenant: Tenant) -> None:
    with tenant_transaction(app, TENANT):
        plant(app, aged([20, 30, 40]))
        for line, (profile_id, amount, moment) in enumerate(
            [("p20", 500, "2026-01-01"), ("p20", 5, "2026-06-01"), ("p30", 500, "2026-06-01")]
        ):
            app.execute(
                "INSERT INTO customers.transactions (tenant_id, line_id, profile_id, amount, currency, segment_ids,"
                " asset_group_ids, occurred_at, document, document_hash)"
                " VALUES (%s, %s, %s, %s, 'USD', '[]', '[]', %s, '{}', '')",
                [TENANT, f"l{line}", profile_id, amount, moment],
            )
    large = {"field": "orders__amount", "operator": "greater", "value": 100, "currency": "USD"}
    late = {"field": "orders__ordered_at", "type": "date", "operator": "greater", "value": "2026-03-01"}
    save(app, rules={"condition": "AND", "rules": [large, late]})
    assert people(app) == {"p30"}
    save(app, rules={"condition": "AND", "rules": [large, {"condition": "AND", "rules": [late]}]})
    assert people(app) == {"p20", "p30"}
    save(app, rules={"condition": "AND", "not": True, "rules": [large]})
    assert people(app) == {"p40"}


def test_a_lookalike_is_like_the_seed_and_not_in_it(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app, kind="lookalike", rules=None, seed="vip")
    with pytest.raises(QueryError, match="nobody is like segment 'vip'"):
        people(app)
    with tenant_transaction(app, TENANT):
        plant(app, [*aged([20, 30]), *aged([40], "vip")])
        app.execute(
            "INSERT INTO embeddings.lookalike_audience (tenant_id, segment_id, profile_id, similarity, place)"
            " SELECT %s, 'vip', unnest(ARRAY['p20', 'p40']), 0.9, 1",
            [TENANT],
        )
    assert people(app) == {"p20"}


def test_the_segments_of_a_profile_are_a_field(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app, rules=rules("segments", "not_contains_any", ["vip", "100%"]))
    with tenant_transaction(app, TENANT):
        plant(app, [*aged([20], "vip"), *aged([30], "100%"), *aged([40], "others"), *aged([50])])
    assert people(app) == {"p40", "p50"}


def test_a_preview_shows_a_segment_without_data_of_persons(app: psycopg.Connection, tenant: Tenant) -> None:
    save(app, rules=rules("primaryEmail", "contains", "@Example.com%"))
    save(
        app,
        rules={
            "condition": "AND",
            "rules": [rules("primaryEmail", "contains", "@Example.com"), rules("age", "less", 40)],
        },
    )
    with tenant_transaction(app, TENANT):
        plant(app, aged(range(20, 45)))
    shown = segments.preview(app, tenant, "young")
    assert (shown.count, len(shown.members), len(set(shown.members))) == (20, 10, 10)
    assert all(len(member) == 64 for member in shown.members)
    assert shown.cost > 0
    assert "example" not in shown.sql.lower()
    assert "(d.document -> $2)" in shown.sql


def test_the_query_of_a_segment_can_stand_in_a_statement_with_parameters(
    app: psycopg.Connection, tenant: Tenant
) -> None:
    save(app, rules=rules("firstName", "in", ["100%", "%(tenant)s"]))
    with tenant_transaction(app, TENANT):
        plant(app, [{"_key": "a", "firstName": "100%"}, {"_key": "b", "firstName": "100"}])
        query = segments.people(app, TENANT, "young").query
        statement = sql.SQL("SELECT profile_id, %(more)s FROM ({}) AS p").format(query)
        assert app.execute(statement, {"more": 1}).fetchall() == [("a", 1)]
