"""The smallest server of mail: it takes everything, in the clear. The sandbox has one that can be told to misbehave."""

import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def mail_server() -> Generator[tuple[int, list[bytes]]]:
    """The port of a server of mail that takes everything, and the first line of each message that it took."""
    taken: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for command in self.rfile:
                if command[:4].upper() == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    subject, *_ = iter(self.rfile.readline, b".\r\n")
                    taken.append(subject)
                self.wfile.write(b"221 bye\r\n" if command[:4].upper() == b"QUIT" else b"250 taken\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], taken
        server.shutdown()
