"""Web servers of one's own making, for what no well-behaved one does; and certificates."""

import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Host:
    """A web server on this machine.

    Attributes:
        answers: By path; a list is used up one by one, its last answer stays.
        requests: Path and headers of each request, in order of arrival.
        names: Server names that TLS clients asked for.
    """

    port: int
    scheme: str = "http"
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def next_answer(self, path: str) -> Answer:
        answer = self.answers.get(path, response(404))
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer


def response(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer. Headers have underscores for dashes; an empty one is left out."""
    given = {"content-length": str(len(body)), "connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


@contextmanager
def host(certificate: tuple[Path, Path] | None = None) -> Generator[Host]:
    """A running web server, with TLS if it has a certificate and its key."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Host(listener.getsockname()[1], "https" if certificate else "http")
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.sni_callback = lambda _connection, name, _context: made.names.append(name)

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            wrapped = context.wrap_socket(connection, server_side=True) if context else connection
            with wrapped, wrapped.makefile("rb") as lines:
                path = lines.readline().split()[1].decode()
                headers = {}
                while line := lines.readline().strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                # What is not read would break the connection off when it is closed.
                lines.read(int(headers.get("content-length", 0)))
                made.requests.append((path, headers))
                answer = made.next_answer(path)
                if callable(answer):
                    answer(wrapped)
                else:
                    wrapped.sendall(answer)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that a server of this name signed itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
