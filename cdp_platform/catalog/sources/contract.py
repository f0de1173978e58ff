"""What every source of documents promises.

A source reads single documents of one ingestor, whole or not at all. A *path* names a document: relative to the
ingestor's root, or what `resolve` made of a reference found in another document. Every failure is a
`cdp_platform.catalog.errors.SourceError` that says what to do; it never holds a password, or the query of an address.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from cdp_platform.errors import shown_address


@dataclass(frozen=True)
class Validators:
    """What tells one version of a document from another; None where the source does not say.

    They belong to the source that made them, and are only ever given back to it.

    Attributes:
        etag: As the HTTP server gave it, with quotes and ``W/``.
        last_modified: Over HTTP the header as it came, over FTP the server's ``modify`` fact, of a local file its
            modification time in nanoseconds.
        size: Bytes of the document, decoded.
        digest: SHA-256 of the document, decoded, in hex.
    """

    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A document, whole.

    Attributes:
        content: Decoded bytes.
        validators: To be kept, and given as ``known`` next time.
        address: Where it was found after all redirects; references in the document are resolved against it.
    """

    content: bytes = field(repr=False)
    validators: Validators
    address: str = field(repr=False)


@dataclass(frozen=True)
class NotModified:
    """The document is the one that is known.

    Attributes:
        validators: To be kept in place of the known ones: the same version can get another stamp.
    """

    validators: Validators


class Source(Protocol):
    """Reads documents of one ingestor. Not to be shared by threads."""

    def resolve(self, base: str, reference: str) -> str:
        """The path of what a document refers to.

        Args:
            base: Address of the document that holds the reference (`Fetched.address`); empty for the root.
            reference: Relative or absolute, as it stands in the document.

        Raises:
            SourceError: It leads where this source does not go. Nothing is read to find that out.
        """
        ...

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        """A document, or that it is still the known one.

        Args:
            path: Relative to the root, or what `resolve` gave.
            max_bytes: A document that is larger, decoded, is refused as soon as that shows.
            known: What the document had when it was last read. Without it the answer is always `Fetched`.

        Raises:
            SourceError: There is no such document, or it could not be read whole; ``transient`` after the retries
                that the source makes itself.
        """
        ...

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        """Tell whether a document can be another than the known one.

        Only where the source has no stamp to go by is the document itself read, and its digest compared.

        Raises:
            SourceError: As `read`.
        """
        ...


def digest(content: bytes) -> str:
    """The digest of a document, as `Validators` has it."""
    return hashlib.sha256(content).hexdigest()


def shown_reference(reference: str) -> str:
    """A reference as it stands in a document, fit for logs: without a user and a query, even if it is no address."""
    return repr(shown_address(reference)[:80])
