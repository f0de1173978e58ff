"""Finds values in a JSON document that PostgreSQL cannot store, with their paths."""

from collections.abc import Callable, Iterator
from typing import Any

_LONGEST_PATH = 200


def walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every value within a document, and every name within its objects, with their JSON paths.

    It does not recurse, so any depth of nesting is walked.
    """
    waiting = [("$", document)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            for name, item in value.items():
                yield path, name
                waiting.append((f"{path}.{name}", item))
        elif isinstance(value, list):
            waiting += [(f"{path}[{at}]", item) for at, item in enumerate(value)]


def first_path(document: Any, is_bad: Callable[[Any], bool]) -> str:
    """JSON path of a value that is bad, or of an object that has a bad name; '' if all are good.

    The path is stored and printed, and may hold names that others chose: at most 200 characters are returned, and those
    that cannot be printed are replaced by question marks.
    """
    path = next((path for path, value in walk(document) if is_bad(value)), "")[:_LONGEST_PATH]
    return "".join(character if character.isprintable() else "?" for character in path)


def is_not_utf8(value: Any) -> bool:
    """Whether a value is a text with half a surrogate pair, which has no bytes in UTF-8."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return True
    return False
