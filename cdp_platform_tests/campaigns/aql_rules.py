"""What LEO CDP makes of a tree of rules: the AQL of its query builder, for the stand-in to run.

The forms are those that ``query-builder-2.1.1.jar`` of LEO CDP (`trieu/leo-cdp-framework`) writes. Two things it leaves
undone are done here: texts are quoted, and ``%``, ``_`` and backslashes of a value are escaped in patterns.
"""

import json
from collections.abc import Callable
from typing import Any

ZONE = "'Asia/Ho_Chi_Minh'"
_SYMBOLS = {
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "less_or_equal": "<=",
    "greater": ">",
    "greater_or_equal": ">=",
    "data_equals": "==",
    "data_less_than": "<",
    "data_equals_or_less_than": "<=",
    "data_greater_than": ">",
    "data_equals_or_greater_than": ">=",
    "sub_field_equals": "==",
}
_PATTERNS = {
    "begins_with": ("{}%", False),
    "ends_with": ("%{}", False),
    "contains": ("%{}%", True),
    "sub_field_contains": ("%{}%", False),
    "data_contains": ("%{}%", True),
    "data_from": ("{}%", True),
}
_DATES: dict[str, str] = {
    "is_today": "DATE_COMPARE(DATE_NOW(), {local}, 'years', 'days')",
    "compare_year_month_day_with_now": "DATE_COMPARE(DATE_NOW(), {local}, 'years', 'days')",
    "compare_month_and_day_with_now": "DATE_COMPARE(DATE_NOW(), {local}, 'months', 'days')",
    "is_valid_date": "IS_DATESTRING({f})",
    "is_not_valid_date": "NOT IS_DATESTRING({f})",
    "is_empty": "({f} == '' OR {f} == null)",
    "is_not_empty": "LENGTH({f}) > 0",
    "is_null": "{f} == null",
    "is_not_null": "{f} != null",
}
_UNITS = {
    "years": "'years'",
    "months": "'months'",
    "days": "'months','days'",
    "exactly_days": "'years','days'",
}


def aql(tree: dict[str, Any]) -> str:
    """The query of the keys of the profiles that a tree finds, open and closed ones."""
    return f"FOR d IN cdp_profile FILTER {_condition(tree)} RETURN d._key"


def _condition(node: dict[str, Any]) -> str:
    if "rules" in node:
        joined = f" {node['condition']} ".join(_condition(each) for each in node["rules"])
        return f"NOT ({joined})" if node.get("not") else f"({joined})"
    field = "d." + node["field"].partition("#")[0].removeprefix("cdp_profile__").replace("__", ".")
    return f"({_rule(field, node['operator'], node['type'], node.get('value'))})"


def _rule(field: str, operator: str, kind: str, value: Any) -> str:
    local = f"DATE_UTCTOLOCAL({field}, {ZONE})"
    if operator in _DATES:
        return _DATES[operator].format(f=field, local=local)
    if kind == "date" and operator in ("equal", "not_equal"):
        return f"{'!' if operator == 'not_equal' else ''} DATE_COMPARE('{value}', {field}, 'years', 'days')"
    if operator in _SYMBOLS:
        return f"{field} {_SYMBOLS[operator]} {json.dumps(value)}"
    plain = operator.removeprefix("not_")
    if plain in _PATTERNS:
        form, any_case = _PATTERNS[plain]
        pattern = json.dumps(form.format(_escaped(value)))
        return f"{'NOT ' if plain != operator else ''}LIKE({field}, {pattern}, {json.dumps(any_case)})"
    return _OTHERS[operator](field, local, value)


def _escaped(value: str) -> str:
    return "".join(f"\\{char}" if char in "%_\\" else char for char in value)


def _list(value: Any) -> str:
    return json.dumps(value if isinstance(value, list) else [value])


def _event(field: str, _local: str, value: Any) -> str:
    journey, metric, operator, number = value.split("#")
    return f"{field}[{json.dumps(f'{journey}-{metric}')}] {_SYMBOLS[operator]} {number}"


def _journey(field: str, _local: str, value: Any) -> str:
    key, number = value
    return f"LENGTH(FOR r IN {field} FILTER r.id == {json.dumps(key)} && r.indexScore >= {number} RETURN r) > 0"


def _between(field: str, local: str, value: Any) -> str:
    first, last = value
    return (
        f"IS_DATESTRING({field}) && DATE_MONTH({local}) >= DATE_MONTH('{first}')"
        f" && DATE_DAY({local}) >= DATE_DAY('{first}')"
        f" && DATE_MONTH({local}) <= DATE_MONTH('{last}') && DATE_DAY({local}) <= DATE_DAY('{last}')"
    )


def _around(sign: int) -> Callable[[str, str, Any], str]:
    def rule(field: str, local: str, value: Any) -> str:
        number, unit = value
        added = f"DATE_ADD(DATE_NOW(), {sign * int(number)}, '{unit.removeprefix('exactly_')}')"
        return f"IS_DATESTRING({field}) && DATE_COMPARE({added}, {local}, {_UNITS[unit]})"

    return rule


def _exactly(sign: int, symbol: str) -> Callable[[str, str, Any], str]:
    def rule(field: str, local: str, value: Any) -> str:
        number, unit = value
        added = f"DATE_ADD(DATE_NOW(), {sign * int(number)}, '{unit.removeprefix('exactly_')}')"
        return f"IS_DATESTRING({field}) && ({added} {symbol} {local})"

    return rule


_OTHERS: dict[str, Callable[[str, str, Any], str]] = {
    "in": lambda f, _, v: f"{f} IN {_list(v)}",
    "not_in": lambda f, _, v: f"{f} NOT IN {_list(v)}",
    "between": lambda f, _, v: f"{f} >= {json.dumps(v[0])} && {f} <= {json.dumps(v[1])}",
    "not_between": lambda f, _, v: f"{f} < {json.dumps(v[0])} OR {f} > {json.dumps(v[1])}",
    "contains_any": lambda f, _, v: f"{f} ANY IN {_list(v)}",
    "not_contains_any": lambda f, _, v: f"{f} NONE IN {_list(v)}",
    "has_key": lambda f, _, v: f"{f}[{json.dumps(v)}]",
    "not_has_key": lambda f, _, v: f"NOT {f}[{json.dumps(v)}]",
    "compare_month_and_day": lambda _f, local, v: f"DATE_COMPARE('{v}', {local}, 'months', 'days')",
    "compare_month_and_day_between": _between,
    "event_in_journey": _event,
    "in_journey_map": _journey,
    "after": _around(1),
    "before": _around(-1),
    "exactly_after": _exactly(1, ">"),
    "exactly_before": _exactly(-1, "<"),
}
