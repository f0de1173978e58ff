"""The contract of every source of documents, and what the sources share.

A source reads single documents of one ingestor, whole or not at all. A *path* names a document: relative to the
ingestor's root, or returned by `resolve` for a reference in another document. Every failure is an `UnreadableError`
that says what to do. It never contains a password or the query of an address.
"""

import hashlib
import ssl
from dataclasses import dataclass, field, replace
from typing import Protocol

from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.errors import shown_address


@dataclass(frozen=True)
class Validators:
    """The marks of one version of a document; None where the source does not say.

    They are only compared with validators of the same source.

    Attributes:
        etag: as the HTTP server gave it, with quotes and ``W/``.
        last_modified: over HTTP the header as it came, over FTP the server's ``modify`` fact, of a local file its
            modification time in nanoseconds.
        size: bytes of the document, decoded.
        digest: SHA-256 of the document, decoded, in hex.
    """

    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A whole document.

    Attributes:
        content: decoded bytes.
        validators: of this version, always with size and digest; given as ``known`` next time.
        address: where it was found after all redirects; references in the document are relative to it.
    """

    content: bytes = field(repr=False)
    validators: Validators
    address: str = field(repr=False)


@dataclass(frozen=True)
class NotModified:
    """The document has the known version.

    Attributes:
        validators: replace the known ones, since the same version can get another timestamp.
    """

    validators: Validators


class Source(Protocol):
    """Reads documents of one ingestor. For one thread at a time."""

    def resolve(self, base: str, reference: str) -> str:
        """The path of a document that another one refers to. Reads nothing.

        Args:
            base: address of the document with the reference (`Fetched.address`); empty for the root.
            reference: relative or absolute, as written in the document.

        Raises:
            UnreadableError: it leads where this source may not read.
        """
        ...

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        """Read a document, unless it still has the known version.

        Args:
            path: relative to the root, or from `resolve`.
            max_bytes: a larger document, decoded, is refused as soon as its size shows.
            known: validators of the last read. Without them the answer is always `Fetched`.

        Raises:
            UnreadableError: there is no such document, or it could not be read whole; ``transient`` after the source's
                own retries.
        """
        ...

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        """Whether a document may have another version than the known one.

        Only if the source has no timestamp of the document is it read, and its digest compared.

        Raises:
            UnreadableError: as `read`.
        """
        ...


def compared(content: bytes, stamps: Validators, known: Validators, address: str) -> Fetched | NotModified:
    """The answer for a document that was read: `NotModified` if it has the known digest."""
    validators = replace(stamps, size=len(content), digest=digest(content))
    return NotModified(validators) if validators.digest == known.digest else Fetched(content, validators, address)


def digest(content: bytes) -> str:
    """The digest of a document, as in `Validators`."""
    return hashlib.sha256(content).hexdigest()


def shown_reference(reference: str) -> str:
    """A reference of a document for messages: without a user and a query, even if it is no address."""
    return repr(shown_address(reference)[:80])


def too_large(where: str, max_bytes: int) -> UnreadableError:
    """The error for a document with more bytes than allowed."""
    return UnreadableError(
        f"{where} is larger than {max_bytes:,} bytes. Ask its owner for smaller shards, or raise max_shard_bytes."
    )


def certificate_invalid(where: str, error: ssl.SSLCertVerificationError) -> UnreadableError:
    """The error for a server whose certificate is not trusted."""
    return UnreadableError(
        f"{where}: the certificate is not valid: {error.verify_message.rstrip('.')}. Its owner has to renew or correct"
        " it. To trust an authority of your own, name its file in SSL_CERT_FILE."
    )
