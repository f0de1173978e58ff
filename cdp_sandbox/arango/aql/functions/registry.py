"""How a module declares its functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from cdp_sandbox.arango.errors import ArangoError, ErrorNumber

MANY = 65_536
"""The greatest number of arguments a function can be declared with."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Function:
    """A function of AQL.

    Attributes:
        name: the name it goes by in messages.
        call: ``(context, *arguments)``.
        least: smallest number of arguments.
        most: greatest number of arguments.
        reads: its value depends on more than its arguments.
        takes_collections: a bare collection name as first argument means its name.
    """

    name: str
    call: Callable[..., Any]
    least: int
    most: int
    reads: bool = False
    takes_collections: bool = False

    def check_count(self, count: int) -> None:
        """Raises 1541 unless the function can be called with so many arguments."""
        if not self.least <= count <= self.most:
            message = (
                f"invalid number of arguments for function '{self.name}()', expected number of arguments: "
                f"minimum: {self.least}, maximum: {self.most}"
            )
            raise ArangoError(400, ErrorNumber.FUNCTION_ARGUMENT_NUMBER_MISMATCH, message)


def aql(
    *names: str, least: int = 1, most: int | None = None, reads: bool = False, takes_collections: bool = False
) -> Callable[[F], F]:
    """Declares a Python function as the AQL function of these names (the upper-case Python name, if none is given)."""

    def declare(call: F) -> F:
        labels = names or (getattr(call, "__name__", "").upper(),)
        limit = least if most is None else most
        declared = [Function(name, call, least, limit, reads, takes_collections) for name in labels]
        call.__dict__.setdefault("aql_functions", []).extend(declared)
        return call

    return declare


def table(*modules: ModuleType) -> dict[str, Function]:
    """Returns the functions that the modules declare, by name."""
    declared = (getattr(value, "aql_functions", []) for module in modules for value in vars(module).values())
    return {function.name: function for functions in declared for function in functions}
