"""People are told of each alert once: at once, again after an hour, at its end; also after a channel was down."""

import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns.channels.config import Channels
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.channels.webhook import WebhookChannel
from cdp_platform.health import telling
from cdp_platform.health.telling import tell
from cdp_platform.ops import locks
from cdp_platform.ops.alerts import Trouble, note
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.mail_server import mail_server

BREAKER = Trouble("breaker", "apollo", "Not called.")
FAILED = Trouble("run", "customers_sync", "It failed.", tenant="", run_id="4711", owners=["team:customer-data"])
ROUTES = {"*": ("ops", "ops@shop.example")}


@dataclass
class Receiver:
    """An address that takes messages by HTTP."""

    port: int = 0
    status: int | None = 202
    taken: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    server: ThreadingHTTPServer | None = None

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                if receiver.status is None:
                    self.close_connection = True
                    return
                if receiver.status < 300:
                    receiver.taken.append(json.loads(content))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as its base has it)
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.taken]

    @property
    def channels(self) -> Channels:
        entry = {"name": "ops", "kind": "webhook", "to": "email", "secret": "s" * 32}
        return Channels((WebhookChannel.model_validate({**entry, "address": f"http://127.0.0.1:{self.port}/alerts"}),))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.up()
    yield made
    made.down()


def states(app: psycopg.Connection) -> list[str]:
    return [state for (state,) in app.execute("SELECT state FROM ops.alert_message ORDER BY created_at")]


def an_hour_later(app: psycopg.Connection) -> None:
    app.execute("UPDATE ops.alert SET told_at = told_at - interval '61 minutes'")


def at_once(app: psycopg.Connection) -> None:
    """Close the breaker of the channel, so that a test need not wait for it."""
    app.execute("UPDATE ops.gate SET open_until = NULL, rests_until = '-infinity', failures = 0")


def test_the_first_is_told_at_once_the_same_again_after_an_hour_and_its_end_once(
    app: psycopg.Connection, receiver: Receiver
):
    note(app, [BREAKER])
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    for _ in range(3):
        note(app, [BREAKER])
        assert tell(app, receiver.channels, ROUTES, None).sent == 0
    an_hour_later(app)
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    note(app, [], judged=["breaker"])
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    assert tell(app, receiver.channels, ROUTES, None).sent == 0
    first, again, over = receiver.texts
    assert first.startswith("New:\n- breaker apollo: Not called.")
    assert again.startswith("Again:\n- breaker apollo")
    assert "found 4 times, 3 of them since the last message" in again
    assert over.startswith("Over:\n- breaker apollo")


def test_what_is_not_found_again_is_not_summed_up(app: psycopg.Connection, receiver: Receiver):
    note(app, [FAILED])
    tell(app, receiver.channels, ROUTES, None)
    an_hour_later(app)
    assert tell(app, receiver.channels, ROUTES, None).sent == 0


def test_while_a_channel_is_down_alerts_wait_and_each_is_told_once_afterwards(
    app: psycopg.Connection, receiver: Receiver
):
    receiver.down()
    note(app, [BREAKER])
    told = tell(app, receiver.channels, ROUTES, None)
    assert told.sent == 0
    assert len(told.waiting) == 1
    # More is found, and something is over before anybody was told of it.
    note(app, [FAILED])
    note(app, [Trouble("daemon", "SENSOR", "Silent.")])
    note(app, [], judged=["daemon"])
    at_once(app)
    tell(app, receiver.channels, ROUTES, None)
    assert states(app) == ["reserved"]
    receiver.up()
    at_once(app)
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    assert tell(app, receiver.channels, ROUTES, None).sent == 0
    text = "\n".join(receiver.texts)
    for name in ("- breaker apollo", "- run customers_sync", "- daemon SENSOR: Silent."):
        assert text.count(name) == 1
    assert states(app) == ["confirmed", "confirmed"]


def test_a_message_whose_answer_was_lost_is_not_sent_again(app: psycopg.Connection, receiver: Receiver):
    receiver.status = None
    note(app, [BREAKER])
    assert len(tell(app, receiver.channels, ROUTES, None).waiting) == 1
    receiver.status = 202
    at_once(app)
    assert tell(app, receiver.channels, ROUTES, None).sent == 0
    assert (receiver.requests, states(app)) == (1, ["unknown"])


def test_a_message_of_a_process_that_died_is_unknown_and_not_sent_again(app: psycopg.Connection, receiver: Receiver):
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    note(app, [BREAKER])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(telling, "_tell_the_gate", die)
        with pytest.raises(KeyboardInterrupt):
            tell(app, receiver.channels, ROUTES, None)
    assert states(app) == ["handed_over"]
    assert tell(app, receiver.channels, ROUTES, None).sent == 0
    assert (receiver.requests, states(app)) == (1, ["unknown"])


def test_a_refused_message_is_failed_and_its_alert_is_told_again_when_it_is_found_again(
    app: psycopg.Connection, receiver: Receiver
):
    receiver.status = 422
    note(app, [BREAKER])
    assert tell(app, receiver.channels, ROUTES, None).waiting == ["*: HTTP 422"]
    receiver.status = 202
    note(app, [BREAKER])
    an_hour_later(app)
    assert tell(app, receiver.channels, ROUTES, None).sent == 1
    assert states(app) == ["failed", "confirmed"]


def test_each_owner_is_told_of_its_own_with_a_link_to_the_run(app: psycopg.Connection, receiver: Receiver):
    note(app, [BREAKER, FAILED])
    routes = {**ROUTES, "team:customer-data": ("ops", "data@shop.example")}
    assert tell(app, receiver.channels, routes, "https://dagster.internal/").sent == 2
    texts = {each["to"]: each["text"] for each in receiver.taken}
    assert "breaker apollo" in texts["ops@shop.example"]
    assert "customers_sync" not in texts["ops@shop.example"]
    assert "https://dagster.internal/runs/4711" in texts["data@shop.example"]


def test_without_a_route_nothing_is_written_and_nothing_is_lost(app: psycopg.Connection, receiver: Receiver):
    note(app, [BREAKER])
    assert tell(app, receiver.channels, {"team:growth": ("ops", "growth@shop.example")}, None).sent == 0
    assert states(app) == []
    assert tell(app, receiver.channels, ROUTES, None).sent == 1


def test_a_channel_that_is_not_there_is_named_and_the_message_waits(app: psycopg.Connection, receiver: Receiver):
    note(app, [BREAKER])
    (reason,) = tell(app, receiver.channels, {"*": ("mail", "ops@shop.example")}, None).waiting
    assert "names the channel mail" in reason
    assert tell(app, receiver.channels, ROUTES, None).sent == 1


def test_only_one_process_tells(app: psycopg.Connection, receiver: Receiver, warehouse: Warehouse):
    note(app, [BREAKER])
    with other_process(warehouse):
        assert tell(app, receiver.channels, ROUTES, None).sent == 0
    assert tell(app, receiver.channels, ROUTES, None).sent == 1


@contextmanager
def other_process(warehouse: Warehouse) -> Generator[None]:
    with connect(warehouse.settings) as connection, locks.held(connection, locks.alerts()):
        yield


def test_a_message_of_many_alerts_shows_some_and_counts_the_rest(app: psycopg.Connection, receiver: Receiver):
    note(app, [Trouble("daemon", f"number {n}", "Silent.") for n in range(100)])
    tell(app, receiver.channels, ROUTES, None)
    (text,) = receiver.texts
    assert text.count("- daemon") == 30
    assert "And 70 more." in text


def test_alerts_go_by_e_mail_without_a_link_to_opt_out(app: psycopg.Connection):
    with mail_server() as (port, taken):
        entry = {
            "name": "ops",
            "kind": "email",
            "address": f"127.0.0.1:{port}",
            "tls": "none",
            "from": "cdp@shop.example",
        }
        channels = Channels((EmailChannel.model_validate(entry),))
        note(app, [BREAKER])
        assert tell(app, channels, ROUTES, None).sent == 1
        assert len(taken) == 1
        write = channels["ops"].writer(telling.Occasion("", "alerts", "1"))
        assert b"Unsubscribe" not in write(telling.Letter("k", "ops@shop.example", "s", ["t"], [], ""))
