import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cdp_platform.catalog.allowed import Allowed, allowed
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources import Fetched, NotModified, Validators, open_source
from cdp_platform.catalog.sources.contract import digest
from cdp_platform.catalog.sources.ftp import FtpSource
from cdp_platform.catalog.sources.retries import RetryLimits
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.catalog.hosts import certificate

with warnings.catch_warnings():
    # Up to Python 3.11 it stands on the standard library's asyncore, which is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

LIMIT = 1_000_000
QUICK = RetryLimits(connect=2, read=2, document=10, attempts=3, backoff=0.01)
LONG_AGO = 1_700_000_000
PASSWORD = "open sesame"
INDEX = "feed/index.json"


@dataclass
class Server:
    """A real FTP server on this machine.

    Attributes:
        commands: What clients asked for, in order of arrival, passwords too.
        logins: Number of connections that were let in.
        refusals: By command, answers to give instead of the real one, one by one.
    """

    port: int
    folder: Path
    scheme: str
    host: str = "localhost"
    commands: list[str] = field(default_factory=list)
    refusals: dict[str, list[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/shop"

    def count(self, command: str) -> int:
        return sum(line.split()[0] == command for line in self.commands)

    def write(self, path: str, content: bytes, at: int = LONG_AGO) -> None:
        target = self.folder / "shop" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, (at, at))


@contextmanager
def ftp_server(
    folder: Path, tls: tuple[Path, Path] | None = None, unknown: tuple[str, ...] = (), **options: Any
) -> Generator[Server]:
    """A server on a folder, which it shows to user `partner`; with TLS it takes nothing else. `unknown` commands."""
    (folder / "shop").mkdir(parents=True)
    authorizer = DummyAuthorizer()
    authorizer.add_user("partner", PASSWORD, str(folder), perm="elr")
    made: Server

    kind: Any = TLS_FTPHandler if tls else FTPHandler

    class Handler(kind):
        def pre_process_command(self, line: str, cmd: str, arg: str) -> Any:
            made.commands.append(line)
            if answers := made.refusals.get(cmd):
                return self.respond(answers.pop(0))
            return super().pre_process_command(line, cmd, arg)

    options |= {"authorizer": authorizer, "use_sendfile": False, "auth_failed_timeout": 0.01}
    if tls:
        options |= {"certfile": str(tls[0]), "keyfile": str(tls[1])}
        options |= {"tls_control_required": True, "tls_data_required": True}
    options["proto_cmds"] = {name: said for name, said in kind.proto_cmds.items() if name not in unknown}
    for name, value in options.items():
        setattr(Handler, name, value)
    listen: Any = FTPServer
    server = listen(("127.0.0.1", 0), Handler, ioloop=IOLoop())
    made = Server(server.address[1], folder, "ftps" if tls else "ftp")
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            server.serve_forever(timeout=0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield made
    finally:
        done.set()
        thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with ftp_server(tmp_path / "ftp") as running:
        running.write(INDEX, b"index")
        yield running


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    with ftp_server(tmp_path / "ftp", made) as running:
        running.write(INDEX, b"index")
        yield running


def source(server: Server, **options: Any) -> FtpSource:
    given: dict[str, Any] = {
        "user": "partner",
        "password": SecretStr(PASSWORD),
        "allowed": allowed(("127.0.0.0/8", "::1")),
        "limits": QUICK,
    }
    return FtpSource(server.url, **given | options)


def fetched(server: Server, path: str, **options: Any) -> Fetched:
    with source(server, **options) as one:
        document = one.read(path, max_bytes=LIMIT)
    assert isinstance(document, Fetched)
    return document


def refused(server: Server, path: str, *, transient: bool = False, max_bytes: int = LIMIT, **options: Any) -> str:
    with source(server, **options) as one, pytest.raises(UnreadableError) as raised:
        one.read(path, max_bytes=max_bytes)
    assert raised.value.transient is transient
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


def test_a_file_comes_whole_with_what_tells_its_version(server: Server) -> None:
    server.write("feed/large.json", bytes(range(256)) * 3000)
    document = fetched(server, "feed/large.json")
    assert document.content == bytes(range(256)) * 3000
    assert document.validators == Validators(None, "20231114221320", 768_000, digest(document.content))


def test_all_files_come_over_one_connection(server: Server) -> None:
    server.write("feed/cà phê.json", "phở".encode())
    with source(server) as one:
        index = one.read(INDEX, max_bytes=LIMIT)
        assert isinstance(index, Fetched)
        shard = one.read(one.resolve(index.address, "cà phê.json"), max_bytes=LIMIT)
        assert isinstance(shard, Fetched)
        assert shard.content.decode() == "phở"
    assert server.count("PASS") == 1


def test_with_tls_commands_and_data_are_encrypted(tls_server: Server) -> None:
    tls_server.write("feed/large.json", b"x" * 500_000)
    with source(tls_server) as one:
        for _ in range(2):
            document = one.read("feed/large.json", max_bytes=LIMIT)
            assert isinstance(document, Fetched)
            assert document.content == b"x" * 500_000
    # The server refuses passwords and data that come in the clear.
    assert tls_server.commands.index("AUTH TLS") < tls_server.commands.index("PROT P") < len(tls_server.commands)
    assert tls_server.count("USER") == 1


def test_a_server_with_anothers_certificate_gets_no_password(
    tls_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "certificate is not valid" in refused(tls_server, INDEX)
    assert tls_server.commands == ["AUTH TLS"]


def test_a_server_without_tls_gets_no_password_where_tls_is_asked_for(server: Server) -> None:
    server.scheme = "ftps"
    refused(server, INDEX)
    assert server.commands
    assert not server.count("USER")
    assert not server.count("PASS")


def test_this_machine_is_refused_unless_the_ingestor_allows_it(server: Server) -> None:
    message = refused(server, INDEX, allowed=Allowed())
    assert "no public address" in message
    assert server.commands == []


def test_a_server_is_read_if_its_host_or_network_is_named(server: Server) -> None:
    for entries in (("localhost",), ("127.0.0.0/8", "::1")):
        assert fetched(server, INDEX, allowed=allowed(entries)).content == b"index"
    commands = list(server.commands)
    assert "no public address" in refused(server, INDEX, allowed=allowed(("10.0.0.0/8", "ftp.internal")))
    server.host = "169.254.169.254"
    assert "nothing is ever read from" in refused(server, INDEX, allowed=allowed(("0.0.0.0/0",)))
    assert server.commands == commands


def test_data_is_fetched_from_the_server_itself_whatever_address_it_names(tmp_path: Path) -> None:
    with ftp_server(tmp_path / "ftp", masquerade_address="192.0.2.1") as server, socket.socket() as plain:
        server.write(INDEX, b"index")
        assert fetched(server, INDEX).content == b"index"
        assert server.count("PASV") + server.count("EPSV") >= 2
        # It does name another one.
        plain.connect(("127.0.0.1", server.port))
        plain.sendall(f"USER partner\r\nPASS {PASSWORD}\r\nPASV\r\n".encode())
        heard = b""
        while b"227 " not in heard:
            part = plain.recv(4096)
            assert part
            heard += part
        assert b"(192,0,2,1," in heard


def test_a_wrong_password_is_not_tried_again(server: Server) -> None:
    message = refused(server, INDEX, password=SecretStr("hush"))
    assert "partner is not let in" in message
    assert "hush" not in message
    assert server.count("PASS") == 1


def test_a_missing_file_is_not_tried_again(server: Server) -> None:
    for path in ("feed/absent.json", "absent/index.json"):
        assert "there is no such file" in refused(server, path)
    assert server.count("MLSD") == 2
    assert "is a folder" in refused(server, "feed")


@pytest.mark.parametrize(
    "reference",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "",
        "..",
        "a\r\nDELE b",
        "a\nDELE b",
        "a\0b",
        "ftp://other.example.com/shop/a",
        "ftps://localhost/shop/a",
        "ftp://localhost:1/shop/a",
        "ftp://localhost:x/shop/a",
        "http://localhost/shop/a",
        "file:///etc/passwd",
    ],
)
def test_a_path_that_leads_out_is_refused_before_anything_is_sent(server: Server, reference: str) -> None:
    assert "leads out of the ingestor's folder" in refused(server, reference)
    for outside in ("/secret", "/shop/../secret", "/shop/%2e%2e/secret", "/shop"):
        refused(server, server.url.removesuffix("/shop") + outside)
    assert server.commands == []


def test_a_whole_address_below_the_root_is_taken(server: Server) -> None:
    assert fetched(server, f"{server.url}/{INDEX}").content == b"index"
    with source(server) as one:
        assert one.resolve(INDEX, f"{server.url}/feed/a%20b.json") == "feed/a b.json"


def test_a_file_that_is_too_large_is_refused_unread(server: Server) -> None:
    with (server.folder / "shop" / "large.json").open("wb") as file:
        file.truncate(1 << 32)
    assert "larger than 1,000,000 bytes" in refused(server, "large.json")
    assert not server.count("RETR")


def test_without_a_known_size_too_large_a_file_is_refused_on_the_way(tmp_path: Path) -> None:
    with ftp_server(tmp_path / "ftp", unknown=("MLSD", "SIZE", "MDTM")) as server:
        server.write("large.json", b"x" * 3_000_000)
        server.write("small.json", b"small")
        with source(server) as one:
            with pytest.raises(UnreadableError, match="larger than 1,000,000 bytes"):
                one.read("large.json", max_bytes=LIMIT)
            assert server.count("RETR") == 1
            # The connection that was cut in the middle is not used again.
            small = one.read("small.json", max_bytes=LIMIT)
        assert isinstance(small, Fetched)
        assert small.validators == Validators(None, None, 5, digest(b"small"))
        assert server.count("PASS") == 2


def test_a_server_that_does_not_list_is_asked_for_time_and_size(tmp_path: Path) -> None:
    with ftp_server(tmp_path / "ftp", unknown=("MLSD",)) as server:
        server.write(INDEX, b"index")
        document = fetched(server, INDEX)
        assert document.validators == Validators(None, "20231114221320", 5, digest(b"index"))
        assert "there is no such file" in refused(server, "feed/absent.json")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("USER", "421 Too many connections."),
        ("MLSD", "425 Cannot open data connection."),
        ("RETR", "450 File is busy."),
        ("RETR", "426 Connection closed; transfer aborted."),
        ("RETR", "451 Local error."),
    ],
)
def test_what_can_pass_is_tried_again_over_a_new_connection(server: Server, command: str, answer: str) -> None:
    server.refusals[command] = [answer] * 2
    assert fetched(server, INDEX).content == b"index"
    assert server.refusals[command] == []
    assert server.count("USER") == 3


def test_attempts_end_and_say_that_trying_later_may_help(server: Server) -> None:
    server.refusals["RETR"] = ["450 File is busy."] * 10
    assert "the server answers 450; 3 attempts failed" in refused(server, INDEX, transient=True)
    assert len(server.refusals["RETR"]) == 7


def test_a_known_file_is_not_sent_again_until_it_changes(server: Server) -> None:
    known = fetched(server, INDEX).validators
    with source(server) as one:
        assert one.read(INDEX, max_bytes=LIMIT, known=known) == NotModified(known)
        assert not one.probe(INDEX, known, max_bytes=LIMIT)
        assert server.count("RETR") == 1
        server.write(INDEX, b"index, longer", LONG_AGO)
        assert one.probe(INDEX, known, max_bytes=LIMIT)
        assert server.count("RETR") == 1
        server.write(INDEX, b"other", LONG_AGO + 1)
        assert one.probe(INDEX, known, max_bytes=LIMIT)
        assert isinstance(one.read(INDEX, max_bytes=LIMIT, known=known), Fetched)


def test_the_same_content_under_a_new_time_is_not_modified(server: Server) -> None:
    known = fetched(server, INDEX).validators
    server.write(INDEX, b"index", LONG_AGO + 1)
    with source(server) as one:
        assert not one.probe(INDEX, known, max_bytes=LIMIT)
        again = one.read(INDEX, max_bytes=LIMIT, known=known)
    assert again == NotModified(Validators(None, "20231114221321", 5, digest(b"index")))


def test_a_file_that_was_never_read_counts_as_changed(server: Server) -> None:
    with source(server) as one:
        assert one.probe(INDEX, None, max_bytes=LIMIT)
    assert server.commands == []


def test_half_a_file_is_not_a_document(tmp_path: Path) -> None:
    with ftp_server(tmp_path / "ftp", unknown=("MLSD",)) as server:
        server.write(INDEX, b"index")
        # As while somebody replaces it by a shorter one, or the server gives up in the middle.
        server.refusals["SIZE"] = ["213 9"] * 3
        assert "5 bytes came of 9" in refused(server, INDEX, transient=True)
        assert server.count("RETR") == QUICK.attempts


@contextmanager
def talker(talk: Callable[[socket.socket], None]) -> Generator[Server]:
    """What only answers like an FTP server; each connection is a talk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    talk(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Server(listener.getsockname()[1], Path(), "ftp")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_silent_server_is_given_up() -> None:
    with talker(lambda connection: time.sleep(2)) as silent:
        limits = RetryLimits(connect=0.2, read=0.2, attempts=2, backoff=0.01)
        assert "takes too long; 2 attempts failed" in refused(silent, INDEX, transient=True, limits=limits)


def test_a_server_that_never_ends_its_greeting_ends_at_the_deadline() -> None:
    def greet(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-Welcome\r\n")
            time.sleep(0.02)

    with talker(greet) as endless:
        started = time.monotonic()
        refused(endless, INDEX, transient=True, limits=RetryLimits(document=1))
        assert 0.9 < time.monotonic() - started < 10


def test_a_greeting_without_end_is_not_kept() -> None:
    def greet(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-Welcome\r\n" * 1000)

    with talker(greet) as endless:
        started = time.monotonic()
        assert "no FTP server" in refused(endless, INDEX, transient=True)
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\r\n", b"x" * 100_000, b""])
def test_what_is_no_ftp_server_is_said_to_be_none(answer: bytes) -> None:
    with talker(lambda connection: connection.sendall(answer)) as other:
        assert "no FTP server" in refused(other, INDEX, transient=True)


def test_a_server_that_is_not_there_says_what_to_look_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = refused(Server(port, Path(), "ftp"), INDEX, transient=True)
    assert message.startswith(f"ftp://localhost:{port}/shop/{INDEX}: no connection")
    assert "nothing listens there" in message


def test_an_ingestors_password_is_taken_from_its_variable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ingestor = Ingestor(
        name="partner",
        tenant="acme",
        source="ftp",
        root=server.url,
        registry=INDEX,
        user="partner",
        password_variable="PARTNER_FTP_PASSWORD",
        allow_addresses=("127.0.0.0/8", "::1"),
    )
    with pytest.raises(ConfigurationError, match="PARTNER_FTP_PASSWORD"), open_source(ingestor):
        pass
    monkeypatch.setenv("PARTNER_FTP_PASSWORD", PASSWORD)
    with open_source(ingestor) as one:
        assert isinstance(one.read(INDEX, max_bytes=LIMIT), Fetched)
        assert PASSWORD not in repr(one) + repr(ingestor) + str(vars(one))
