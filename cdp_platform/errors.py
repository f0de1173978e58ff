"""Errors that a person can act on.

Every message says what happened and what to do next, in one line and without data of a customer: the command line
prints it as it stands, and Dagster keeps it in its event log for ever.
"""

import re
from functools import partial
from typing import Any

# Where the first sentence of a message ends, and where in a single sentence the part begins that says what to do.
_NEXT_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z`])")
_IMPERATIVE = re.compile(
    r"[:;]\s+(?=(?:`|(?:activate|call|choose|create|give|leave|move|name|run|say|see|set|take|try|use)\b))"
)


def shown_address(address: str) -> str:
    """An address fit for messages and logs: without what can be a secret, a user, a password, a query.

    Takes what is no address as well. After a password that was not escaped the rest cannot be told apart, so everything
    up to the last ``@`` is left out.
    """
    if "password" in address.lower() and "=" in address:
        return "a connection string"
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    for end in "?#":
        rest = rest.rpartition("@")[2].partition(end)[0]
    return f"{scheme}{separator}{rest}"


class PlatformError(Exception):
    """Base of every error that the platform raises on purpose."""

    @property
    def advice(self) -> str:
        """The part of the message that says what to do, or '' if it has none."""
        for boundary in (_NEXT_SENTENCE, _IMPERATIVE):
            _, *rest = boundary.split(str(self), maxsplit=1)
            if rest:
                return rest[0]
        return ""


class ConfigurationError(PlatformError):
    """The environment, a role or a setting is wrong. Repeating does not help; a person has to change something."""


class SourceError(PlatformError):
    """An outside system could not be read. ``transient`` says whether trying again may help."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors of worker processes travel pickled."""
        return partial(type(self), transient=self.transient), self.args


class MissingCollectionError(SourceError):
    """The database has no such collection."""


class UnavailableError(PlatformError):
    """The warehouse could not be reached. It may be back soon."""


class NotMigratedError(PlatformError):
    """The warehouse does not have the schema of this version."""


class UnknownTenantError(PlatformError):
    """No active tenant of this name is registered."""


class UnknownSegmentError(PlatformError):
    """The tenant has no segment of this id."""


class QueryError(PlatformError):
    """A query cannot be answered as it is written."""


class BlockedError(PlatformError):
    """What the work would build on is not fit for it."""


class BusyError(PlatformError):
    """Somebody else is doing the same work; nothing was changed."""


class WorkerLostError(PlatformError):
    """A process that shared the work ended in the middle of it. What was committed stays; a new run goes on."""
