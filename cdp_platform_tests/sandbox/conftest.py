"""A server in the place of the platform's web app, which stand-ins post to."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class WebApp:
    """A server in the place of the platform's web app: it notes what is asked and posted, and answers `status`."""

    url: str
    status: int = 200
    asked: list[str] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        with self._came:
            self.posted.append((path, headers, body))
            self._came.notify_all()

    def wait(self, number: int = 1) -> tuple[str, dict[str, str], bytes]:
        """Wait until so many were posted, and return the last: path, headers and body."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.posted) >= number, 30), f"{len(self.posted)} were posted"
            return self.posted[-1]


@pytest.fixture
def web_app() -> Iterator[WebApp]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(made.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_request(self, code: Any = "", size: Any = "") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = WebApp(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()
