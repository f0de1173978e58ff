"""Why the round of an ingestor fails, each error with what to do about it.

Each of these errors ends the round and changes no row. An invalid item is none of them: it is rejected, and the others
land.
"""

from typing import Self

from cdp_platform.errors import PlatformError, SourceError
from cdp_platform.ops.rejected import RejectedDocumentError


class IngestorError(PlatformError):
    """Base of the errors that fail the round of one ingestor; other ingestors go on."""


class UnreadableError(IngestorError, SourceError):
    """A document could not be read. ``transient`` says whether trying again may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message, transient=transient)


class InvalidDocumentError(IngestorError):
    """A document was read and is not what it should be. Its publisher has to correct it."""

    @classmethod
    def of(cls, what: str, error: RejectedDocumentError) -> Self:
        """The error of a whole document that has this fault; ``what`` names the document."""
        return cls(f"{what}: {error} ({error.code} at {error.path}). Nothing was taken of it.")


class ProcessingError(IngestorError):
    """PostgreSQL refused what was read. Nothing was stored."""
