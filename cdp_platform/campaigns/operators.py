"""Operators of rules: the 20 of the jQuery QueryBuilder, and those that LEO CDP adds.

Each means what the AQL means that LEO CDP's query builder (``query-builder-2.1.1``) writes for it. There ``f`` is the
field and ``v`` the value:

=======================================  ===============================================================================
``equal``, ``less``, ``between`` …       ``f == v``, ``f < v``, ``f >= v[0] && f <= v[1]``, in AQL's order of all
                                         values: null, booleans, numbers, texts, arrays, objects. So a missing number is
                                         less than any, and a missing text is not equal to any
``equal``, ``not_equal`` of a ``date``   the day of ``f`` in UTC is v; or ``f`` is no date, or of another day
``in``, ``not_in``                       ``f IN v``
``contains``, ``data_contains``          ``LIKE(f, '%v%', true)``, in any case. A list is looked at as JSON text
``begins_with``, ``ends_with``           ``f LIKE 'v%'``, where case counts
``data_from``                            begins with v, in any case
``is_empty``; ``is_not_empty``           ``f == '' OR f == null``; ``LENGTH(f) > 0``
``is_null``, ``is_not_null``             ``f == null``
``contains_any``, ``not_contains_any``   ``f ANY IN v``, ``f NONE IN v``: both false where ``f`` is no list
``has_key``, ``not_has_key``             ``f[v]`` is true in AQL: neither missing, false, 0 nor empty
``sub_field_contains``, ``…_equals``     ``f LIKE '%v%'``, where case counts; ``f == v``
``data_equals``, ``data_less_than`` …    ``f == v``, ``f < v`` …
``event_in_journey``                     ``f['journey-metric'] op n``, of the value ``journey#metric#op#n``
``in_journey_map``                       an entry of ``f`` has the id ``v[0]``, and ``indexScore >= v[1]``
``is_valid_date``, ``is_not_valid_date`` ``IS_DATESTRING(f)``
``is_today``                             the day of ``f`` is today; so ``compare_year_month_day_with_now``
``compare_month_and_day``                month and day of ``f`` are those of v; ``…_with_now``: those of today
``compare_month_and_day_between``        month and day of ``f``, each for itself, are between those of v[0] and v[1]
``after``, ``before``                    ``f`` lies n units from now, or ago: in that year; that month of any year; on
                                         that month and day of any year (``days``); that day (``exactly_days``)
``exactly_after``, ``exactly_before``    ``now + n units > f``, ``now - n units < f``
=======================================  ===============================================================================

Today and now are in UTC, and ``f`` is in Vietnam's time, as the CDP writes it. The one difference: ``%`` and ``_`` in a
value stand for themselves. Where the CDP writes AQL that its server refuses (lists of texts, ``not_has_key``), the
operator means what its name says.
"""

from collections.abc import Callable
from typing import TypeAlias

import orjson
from psycopg import sql

from cdp_platform.campaigns.literals import literal, literals
from cdp_platform.campaigns.operands import TYPES, Operand, Scalar
from cdp_platform.campaigns.rule_errors import RuleError

Condition: TypeAlias = sql.Composable
_Operator: TypeAlias = Callable[[Operand], Condition]

_TRUE, _FALSE = sql.SQL("true"), sql.SQL("false")
_MISSING = "coalesce({f}, 'null') = 'null'"
# Types of JSON in AQL's order of all values.
_RANKS = ("null", "boolean", "number", "string", "array", "object")
_CASTS = {
    "boolean": "({f})::boolean {symbol} {v}",
    "number": "({f})::numeric {symbol} {v}",
    "string": "campaigns.aql_order({f} #>> '{{}}') COLLATE \"C\" {symbol} campaigns.aql_order({v})",
}
_SYMBOLS = {
    "equal": "=",
    "not_equal": "<>",
    "less": "<",
    "less_or_equal": "<=",
    "greater": ">",
    "greater_or_equal": ">=",
}
# The planner builds a table of more values.
_FEW = 8
_TODAY = sql.SQL("now() AT TIME ZONE 'UTC'")
_LOCAL = "campaigns.aql_local({f})"
_IS_DATE = "jsonb_typeof({f}) = 'string' AND campaigns.aql_moment({f}) IS NOT NULL"
_MONTH_AND_DAY = "to_char({left}, 'MMDD') = to_char({right}, 'MMDD')"
_SAME = {
    "years": "extract(year FROM {left}) = extract(year FROM {right})",
    "months": "extract(month FROM {left}) = extract(month FROM {right})",
    "days": _MONTH_AND_DAY,
    "exactly_days": "({left})::date = ({right})::date",
}


def condition_of(path: str, field: sql.Composable, operator: str, type_name: str, value: object) -> Condition:
    """The condition of a rule; it is true or false, and never NULL.

    Args:
        path: of the rule, for errors.
        field: jsonb, NULL where it is missing.
        operator: its name.
        type_name: type of the rule.
        value: to compare with.

    Raises:
        RuleError: there is no such operator or type, or the value is not what it needs.
    """
    if operator not in OPERATORS:
        raise RuleError(f"{path}.operator", "there is no such operator")
    if type_name not in TYPES:
        raise RuleError(f"{path}.type", f"it has to be one of {', '.join(TYPES)}")
    return OPERATORS[operator](Operand(path, field, type_name, value))


def _sql(template: str, field: sql.Composable, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(template).format(f=field, **parts)  # ty: ignore[invalid-argument-type]


def _not(operator: _Operator) -> _Operator:
    return lambda operand: sql.SQL("NOT ({})").format(operator(operand))


def _fixed(template: str) -> _Operator:
    """An operator without a value."""
    return lambda operand: _sql(f"coalesce({template}, false)", operand.field)


def _json(value: Scalar) -> str:
    return orjson.dumps(value).decode()


def _same(field: sql.Composable, value: Scalar) -> Condition:
    if value is None:
        return _sql(_MISSING, field)
    return _sql("coalesce({f} = {v}::jsonb, false)", field, v=literal(_json(value)))


def _ordered(field: sql.Composable, symbol: str, value: Scalar) -> Condition:
    """The field is less or greater than the value, in AQL's order."""
    below, above = (_TRUE, _FALSE) if symbol[0] == "<" else (_FALSE, _TRUE)
    if value is None:
        return {"<": _FALSE, ">=": _TRUE}.get(symbol) or _sql(
            _MISSING if symbol == "<=" else f"NOT ({_MISSING})", field
        )
    rank = 1 if isinstance(value, bool) else 3 if isinstance(value, str) else 2
    cases = f"WHEN '{_RANKS[rank]}' THEN {_CASTS[_RANKS[rank]]} " + " ".join(
        f"WHEN '{name}' THEN {{above}}" for name in _RANKS[rank + 1 :]
    )
    return _sql(
        f"CASE jsonb_typeof({{f}}) {cases} ELSE {{below}} END",
        field,
        symbol=sql.SQL(symbol),  # ty: ignore[invalid-argument-type]
        v=literal(value),
        above=above,
        below=below,
    )


def _order(symbol: str) -> _Operator:
    return lambda operand: _ordered(operand.field, symbol, operand.scalar())


def _equal(operand: Operand) -> Condition:
    if operand.type == "date" and operand.value is not None:
        (day,) = operand.days(1)
        return _sql("coalesce(campaigns.aql_moment({f})::date = {v}::date, false)", operand.field, v=literal(str(day)))
    return _same(operand.field, operand.scalar())


def _sub_field_equals(operand: Operand) -> Condition:
    return _same(operand.field, operand.text())


def _data_equals(operand: Operand) -> Condition:
    return _same(operand.field, operand.scalar())


def _between(operand: Operand) -> Condition:
    least, greatest = operand.pair()
    return sql.SQL("({} AND {})").format(_ordered(operand.field, ">=", least), _ordered(operand.field, "<=", greatest))


def _member(field: sql.Composable, values: list[Scalar]) -> Condition:
    """The field, which may be missing, is one of the values."""
    array = literals([_json(value) for value in values])
    return _sql("coalesce({f}, 'null') = ANY ({v}::jsonb[])", field, v=array)


def _in(operand: Operand) -> Condition:
    return _member(operand.field, operand.values())


def _shares(operand: Operand) -> sql.Composed:
    """The field, which is a list, has one of the values."""
    values = operand.one_or_more()
    if len(values) <= _FEW and all(isinstance(value, str) for value in values):
        return _sql("{f} ?| {v}", operand.field, v=literals([str(value) for value in values]))
    element = _member(sql.Identifier("element"), values)
    return _sql("EXISTS (SELECT FROM jsonb_array_elements({f}) AS element WHERE {v})", operand.field, v=element)


def _contains_any(operand: Operand) -> Condition:
    return _sql("CASE WHEN jsonb_typeof({f}) = 'array' THEN {v} ELSE false END", operand.field, v=_shares(operand))


def _not_contains_any(operand: Operand) -> Condition:
    return _sql("CASE WHEN jsonb_typeof({f}) = 'array' THEN NOT {v} ELSE false END", operand.field, v=_shares(operand))


def _text(template: str, *, any_case: bool) -> _Operator:
    """An operator that compares the text {t} of the field with the text {v}."""
    form = "lower(({}) COLLATE pg_c_utf8)" if any_case else "{}"

    def operator(operand: Operand) -> Condition:
        return sql.SQL(template).format(  # ty: ignore[invalid-argument-type]
            t=sql.SQL(form).format(sql.SQL("campaigns.aql_text({})").format(operand.field)),
            v=sql.SQL(form).format(literal(operand.text())),
        )

    return operator


def _has_key(operand: Operand) -> Condition:
    return _sql("campaigns.aql_true({f} -> {v})", operand.field, v=literal(operand.text()))


def _event_in_journey(operand: Operand) -> Condition:
    key, name, number = operand.event()
    if name not in _SYMBOLS:
        raise operand.error(f"its operator has to be one of {', '.join(_SYMBOLS)}")
    figure = _sql("({f} -> {v})", operand.field, v=literal(key))
    if name in ("equal", "not_equal"):
        return sql.SQL("{}" if name == "equal" else "NOT {}").format(_same(figure, number))
    return _ordered(figure, _SYMBOLS[name], number)


def _in_journey_map(operand: Operand) -> Condition:
    key, number = operand.journey()
    return _sql(
        "CASE WHEN jsonb_typeof({f}) = 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({f}) AS entry"
        " WHERE {id} AND {score}) ELSE false END",
        operand.field,
        id=_same(sql.SQL("entry -> 'id'"), key),
        score=_ordered(sql.SQL("(entry -> 'indexScore')"), ">=", number),
    )


def _in_time(template: str, field: sql.Composable, moment: sql.Composable) -> Condition:
    return sql.SQL(f"coalesce({template}, false)").format(  # ty: ignore[invalid-argument-type]
        left=_sql(_LOCAL, field), right=moment
    )


def _with_now(template: str) -> _Operator:
    return lambda operand: _in_time(template, operand.field, _TODAY)


def _month_and_day(operand: Operand) -> Condition:
    (day,) = operand.days(1)
    return _in_time(_MONTH_AND_DAY, operand.field, sql.SQL("{}::date").format(literal(str(day))))


def _month_and_day_between(operand: Operand) -> Condition:
    first, last = operand.days(2)
    return _sql(
        f"coalesce({_IS_DATE} AND extract(month FROM {_LOCAL}) BETWEEN {{a}} AND {{b}}"
        f" AND extract(day FROM {_LOCAL}) BETWEEN {{c}} AND {{d}}, false)",
        operand.field,
        a=literal(first.month),
        b=literal(last.month),
        c=literal(first.day),
        d=literal(last.day),
    )


def _from_now(sign: int, template: str | None = None) -> _Operator:
    """An operator that compares the field with the moment that is n units from now, or ago."""

    def operator(operand: Operand) -> Condition:
        number, unit = operand.span()
        counted = {"years": 0, "months": 0, "days": 0}
        counted["days" if unit == "exactly_days" else unit] = sign * number
        moment = sql.SQL("campaigns.aql_from_now({})").format(sql.SQL(", ").join(map(literal, counted.values())))
        compared = _in_time(template or _SAME[unit], operand.field, moment)
        return _sql(f"(coalesce({_IS_DATE}, false) AND {{v}})", operand.field, v=compared)

    return operator


_contains = _text("strpos({t}, {v}) > 0", any_case=True)
_begins_with = _text("starts_with({t}, {v})", any_case=False)
_ends_with = _text("right({t}, length({v})) = {v}", any_case=False)
_is_empty = _fixed("coalesce({f}, 'null') IN ('null', '\"\"')")
_is_not_empty = _fixed(
    "CASE jsonb_typeof({f}) WHEN 'null' THEN false WHEN 'boolean' THEN {f} = 'true'"
    " ELSE {f} NOT IN ('\"\"', '[]', '{{}}') END"
)
_is_null = _fixed(_MISSING)
_is_valid_date = _fixed(_IS_DATE)

OPERATORS: dict[str, _Operator] = {
    "equal": _equal,
    "not_equal": _not(_equal),
    "in": _in,
    "not_in": _not(_in),
    "less": _order("<"),
    "less_or_equal": _order("<="),
    "greater": _order(">"),
    "greater_or_equal": _order(">="),
    "between": _between,
    "not_between": _not(_between),
    "begins_with": _begins_with,
    "not_begins_with": _not(_begins_with),
    "contains": _contains,
    "not_contains": _not(_contains),
    "ends_with": _ends_with,
    "not_ends_with": _not(_ends_with),
    "is_empty": _is_empty,
    "is_not_empty": _is_not_empty,
    "is_null": _is_null,
    "is_not_null": _not(_is_null),
    "contains_any": _contains_any,
    "not_contains_any": _not_contains_any,
    "has_key": _has_key,
    "not_has_key": _not(_has_key),
    "sub_field_contains": _text("strpos({t}, {v}) > 0", any_case=False),
    "sub_field_equals": _sub_field_equals,
    "data_equals": _data_equals,
    "data_contains": _contains,
    "data_from": _text("starts_with({t}, {v})", any_case=True),
    "data_less_than": _order("<"),
    "data_equals_or_less_than": _order("<="),
    "data_greater_than": _order(">"),
    "data_equals_or_greater_than": _order(">="),
    "event_in_journey": _event_in_journey,
    "in_journey_map": _in_journey_map,
    "is_today": _with_now(_SAME["exactly_days"]),
    "is_valid_date": _is_valid_date,
    "is_not_valid_date": _not(_is_valid_date),
    "compare_month_and_day": _month_and_day,
    "compare_month_and_day_between": _month_and_day_between,
    "compare_month_and_day_with_now": _with_now(_MONTH_AND_DAY),
    "compare_year_month_day_with_now": _with_now(_SAME["exactly_days"]),
    "after": _from_now(1),
    "before": _from_now(-1),
    "exactly_after": _from_now(1, "{right} >= {left}"),
    "exactly_before": _from_now(-1, "{right} < {left}"),
}
"""Every operator by its name."""
