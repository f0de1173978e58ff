"""What can go wrong with a registry or a feed, each with what to do about it.

Every one of them stops the round of its ingestor and changes nothing. A single item that is wrong is no error: it is
rejected, and the rest land.
"""

from cdp_platform import errors


class IngestorError(errors.PlatformError):
    """Base of what stops the round of one ingestor; the others go on."""


class SourceError(IngestorError, errors.SourceError):
    """A document could not be read. ``transient`` says whether trying again may help."""


class ValidationError(IngestorError):
    """A document was read and is not what it should be. Whoever publishes it has to mend it."""


class ProcessingError(IngestorError):
    """What was read could not be stored. Nothing of it was."""
