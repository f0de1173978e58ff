"""What cannot be computed is an error that says where, and what is odd in a value is looked for as it stands."""

import json
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns.rule_errors import RuleError
from cdp_platform.campaigns.rules import compiled, parse
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.rule_profiles import TENANT, found_by_sql, plant


def one(**rule: Any) -> dict[str, Any]:
    known = {"field": "firstName", "type": "string", "operator": "equal", "value": "a"}
    return {"condition": "AND", "rules": [known | rule]}


def refusal(tree: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        compiled(parse(tree), TENANT, list)
    return caught.value


_DEEP: dict[str, Any] = one()
for _ in range(110):
    _DEEP = {"condition": "AND", "rules": [_DEEP]}


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ("{", ""),
        ({}, "rules"),
        ([], "rules"),
        ({"condition": "AND", "rules": []}, "rules"),
        ({"condition": "AND", "rules": [one(), {"condition": "OR", "rules": []}]}, "rules[1].rules"),
        ({"condition": "XOR", "rules": [one()]}, "condition"),
        ({"condition": "AND", "not": "yes", "rules": [one()]}, "not"),
        ({"condition": "AND", "rules": ["age"]}, "rules[0]"),
        (_DEEP, ".".join(["rules[0]"] * 100)),
        ({"condition": "OR", "rules": [{"field": "age", "operator": "less", "value": 1}] * 1001}, "rules[1000]"),
        (one(field="frstName"), "rules[0].field"),
        (one(field=None), "rules[0].field"),
        (one(field="cdp_trackingevent__metricName"), "rules[0].field"),
        (one(field="customer_metrics__clv"), "rules[0].field"),
        (one(field="orders"), "rules[0].field"),
        (one(field='firstName" FROM pg_user --'), "rules[0].field"),
        (one(operator="similar_to"), "rules[0].operator"),
        (one(operator=None), "rules[0].operator"),
        (one(type="text"), "rules[0].type"),
        (one(currency="VDN"), "rules[0].currency"),
        (one(value=["a", "b"]), "rules[0].value"),
        (one(value="a\0b"), "rules[0].value"),
        (one(value="\ud800"), "rules[0].value"),
        (one(value={}), "rules[0].value"),
        (one(type="integer", value="ten"), "rules[0].value"),
        (one(type="integer", value=1.5), "rules[0].value"),
        (one(type="integer", value=True), "rules[0].value"),
        (one(type="double", value="1e"), "rules[0].value"),
        (one(type="double", value=float("inf")), "rules[0].value"),
        (one(type="boolean", value="yes"), "rules[0].value"),
        (one(type="date", value="31.12.2026"), "rules[0].value"),
        (one(type="date", value="2026-02-30"), "rules[0].value"),
        (one(operator="in", value="a"), "rules[0].value"),
        (one(operator="in", value=[]), "rules[0].value"),
        (one(operator="in", value=["a", {"b": 1}]), "rules[0].value[1]"),
        (one(operator="between", value=["a"]), "rules[0].value"),
        (one(operator="contains", value=None), "rules[0].value"),
        (one(operator="after", value=["1", "weeks"]), "rules[0].value"),
        (one(operator="after", value=["1.5", "days"]), "rules[0].value"),
        (one(operator="before", value=["9999", "years"]), "rules[0].value"),
        (one(operator="in_journey_map", value="j"), "rules[0].value"),
        (one(operator="event_in_journey", value="j#m#equal"), "rules[0].value"),
        (one(operator="event_in_journey", value="j#m#between#1"), "rules[0].value"),
        (one(operator="compare_month_and_day_between", value="2026-01-01"), "rules[0].value"),
        ({"condition": "AND", "rules": [one(), {"condition": "OR", "rules": [one(type="integer")]}]},
         "rules[1].rules[0].rules[0].value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_error_with_its_path(tree: Any, path: str) -> None:
    error = refusal(tree)
    assert error.path == path
    assert str(error).startswith(path)


@pytest.mark.parametrize("kind", ["integer", "double", "boolean", "date"])
def test_no_message_has_the_value_which_may_be_an_address(kind: str) -> None:
    assert "@" not in str(refusal(one(type=kind, value="somebody@example.com")))


@pytest.fixture
def people(app: psycopg.Connection) -> psycopg.Connection:
    """A tenant whose profiles are named in odd ways, and one of another tenant with the same name."""
    for tenant_id in (TENANT, "other"):
        tenants.add(app, tenant_id, arango_database="")
    with tenant_transaction(app, TENANT):
        plant(
            app,
            [
                {"_key": f"p{at}", "firstName": name, "age": at, "dataLabels": ["label7%" if at == 3 else "label7"]}
                for at, name in enumerate(_NAMES)
            ],
        )
    with tenant_transaction(app, "other"):
        plant(app, [{"_key": "foreign", "firstName": name} for name in _NAMES[:1]], "other")
    return app


_NAMES = [
    "'; DROP TABLE customers.cdp_profiles; --",
    "100%",
    "100 percent",
    "%(tenant)s",
    "{}",
    "a_b",
    "axb",
    "\\",
    '"',
    "$$",
    "Nguyễn\nVăn",
    "\u2028",
    "'",
]


@pytest.mark.parametrize("operator", ["equal", "contains", "begins_with", "ends_with", "in", "sub_field_equals"])
def test_a_value_that_is_odd_finds_itself_and_nobody_else(people: psycopg.Connection, operator: str) -> None:
    with tenant_transaction(people, TENANT):
        for at, name in enumerate(_NAMES):
            value: Any = [name, "nobody"] if operator == "in" else name
            # Two of the names are a part of others.
            expected = {f"p{each}" for each, other in enumerate(_NAMES) if _holds(operator, other, name)}
            found, _ = found_by_sql(people, one(operator=operator, value=value))
            assert found == expected
            assert f"p{at}" in found


def _holds(operator: str, name: str, value: str) -> bool:
    match operator:
        case "contains":
            return value.lower() in name.lower()
        case "begins_with":
            return name.startswith(value)
        case "ends_with":
            return name.endswith(value)
    return name == value


def test_ten_thousand_values_and_fifty_levels_are_answered(people: psycopg.Connection) -> None:
    many = one(operator="in", value=[f"name{number}" for number in range(10_000)] + ["100%"])
    numbers = one(field="age", type="integer", operator="in", value=list(range(5, 10_005)))
    lists = one(field="dataLabels", operator="contains_any", value=[f"label{number}%" for number in range(10_000)])
    deep = one(field="age", type="integer", operator="less", value=2)
    for level in range(50):
        deep = {"condition": ("AND", "OR")[level % 2], "not": True, "rules": [deep]}
    with tenant_transaction(people, TENANT):
        assert found_by_sql(people, many)[0] == {"p1"}
        assert found_by_sql(people, numbers)[0] == {f"p{at}" for at in range(5, len(_NAMES))}
        assert found_by_sql(people, lists)[0] == {"p3"}
        assert found_by_sql(people, json.dumps(deep))[0] == {"p0", "p1"}


def test_rules_find_nobody_of_another_tenant(people: psycopg.Connection) -> None:
    query = compiled(parse(one(operator="is_not_null")), TENANT, list)
    with tenant_transaction(people, TENANT):
        assert len(people.execute(query).fetchall()) == len(_NAMES)
    with tenant_transaction(people, "other"):
        assert people.execute(query).fetchall() == []
