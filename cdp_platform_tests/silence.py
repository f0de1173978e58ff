"""Servers that are not there, in each way in which a server can be absent. All of them are on 127.0.0.1."""

import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress

Answer = Callable[[socket.socket], object]


@contextmanager
def closed_port() -> Generator[int]:
    """Nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    yield port


@contextmanager
def full_backlog() -> Generator[int]:
    """An attempt to connect gets no answer, as of a host behind a firewall that drops packets."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in crowd:
            each.close()


@contextmanager
def answering(answer: Answer) -> Generator[int]:
    """Whoever connects gets this; what it returns does not matter."""
    kept: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0), backlog=32)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    with suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for each in kept:
        each.close()


@contextmanager
def mute() -> Generator[int]:
    """Connections are taken, and nothing is ever answered."""
    with answering(lambda connection: None) as port:
        yield port


def close_at_once(connection: socket.socket) -> None:
    """Read what comes first, and hang up."""
    connection.recv(65536)
    connection.close()


def reset(connection: socket.socket) -> None:
    """Hang up without reading, which resets the connection."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def not_http(connection: socket.socket) -> None:
    """Greet as another protocol does."""
    connection.recv(65536)
    connection.sendall(b"220 mail.example.com ESMTP\r\n")
    connection.close()
