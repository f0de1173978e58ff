"""Errors in the rules of a segment."""

from cdp_platform.errors import QueryError


class RuleError(QueryError):
    """A rule cannot be used as it is written.

    Attributes:
        path: where in the tree it is, such as ``rules[1].rules[0].value``.
        problem: what is wrong there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}." if path else f"{problem}.")
        self.path = path
        self.problem = problem
