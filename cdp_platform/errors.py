"""Errors that a person can act on.

Every message says what happened and what to do next, in one line and without data of a customer: the command line
prints it as it stands, and Dagster keeps it in its event log for ever.
"""

from functools import partial
from typing import Any


class PlatformError(Exception):
    """Base of every error that the platform raises on purpose."""


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


class UnknownTenantError(PlatformError):
    """No active tenant of this name is registered."""


class UnknownSegmentError(PlatformError):
    """The tenant has no segment of this id."""


class BlockedError(PlatformError):
    """What the work would build on is not fit for it."""


class BusyError(PlatformError):
    """Somebody else is doing the same work; nothing was changed."""


class WorkerLostError(PlatformError):
    """A process that shared the work ended in the middle of it. What was committed stays; a new run goes on."""
