"""A provider of messages in the test's process, over real sockets, and the channel that talks to it.

It takes messages by HTTP and answers with a verdict of the contract, so that a test decides what a provider does, and
sees what it did.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.errors import UnavailableError

Behaviour = Callable[[str, str], Verdict | str]
"""What to do with a key and an address: answer this verdict, or one of `CUT_BEFORE`, `CUT_AFTER`."""
CUT_BEFORE, CUT_AFTER = "cut before", "cut after"


def accept(_key: str, _address: str) -> Verdict | str:
    """Take every message."""
    return Verdict.ACCEPTED


@dataclass
class Provider:
    """The provider's side.

    Attributes:
        honours_keys: a key that it knows is answered as before, and makes no second message.
        behave: what it does with a message.
        retry_after: seconds that it asks to wait, with `Verdict.REST`.
        seconds: how long it takes for an answer.
        knows_yet: whether it can say what became of a key.
        taken: key and address of each message that it took, in their order.
        done: what it did, by verdict or cut: the proof that a fault happened.
    """

    honours_keys: bool = True
    behave: Behaviour = accept
    retry_after: float | None = None
    seconds: float = 0.0
    knows_yet: bool = True
    taken: list[tuple[str, str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None

    @property
    def addresses(self) -> list[str]:
        """The address of each message that it took, sorted."""
        with self._lock:
            return sorted(address for _, address in self.taken)

    @property
    def twice(self) -> set[str]:
        """Keys of which it took more than one message."""
        with self._lock:
            return {key for key, number in Counter(key for key, _ in self.taken).items() if number > 1}

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler_of(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Listen no more: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, key: str, address: str) -> Verdict | str:
        what = self.behave(key, address)
        with self._lock:
            self.done[what] += 1
            known = self.honours_keys and any(key == taken for taken, _ in self.taken)
            if what in (Verdict.ACCEPTED, CUT_AFTER) and not known:
                self.taken.append((key, address))
        return what

    def channel(self, name: str = "email", **options: Any) -> "ProviderChannel":
        """A channel of this provider; ``options`` are attributes of `ProviderChannel`."""
        return ProviderChannel(self, name, **options)


def _handler_of(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as its base has it)
            pass

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if provider.seconds:
                threading.Event().wait(provider.seconds)
            what = provider.take(message["key"], message["address"])
            if what in (CUT_BEFORE, CUT_AFTER):
                self.close_connection = True
                return
            self._answer(200, {"verdict": what, "retry_after": provider.retry_after})

        def do_GET(self) -> None:
            known = self.path.removeprefix("/messages/") in {key for key, _ in provider.taken}
            self._answer((200 if known else 404) if provider.knows_yet else 202, {})

        def _answer(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@dataclass(frozen=True)
class ProviderChannel:
    """The platform's side: a channel as the contract has it."""

    provider: Provider
    name: str = "email"
    kind: str = "email"
    to: str = "email"
    per_minute: int | None = None
    per_day: int | None = None
    key_seconds: float = 3600.0
    can_answer: bool = False
    connections: int = 4

    @contextmanager
    def open(self) -> Generator["ProviderSender"]:
        """A sender with connections of its own."""
        with httpx2.Client(base_url=self._base) as client, ThreadPoolExecutor(self.connections) as threads:
            yield ProviderSender(client, threads)

    def ask(self, key: str) -> Answer | None:
        """What became of a key."""
        try:
            found = httpx2.get(f"{self._base}/messages/{key}")
        except httpx2.HTTPError as error:
            raise UnavailableError(f"The provider does not answer: {type(error).__name__}. Try again.") from error
        if found.status_code == httpx2.codes.ACCEPTED:
            return Answer(Verdict.UNKNOWN, "202")
        return Answer(Verdict.ACCEPTED, "200") if found.status_code == httpx2.codes.OK else None

    def look(self) -> str:
        """Whether it is there."""
        return f"listens on port {self.provider.port}"

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self.provider.port}"


@dataclass(frozen=True)
class ProviderSender:
    """Open connections to the provider."""

    client: httpx2.Client
    threads: ThreadPoolExecutor

    def send(self, batch: Sequence[Outgoing]) -> Sequence[Answer]:
        """Send a batch; answers in its order."""
        return list(self.threads.map(self._send, batch))

    def _send(self, message: Outgoing) -> Answer:
        try:
            answer = self.client.post("/messages", json={"key": message.key, "address": message.address})
        except httpx2.ConnectError:
            return Answer(Verdict.NOT_TAKEN, reason="connection refused")
        except httpx2.HTTPError as error:
            return Answer(Verdict.UNKNOWN, reason=type(error).__name__)
        said = answer.json()
        return Answer(Verdict(said["verdict"]), "200", retry_after_seconds=said["retry_after"])
