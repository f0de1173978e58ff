"""Errors that a person can act on.

Every message says what happened and what to do next, in one line and without data of a customer: the command line
prints it as it stands, and Dagster keeps it in its event log for ever.
"""

import re
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
    """A system did not do what it was asked to. ``transient`` says whether trying again may help.

    Its subclasses say what helps: waiting (`PacedError`), trying again later (`UnavailableError`), another request
    (`RefusedError`), or asking what happened (`OutcomeUnknownError`). Where a person has to change a key, a right or a
    setting, it is a `ConfigurationError`.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors of worker processes travel pickled."""
        return _unpickled, (type(self), self.args, vars(self))


def _unpickled(kind: type[SourceError], args: tuple[Any, ...], attributes: dict[str, Any]) -> SourceError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class PacedError(SourceError):
    """A system asks to wait. Nothing was done, and everybody who uses the same account waits.

    Attributes:
        retry_after_seconds: when to come back.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message, transient=True)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(SourceError):
    """A system could not be reached, or fails by itself. It may be back soon.

    Attributes:
        retry_after_seconds: when to come back, if that is known.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, transient=True)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(SourceError):
    """A system refused what this request asks for. Do not repeat it; another request may be taken."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class OutcomeUnknownError(SourceError):
    """A request was sent, and no answer says whether it was carried out. Ask the other side, or report it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=True)


class MissingCollectionError(SourceError):
    """The database has no such collection."""


class NotMigratedError(PlatformError):
    """The warehouse does not have the schema of this version."""


class UnknownTenantError(PlatformError):
    """No active tenant of this name is registered."""


class UnknownSegmentError(PlatformError):
    """The tenant has no segment of this id."""


class QueryError(PlatformError):
    """A query cannot be answered as it is written."""


class BlockedError(PlatformError):
    """The tables that the work builds on are not sound."""


class BusyError(PlatformError):
    """Somebody else is doing the same work; nothing was changed."""


class WorkerLostError(PlatformError):
    """A process that shared the work ended in the middle of it. What was committed stays; a new run goes on."""
