"""The rules of a segment, as LEO CDP keeps them, become SQL.

LEO CDP's ``jsonQueryRules`` are the tree of a jQuery QueryBuilder::

    {"condition": "AND", "not": false, "rules": [
        {"field": "age", "type": "integer", "operator": "between", "value": [18, 40]},
        {"condition": "OR", "rules": [...]}]}

A rule finds the profiles that the CDP's query finds with it, but for one thing: ``%`` and ``_`` of a value stand for
themselves. `operators` has what each operator means, `fields` what a field is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from psycopg import sql

from cdp_platform.campaigns.fields import Fields, Order
from cdp_platform.campaigns.literals import literal
from cdp_platform.campaigns.operators import condition_of
from cdp_platform.campaigns.rule_errors import RuleError

_DEEPEST = 100
_MOST_RULES = 1_000


@dataclass(frozen=True)
class Rule:
    """One comparison.

    Attributes:
        path: where it is in the tree, such as ``rules[1].rules[0]``.
        field: name of the field, as the tree has it.
        type: string, integer, double, date, datetime, time or boolean.
        operator: name of the operator.
        value: as the tree has it.
        currency: ISO 4217 code that a rule about amounts names; None if it names none.
    """

    path: str
    field: str
    type: str
    operator: str
    value: Any
    currency: str | None


@dataclass(frozen=True)
class Group:
    """Rules and groups, all of which (AND) or one of which (OR) must hold; ``negated`` turns the whole around."""

    path: str
    condition: Literal["AND", "OR"]
    negated: bool
    rules: "Sequence[Rule | Group]"


def parse(tree: Any) -> Group:
    """The tree of rules, checked as far as it can be without knowing fields and operators.

    Args:
        tree: the tree, or its JSON text.

    Raises:
        RuleError: it is none; says where.
    """
    if isinstance(tree, str):
        try:
            tree = orjson.loads(tree)
        except orjson.JSONDecodeError as error:
            raise RuleError("", f"the rules are no JSON: {error}") from None
    if not isinstance(tree, dict) or "rules" not in tree:
        raise RuleError("rules", "there are none")
    return _group(tree, "", 1, [0])


def compiled(tree: Group, tenant_id: str, known_currencies: Callable[[], Sequence[str]]) -> sql.Composed:
    """The query of the profiles that the rules find: one column ``profile_id``, no open parameters, and no ``%``.

    Open and closed profiles alike: the CDP asks open ones only, and here the audience says who is closed.

    Args:
        tree: the rules.
        tenant_id: whose profiles; the query runs inside a transaction of this tenant.
        known_currencies: asks which currencies its customers bought in; see `Fields`.

    Raises:
        RuleError: a field, an operator or a value cannot be used; says where.
    """
    fields = Fields(known_currencies)
    condition = _condition(tree, fields, tenant_id)
    return sql.SQL("SELECT p.profile_id FROM customers.cdp_profiles AS p{} WHERE p.tenant_id = {} AND {}").format(
        fields.joined(tenant_id), literal(tenant_id), condition
    )


def _group(tree: dict[str, Any], path: str, depth: int, count: list[int]) -> Group:
    if depth > _DEEPEST:
        raise RuleError(path, f"groups are nested deeper than {_DEEPEST} levels")
    condition = tree.get("condition", "AND")
    if not isinstance(condition, str) or condition.upper() not in ("AND", "OR"):
        raise RuleError(_below(path, "condition"), "it is neither AND nor OR")
    negated = tree.get("not")
    if negated is not None and not isinstance(negated, bool):
        raise RuleError(_below(path, "not"), "it is neither true nor false")
    rules = tree["rules"]
    if not isinstance(rules, list) or not rules:
        # The CDP refuses an empty group as well. It must never mean everybody.
        raise RuleError(_below(path, "rules"), "a group needs a rule")
    found: list[Rule | Group] = []
    for at, each in enumerate(rules):
        below = _below(path, f"rules[{at}]")
        if not isinstance(each, dict):
            raise RuleError(below, "it is neither a rule nor a group")
        if "rules" in each:
            found.append(_group(each, below, depth + 1, count))
            continue
        count[0] += 1
        if count[0] > _MOST_RULES:
            raise RuleError(below, f"there are more than {_MOST_RULES:,} rules")
        found.append(_rule(each, below))
    return Group(path, "OR" if condition.upper() == "OR" else "AND", bool(negated), found)


def _rule(rule: dict[str, Any], path: str) -> Rule:
    value = rule.get("value")
    return Rule(
        path,
        _text(rule, path, "field", rule.get("id")),
        _text(rule, path, "type", _type_of(value)),
        _text(rule, path, "operator", None),
        value,
        _text(rule, path, "currency", None) if rule.get("currency") is not None else None,
    )


def _text(rule: dict[str, Any], path: str, name: str, default: Any) -> str:
    value = rule.get(name)
    value = default if value is None else value
    if not isinstance(value, str) or not value:
        raise RuleError(_below(path, name), "the rule needs it, as a text")
    return value


def _type_of(value: Any) -> str:
    """The type of a rule that does not say its own."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bool):
        return "boolean"
    return "double" if isinstance(first, int | float) else "string"


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _condition(group: Group, fields: Fields, tenant_id: str) -> sql.Composed:
    conditions: list[sql.Composable] = []
    of_orders: list[sql.Composable] = []
    for each in group.rules:
        if isinstance(each, Group):
            conditions.append(_condition(each, fields, tenant_id))
            continue
        field = fields.of(each.path, each.field, each.currency)
        condition = condition_of(each.path, field.expression, each.operator, each.type, each.value)
        if isinstance(field, Order):
            of_orders.append(field.in_currency(condition))
        else:
            conditions.append(condition)
    joint = sql.SQL(f" {group.condition} ")
    if of_orders:
        # The rules on orders in one group are about one order.
        conditions.append(fields.has_order(tenant_id, joint.join(of_orders)))
    return sql.SQL("NOT ({})" if group.negated else "({})").format(joint.join(conditions))
