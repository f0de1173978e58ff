"""The value of a rule, as the type of the rule and its operator have it."""

import math
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from psycopg import sql

from cdp_platform.campaigns.rule_errors import RuleError

Scalar: TypeAlias = str | int | float | bool | None

TYPES = ("string", "integer", "double", "date", "datetime", "time", "boolean")
_MOST = {"years": 1_000, "months": 10_000, "days": 100_000, "exactly_days": 100_000}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,300}(\.\d{1,300})?", re.ASCII)


@dataclass(frozen=True)
class Operand:
    """A field, and the value that a rule compares it with.

    Attributes:
        path: of the rule.
        field: jsonb, NULL where it is missing.
        type: of the rule, one of `TYPES`.
        value: as the rule has it.
    """

    path: str
    field: sql.Composable
    type: str
    value: Any

    def error(self, problem: str) -> RuleError:
        """The error that the value is wrong."""
        return RuleError(f"{self.path}.value", problem)

    def scalar(self) -> Scalar:
        """The value, where it has to be one; a list of one counts."""
        return self._typed(_only(self.value), "")

    def values(self) -> list[Scalar]:
        """The values, where they have to be a list."""
        if not isinstance(self.value, list) or not self.value:
            raise self.error("it has to be a list of values")
        return [self._typed(each, f"[{at}]") for at, each in enumerate(self.value)]

    def pair(self) -> tuple[Scalar, Scalar]:
        """The values, where they have to be two."""
        if not isinstance(self.value, list) or len(self.value) != 2:
            raise self.error("it has to be a list of two values")
        first, second = self.values()
        return first, second

    def one_or_more(self) -> list[Scalar]:
        """The values, where one may stand alone."""
        return self.values() if isinstance(self.value, list) else [self.scalar()]

    def text(self) -> str:
        """The value, where it has to be a text; numbers become digits."""
        value = _only(self.value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error("it has to be a text")
        return self._storable(str(value), "")

    def days(self, number: int) -> list[date]:
        """The values, where they have to be this many days."""
        values = self.value if isinstance(self.value, list) else [self.value]
        if len(values) != number:
            raise self.error(f"it has to be {number} days")
        return [self._day(each, f"[{at}]" if number > 1 else "") for at, each in enumerate(values)]

    def span(self) -> tuple[int, str]:
        """The value, where it has to be a number and a unit of time."""
        number, unit = self.value if isinstance(self.value, list) and len(self.value) == 2 else (None, None)
        whole = _whole(number)
        if whole is None or unit not in _MOST:
            raise self.error(f"it has to be a whole number and one of {', '.join(_MOST)}")
        if abs(whole) > _MOST[unit]:
            raise self.error(f"it has to be at most {_MOST[unit]:,} {unit}")
        return whole, unit

    def journey(self) -> tuple[str, int]:
        """The value, where it has to be the key of a journey map and a number."""
        key, number = self.value if isinstance(self.value, list) and len(self.value) == 2 else (None, None)
        whole = _whole(number)
        if not isinstance(key, str) or whole is None:
            raise self.error("it has to be the key of a journey map and a whole number")
        return self._storable(key, "[0]"), whole

    def event(self) -> tuple[str, str, int]:
        """The value, where it has to be ``journey#metric#operator#n``: key of the figure, operator and n."""
        parts = self.value.split("#") if isinstance(self.value, str) else []
        whole = _whole(parts[3]) if len(parts) == 4 else None
        if whole is None:
            raise self.error("it has to be journey#metric#operator#number")
        return self._storable(f"{parts[0]}-{parts[1]}", ""), parts[2], whole

    def _typed(self, value: Any, at: str) -> Scalar:
        if value is None:
            return None
        match self.type:
            case "integer":
                found: Scalar = _whole(value)
            case "double":
                found = _number(value)
            case "boolean":
                found = {"true": True, "false": False}.get(str(value).lower())
            case "date":
                return self._day(value, at).isoformat()
            case _:
                if isinstance(value, bool) or not isinstance(value, str | int | float):
                    raise RuleError(f"{self.path}.value{at}", "it has to be a text")
                return self._storable(str(value), at)
        if found is None:
            raise RuleError(f"{self.path}.value{at}", f"it has to be of the type {self.type}")
        return found

    def _day(self, value: Any, at: str) -> date:
        if isinstance(value, str) and _DAY.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        raise RuleError(f"{self.path}.value{at}", "it has to be a day, such as 2026-11-29")

    def _storable(self, value: str, at: str) -> str:
        """The text, which PostgreSQL can have in a statement."""
        if "\0" in value:
            raise RuleError(f"{self.path}.value{at}", "it holds a NUL character")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RuleError(f"{self.path}.value{at}", "it is not valid Unicode") from None
        return value


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
