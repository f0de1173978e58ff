"""Documents on an FTP server, with TLS (AUTH TLS, for data as well) where the address says ftps."""

import ftplib
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import httpx2
from pydantic import SecretStr

from cdp_platform.catalog.allowed import Allowed
from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources import addresses
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
from cdp_platform.resources import network

_FTP_PORT = 21
_NOT_LOGGED_IN = {"530", "331", "332"}
_UNAVAILABLE = "550"
_UNKNOWN_COMMAND = {"500", "501", "502", "504"}
_BLOCK = 65_536
# Characters of the answer to one command; greetings and help texts are shorter.
_LONGEST_ANSWER = 100_000
# Bytes of the listing of one folder, about 50,000 files.
_LONGEST_LISTING = 5_000_000

_NOTHING = Allowed()
_DEFAULT_LIMITS = RetryLimits()

T = TypeVar("T")


class FtpSource(AbstractContextManager["FtpSource"]):
    """Files below a folder of an FTP server, over one connection that is opened for the first of them.

    Args:
        root: ``ftp://host[:port]/folder`` or ``ftps://...``.
        allowed: private hosts and networks that may be connected to.
    """

    def __init__(
        self,
        root: str,
        *,
        user: str = "anonymous",
        password: SecretStr | None = None,
        allowed: Allowed = _NOTHING,
        limits: RetryLimits = _DEFAULT_LIMITS,
    ) -> None:
        address = urlsplit(root)
        self._server = (address.scheme, address.hostname, address.port or _FTP_PORT)
        self._shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
        self._folder = PurePosixPath(unquote(address.path) or "/")
        self._user = user
        self._password = password or SecretStr("")
        self._allowed = allowed
        self._limits = limits
        self._connection: _Connection | None = None

    def __exit__(self, *_: object) -> None:
        self._hang_up()

    def resolve(self, base: str, reference: str) -> str:
        """See `Source.resolve`. An absolute address has to lead below the root."""
        path = PurePosixPath(base).parent / reference
        if "://" in reference:
            path = self._below_root(reference)
        # A line break would end the command, and the rest of the path would be another command.
        if path.is_absolute() or ".." in path.parts or not path.parts or set(str(path)) & set("\r\n\0"):
            raise _astray(reference)
        return str(path)

    def read(self, path: str, *, max_bytes: int, known: Validators | None = None) -> Fetched | NotModified:
        """See `Source.read`."""
        path = self.resolve("", path)
        return self._retried(path, lambda ftp: self._read(ftp, path, known or Validators(), max_bytes))

    def probe(self, path: str, known: Validators | None, *, max_bytes: int) -> bool:
        """See `Source.probe`. The server's timestamp of the file decides; without one, the digest."""
        if known is None:
            return True
        path = self.resolve("", path)
        stamps = self._retried(path, lambda ftp: _stamps(ftp, self._folder / path))
        if stamps.size is not None and stamps.size != known.size:
            return True
        if stamps.last_modified is not None and stamps.last_modified == known.last_modified:
            return False
        return isinstance(self.read(path, max_bytes=max_bytes, known=known), Fetched)

    def _below_root(self, reference: str) -> PurePosixPath:
        try:
            address = urlsplit(reference)
            server = (address.scheme, address.hostname, address.port or _FTP_PORT)
        except ValueError:
            raise _astray(reference) from None
        path = PurePosixPath(unquote(address.path))
        if server != self._server or not path.is_relative_to(self._folder):
            raise _astray(reference)
        return path.relative_to(self._folder)

    def _read(self, ftp: "_Connection", path: str, known: Validators, max_bytes: int) -> Fetched | NotModified:
        stamps = _stamps(ftp, self._folder / path)
        if stamps.last_modified and (stamps.last_modified, stamps.size) == (known.last_modified, known.size):
            return NotModified(known)
        refusal = too_large(self._where(path), max_bytes)
        if stamps.size is not None and stamps.size > max_bytes:
            raise refusal
        content = _received(ftp, f"RETR {self._folder / path}", max_bytes, refusal)
        if stamps.size is not None and stamps.size != len(content):
            raise PassingError(f"{len(content):,} bytes came of {stamps.size:,}; it broke off, or is being written")
        return compared(content, stamps, known, path)

    def _retried(self, path: str, work: Callable[["_Connection"], T]) -> T:
        def attempt(deadline: Deadline) -> T:
            with self._connected(path, deadline) as ftp:
                return work(ftp)

        return retried(self._where(path), self._limits, attempt)

    @contextmanager
    def _connected(self, path: str, deadline: Deadline) -> Generator["_Connection"]:
        """The connection, for one document. After any error it is closed, because its state is not known."""
        is_new = self._connection is None
        ftp = self._connection = self._connection or _Connection(self._server[1] or "", self._limits.read)
        watch = threading.Timer(max(0.0, deadline.left()), ftp.cut)
        watch.daemon = True
        watch.start()
        try:
            if is_new:
                self._connect(ftp)
            yield ftp
        except BaseException as error:
            self._hang_up()
            if (explained := self._explained(error, path)) is None:
                raise
            raise explained from error
        finally:
            watch.cancel()

    def _connect(self, ftp: "_Connection") -> None:
        scheme, host, port = self._server
        *others, last = addresses.resolve(host or "", port, allowed=self._allowed)
        for address in others:
            try:
                ftp.open(address, port, self._limits.connect)
                break
            except OSError:
                continue
        else:
            ftp.open(last, port, self._limits.connect)
        ftp.login(self._user, self._password.get_secret_value(), secure=scheme == "ftps")
        if scheme == "ftps":
            ftp.prot_p()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _where(self, path: str) -> str:
        return f"{self._shown}{self._folder / path}"

    def _explained(self, error: BaseException, path: str) -> Exception | None:  # noqa: PLR0911 (one per kind of error)
        code = str(error)[:3]
        match error:
            case ssl.SSLCertVerificationError():
                return certificate_invalid(self._shown, error)
            case ftplib.error_temp():
                return PassingError(f"the server answers {code}")
            case ftplib.error_perm() if code in _NOT_LOGGED_IN:
                return UnreadableError(
                    f"{self._shown}: {self._user} is not let in. Check the ingestor's user and password."
                )
            case _AbsentError() | ftplib.error_perm() if isinstance(error, _AbsentError) or code == _UNAVAILABLE:
                return UnreadableError(
                    f"{self._where(path)}: there is no such file, or {self._user} may not read it. Correct the path."
                )
            case ftplib.error_perm():
                return UnreadableError(f"{self._where(path)}: the server refuses with {code}. Ask its owner.")
            case TimeoutError():
                return PassingError("the answer takes too long")
            case ftplib.Error() | OSError() | EOFError() | ValueError():
                return PassingError(f"no connection, or what answers is no FTP server ({network.reason(error)})")
            case _:
                return None


class _AbsentError(Exception):
    """The listing of the folder has no such file."""


class _Connection(ftplib.FTP_TLS):
    """An FTP session to a given address of a host, which another thread can end.

    Data connections go to the same address: of the server's answer only the port is used (ftplib's default).
    """

    def __init__(self, name: str, timeout: float) -> None:
        super().__init__(timeout=timeout, context=httpx2.create_ssl_context())
        # Certificates are checked against this name.
        self.host = name
        self._data: socket.socket | None = None
        self._heard = 0

    def open(self, address: str, port: int, timeout: float) -> None:
        """Connect to an address, and wait for the greeting."""
        self.sock = socket.create_connection((address, port), timeout)
        self.sock.settimeout(self.timeout)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def putline(self, line: str) -> None:
        """Send a command."""
        self._heard = 0
        super().putline(line)

    def getline(self) -> str:
        """One line of the answer; limits the length of the answer, because ftplib keeps all of it."""
        line = super().getline()
        self._heard += len(line)
        if self._heard > _LONGEST_ANSWER:
            raise OSError("the answer is too long")
        return line

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection; it resumes the TLS session of the commands, which many servers require."""
        # Not through FTP_TLS, which would start a new TLS session.
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 (partners have FTP)
        self._data = data
        if isinstance(self.sock, ssl.SSLSocket):
            data = self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session)
            self._data = data
        return data, size

    def cut(self) -> None:
        """End every wait for this server, from another thread."""
        for connection in (self._data, self.sock):
            if connection is not None:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # It is already closed.
                    continue


def _astray(reference: str) -> UnreadableError:
    return UnreadableError(
        f"{shown_reference(reference)} leads out of the ingestor's folder. Give a path below its root."
    )


def _stamps(ftp: _Connection, path: PurePosixPath) -> Validators:
    """Time and size of a file, as far as the server says."""
    endless = UnreadableError(f"{path.parent} has too many files to list. Move the feed to its own folder.")
    try:
        listing = _received(ftp, f"MLSD {path.parent}", _LONGEST_LISTING, endless)
    except ftplib.error_perm as error:
        if str(error)[:3] not in _UNKNOWN_COMMAND:
            raise
        size = _asked(ftp, f"SIZE {path}") or ""
        return Validators(None, _asked(ftp, f"MDTM {path}"), int(size) if size.isdigit() else None)
    for line in listing.splitlines():
        facts, _, name = line.decode(errors="replace").partition(" ")
        if PurePosixPath(name).name == path.name:
            known = dict(fact.lower().split("=", 1) for fact in facts.split(";") if "=" in fact)
            if known.get("type", "file") in {"dir", "cdir", "pdir"}:
                raise UnreadableError(f"{path} is a folder. Give the path of a file.")
            size = known.get("size", "")
            return Validators(None, known.get("modify"), int(size) if size.isdigit() else None)
    raise _AbsentError


def _asked(ftp: _Connection, command: str) -> str | None:
    """The answer to a command of an FTP extension; None if the server does not know it."""
    try:
        return ftp.sendcmd(command)[4:].strip()
    except ftplib.error_perm as error:
        if str(error)[:3] not in _UNKNOWN_COMMAND:
            raise
        return None


def _received(ftp: _Connection, command: str, most: int, refusal: UnreadableError) -> bytes:
    content = bytearray()

    def keep(block: bytes) -> None:
        content.extend(block)
        if len(content) > most:
            raise refusal

    ftp.retrbinary(command, keep, _BLOCK)
    return bytes(content)
