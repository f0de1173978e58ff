"""Documents over HTTP and HTTPS.

The addresses come from registries and feeds of other parties, so they are not trusted: `addresses.py` limits where
connections go, and this module limits redirects, sizes, encodings and time. Proxies of the environment are not used,
because behind a proxy the address of a connection cannot be checked.
"""

import ssl
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpcore2
import httpx2

from cdp_platform.catalog.allowed import Allowed
from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources import addresses
from cdp_platform.catalog.sources.content_encodings import decoder_of
from cdp_platform.catalog.sources.contract import (
    Fetched,
    NotModified,
    Validators,
    certificate_invalid,
    compared,
    shown_reference,
    too_large,
)
from cdp_platform.catalog.sources.retries import Deadline, PassingError, RetryLimits, retried
from cdp_platform.resources import network, outside

_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_OK = 200
_NOT_MODIFIED = 304
# Bytes that compression may add to a body that it cannot make smaller.
_ENCODING_SLACK = 65_536

_NOTHING = Allowed()
_DEFAULT_LIMITS = RetryLimits()

T = TypeVar("T")


class HttpSource(AbstractContextManager["HttpSource"]):
    """Documents below a base address, and documents anywhere on the web that they refer to.

    Args:
        root: base address of relative paths; without one, only absolute addresses can be read. If it is https, nothing
            is read without TLS.
        allowed: private hosts and networks that may be connected to, also after redirects.
    """

    def __init__(self, root: str = "", *, allowed: Allowed = _NOTHING, limits: RetryLimits = _DEFAULT_LIMITS) -> None:
        self._root = f"{root.rstrip('/')}/" if root else ""
        self._limits = limits
        self._backend = _CheckedBackend(allowed)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=4,
            keepalive_expiry=30,
            network_backend=self._backend,
        )

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def resolve(self, base: str, reference: str) -> str:
        """See `Source.resolve`. Any host is allowed; the page of a file on GitHub becomes the file."""
        return str(self._resolve(base, reference))

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        """See `Source.read`."""
        return self._retried(path, lambda url, deadline: self._read(url, deadline, known or Validators(), max_bytes))

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        """See `Source.probe`. The body of an answer with a validator is not read."""
        if known is None:
            return True
        changed = self._retried(path, lambda url, deadline: self._has_changed(url, deadline, known))
        # None: without a validator the digest decides.
        return isinstance(self.read(path, max_bytes=max_bytes, known=known), Fetched) if changed is None else changed

    def _resolve(self, base: str, reference: str) -> httpx2.URL:
        try:
            url = (
                httpx2.URL(base or self._root).join(reference.strip()) if base or self._root else httpx2.URL(reference)
            )
        except (httpx2.InvalidURL, UnicodeError):
            raise UnreadableError(f"{shown_reference(reference)} is no web address. Correct it.") from None
        url = _file_on_github(url.copy_with(fragment=None))
        self._require_fit(url, secure=self._root.startswith("https:") or base.startswith("https:"))
        return url

    def _retried(self, path: str, attempt: Callable[[httpx2.URL, Deadline], T]) -> T:
        url = self._resolve("", path)
        return retried(shown(url), self._limits, lambda deadline: attempt(url, deadline))

    def _read(self, url: httpx2.URL, deadline: Deadline, known: Validators, max_bytes: int) -> Fetched | NotModified:
        with self._answer(url, deadline, known) as (found, response):
            if response.status == _NOT_MODIFIED:
                return NotModified(_newer(known, response))
            content = _content(response, shown(found), max_bytes)
        return compared(content, _stamps(response), known, str(found))

    def _has_changed(self, url: httpx2.URL, deadline: Deadline, known: Validators) -> bool | None:
        with self._answer(url, deadline, known) as (_, response):
            if response.status == _NOT_MODIFIED:
                return False
            # Some servers send validators and ignore conditions.
            stamps = _stamps(response)
            if known.etag and stamps.etag:
                return stamps.etag != known.etag
            if known.last_modified and stamps.last_modified:
                return stamps.last_modified != known.last_modified
            return None

    @contextmanager
    def _answer(
        self, url: httpx2.URL, deadline: Deadline, known: Validators
    ) -> Generator[tuple[httpx2.URL, httpcore2.Response]]:
        """The address after all redirects, and its answer: status 200, or 304 if a condition was sent."""
        conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        headers: dict[str | bytes, str | bytes] = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "cdp-platform",
        }
        headers |= {name: value.encode("latin-1") for name, value in conditions.items() if value}
        self._backend.deadline = deadline
        first = url
        for _ in range(_MOST_REDIRECTS + 1):
            with (
                _explained(shown(url)),
                self._pool.stream("GET", _target(url), headers=headers, extensions=self._times) as got,
            ):
                if got.status not in _REDIRECTS:
                    _require_success(got, shown(url), conditional=any(conditions.values()))
                    yield url, got
                    return
                url = self._redirected(url, got)
        raise UnreadableError(
            f"{shown(first)} redirects more than {_MOST_REDIRECTS} times. Give the address that it ends at."
        )

    @property
    def _times(self) -> dict[str, Any]:
        times = self._limits
        return {"timeout": {"connect": times.connect, "read": times.read, "write": times.read, "pool": times.connect}}

    def _redirected(self, url: httpx2.URL, response: httpcore2.Response) -> httpx2.URL:
        # Many servers send it in UTF-8, not escaped.
        location = _header(response, b"location").encode("latin-1").decode(errors="replace")
        try:
            target = url.join(location).copy_with(fragment=None)
        except (httpx2.InvalidURL, UnicodeError):
            location = ""
        if not location:
            raise UnreadableError(f"{shown(url)} redirects to nowhere. Ask its owner to correct it.") from None
        self._require_fit(target, secure=url.scheme == "https", via=f"{shown(url)} redirects to ")
        return target

    def _require_fit(self, url: httpx2.URL, *, secure: bool, via: str = "") -> None:
        if url.scheme not in {"http", "https"} or not url.host:
            known = (
                f"{url.scheme}: is not read" if url.scheme and url.scheme not in {"http", "https"} else "has no host"
            )
            raise UnreadableError(f"{via}{shown(url)}: {known}. Give an address with http or https.")
        if url.userinfo:
            raise UnreadableError(f"{via}{shown(url)}: the address holds a password. Take it out.")
        if secure and url.scheme == "http":
            raise UnreadableError(
                f"{via}{shown(url)}, which leaves TLS, so its content could not be trusted. Give an https address."
            )


def shown(url: httpx2.URL) -> str:
    """An address for messages: without the user and the query, which can be secrets."""
    port = f":{url.port}" if url.port else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{port}{url.path}" if url.scheme else url.path


class _CheckedBackend(httpcore2.NetworkBackend):
    """Opens connections to checked addresses, and ends them at the deadline of the document.

    Attributes:
        deadline: of the document that is being read.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._network = httpcore2.SyncBackend()
        self.deadline = Deadline(0)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of the host that takes the connection."""
        failure: Exception = httpcore2.ConnectError(host)
        for address in addresses.resolve(host, port, allowed=self._allowed):
            try:
                seconds = self.seconds(timeout, httpcore2.ConnectTimeout)
                return _TimedStream(self, self._network.connect_tcp(address, port, seconds))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def seconds(self, timeout: float | None, over: type[Exception]) -> float:
        """Longest time of one operation."""
        left = self.deadline.left()
        if left <= 0:
            raise over("the deadline of the document is over")
        return left if timeout is None else min(timeout, left)


class _TimedStream(httpcore2.NetworkStream):
    """A connection on which every wait ends at the deadline, also if the server sends slowly."""

    def __init__(self, backend: _CheckedBackend, stream: httpcore2.NetworkStream) -> None:
        self._backend = backend
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.seconds(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.seconds(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        seconds = self._backend.seconds(timeout, httpcore2.ConnectTimeout)
        return _TimedStream(self._backend, self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@contextmanager
def _explained(where: str) -> Generator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise PassingError("the answer takes too long") from error
    except httpcore2.ConnectError as error:
        # httpcore2's pool raises the error again without its cause.
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise certificate_invalid(where, cause) from error
        raise PassingError(
            f"no connection: {network.reason(error)}. Is the server running, and the address right?"
        ) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise PassingError(f"the answer breaks off, or is not HTTP: {network.reason(error)}") from error


def _target(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _file_on_github(url: httpx2.URL) -> httpx2.URL:
    # owner/repository/blob/... is the page that shows a file, owner/repository/raw/... the file.
    parts = url.path.split("/")
    if url.host not in {"github.com", "www.github.com"} or parts[3:4] != ["blob"]:
        return url
    raw = url.raw_path.decode()
    return url.copy_with(raw_path=raw.replace("/blob/", "/raw/", 1).encode())


def _header(response: httpcore2.Response, name: bytes) -> str:
    values = [value for key, value in response.headers if key.lower() == name]
    return b", ".join(values).decode("latin-1").strip()


def _stamps(response: httpcore2.Response) -> Validators:
    return Validators(_header(response, b"etag") or None, _header(response, b"last-modified") or None)


def _newer(known: Validators, response: httpcore2.Response) -> Validators:
    stamps = _stamps(response)
    return replace(known, etag=stamps.etag or known.etag, last_modified=stamps.last_modified or known.last_modified)


def _require_success(response: httpcore2.Response, where: str, *, conditional: bool) -> None:
    status = response.status
    if status == _OK or (status == _NOT_MODIFIED and conditional):
        return
    if outside.verdict(status).passes:
        raise PassingError(f"HTTP {status}", wait=outside.retry_after_seconds(_header(response, b"retry-after")))
    advice = {
        401: "It requires a password, and the platform sends none. Ask its owner for an open address.",
        403: "Its server refuses access. Ask its owner.",
        404: "There is no such document. Correct the address, or ask its owner.",
        410: "The document was taken away. Ask its owner.",
    }
    raise UnreadableError(f"{where}: HTTP {status}. {advice.get(status, 'Is this the right address?')}")


def _content(response: httpcore2.Response, where: str, max_bytes: int) -> bytes:
    """The decoded body. A body that is too large is refused as soon as its size shows."""
    encoding = _header(response, b"content-encoding").lower()
    length = _header(response, b"content-length")
    if length.isascii() and length.isdigit() and int(length) > max_bytes + (_ENCODING_SLACK if encoding else 0):
        raise too_large(where, max_bytes)
    decoder = decoder_of(encoding, where)
    content = bytearray()
    sent = 0
    for chunk in response.iter_stream():
        sent += len(chunk)
        try:
            content += decoder.feed(chunk, max_bytes + 1 - len(content))
        except zlib.error as error:
            raise UnreadableError(
                f"{where}: the body is not {encoding}, as its server says. Ask its owner to correct the server."
            ) from error
        if len(content) > max_bytes or sent > max_bytes + _ENCODING_SLACK:
            raise too_large(where, max_bytes)
    if not decoder.is_whole():
        raise PassingError("the compressed answer breaks off")
    return bytes(content)
