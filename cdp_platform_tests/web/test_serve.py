"""`cdp serve` as a process: it listens, logs without tokens, answers what is under way, and stops."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from cdp_platform import settings
from cdp_platform.campaigns.links import Links
from cdp_platform.ops import tenants
from cdp_platform.ops.tokens import Tokens
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.command_line import answers, refusal, says
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.stripe_says import SECRET, body_of, session, signature
from cdp_platform_tests.enrichment.test_payments import Shop
from cdp_platform_tests.web.conftest import CHANNELS
from cdp_platform_tests.web.test_recipients import messages, state
from cdp_sandbox.processes import free_port

KEYS = f"{'n' * 32},{'k' * 32}"


@pytest.fixture
def serve(warehouse: Warehouse, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts `cdp serve`; the process, and the address that it prints."""
    (tmp_path / "channels.yaml").write_text(CHANNELS)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        variables = {
            "PATH": os.environ["PATH"],
            "CDP_WEB_URL": "https://messages.example.com",
            "CDP_WEB_KEYS": KEYS,
            "CHANNELS_CONFIG_PATH": str(tmp_path / "channels.yaml"),
            "PYTHONUNBUFFERED": "1",
            **warehouse.environment(),
            **environment,
        }
        command = [str(Path(sys.executable).parent / "cdp"), "serve", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found, process.communicate()[1]
        return process, found[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_serves_logs_no_token_and_stops_when_it_is_told_to(sender: Sender, serve, tmp_path: Path):
    (message,) = messages(sender)
    # A link of before the newest key.
    link = Links("https://messages.example.com", Tokens(["k" * 32])).opt_out(*message)
    token = link.rpartition("/")[2]
    process, url = serve("--port", str(free_port()), OPT_OUT_JOURNAL=str(tmp_path / "journal"))
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert client.get("/healthz").json() == {"warehouse": "ok"}
        answer = client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert "server" not in answer.headers
        client.get(f"/elsewhere/{token}", params={"address": "someone@example.org"})
    assert state(sender)[1] == [("email", "opt_out")]
    assert len((tmp_path / "journal").read_text().splitlines()) == 1
    process.send_signal(signal.SIGTERM)
    said, warned = process.communicate(timeout=60)
    assert process.returncode == 0
    assert warned == ""
    logged = [json.loads(line) for line in said.splitlines()]
    assert [(line["method"], line["page"], line["status"]) for line in logged] == [
        ("GET", "/healthz", 200),
        ("POST", "/u", 200),
        ("GET", "elsewhere", 404),
    ]
    assert token not in said
    assert "example.org" not in said


def test_a_request_under_way_is_answered_before_it_stops(sender: Sender, serve, warehouse: Warehouse):
    (message,) = messages(sender)
    token = Links("x", Tokens(["k" * 32])).opt_out(*message).rpartition("/")[2]
    process, url = serve("--port", str(free_port()))
    with warehouse.superuser() as connection:
        # The opt-out waits for this lock while the process is told to stop.
        connection.execute("BEGIN; LOCK TABLE campaigns.suppression IN EXCLUSIVE MODE")
        with socket.create_connection((httpx2.URL(url).host, httpx2.URL(url).port or 0), timeout=60) as client:
            client.sendall(f"POST /u/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while connection.execute(waiting).fetchone() == (0,):
                pass
            process.send_signal(signal.SIGTERM)
            connection.execute("COMMIT")
            assert client.recv(12) == b"HTTP/1.1 200"
    assert process.wait(60) == 0
    assert state(sender)[1] == [("email", "opt_out")]


def test_without_a_journal_it_says_what_that_means(serve):
    process, _ = serve("--port", str(free_port()))
    process.send_signal(signal.SIGTERM)
    assert "OPT_OUT_JOURNAL is not set" in process.communicate(timeout=60)[1]


def test_with_payments_alone_it_takes_them_and_says_what_it_does_not_serve(warehouse: Warehouse, app, serve):
    tenants.add(app, "acme", arango_database="")
    search_id = Shop(warehouse, app).search()
    variables = {"PAYMENT_SECRETS": f"whsec_of_next_month, {SECRET}", "CDP_WEB_URL": "", "CDP_WEB_KEYS": ""}
    process, url = serve("--port", str(free_port()), CHANNELS_CONFIG_PATH="", **variables)
    body = body_of(session(search=search_id))
    with httpx2.Client(base_url=url, timeout=30) as client:
        answer = client.post("/payments/acme", content=body, headers={"Stripe-Signature": signature(body)})
        assert answer.json()["outcome"] == "paid"
        assert client.get("/u/token").status_code == 404
    process.send_signal(signal.SIGTERM)
    said, warned = process.communicate(timeout=60)
    assert '"page": "/payments", "status": 200' in said
    assert str(search_id) not in said
    assert "CDP_WEB_URL and CDP_WEB_KEYS are not both set" in " ".join(warned.split())


def test_the_link_that_a_command_prints_leads_to_the_preview(warehouse: Warehouse, app, serve, monkeypatch):
    tenants.add(app, "acme", arango_database="")
    search_id = Shop(warehouse, app).search()
    monkeypatch.setenv("CDP_WEB_URL", "https://messages.example.com")
    monkeypatch.setenv("CDP_WEB_KEYS", KEYS)
    settings.forget()
    arguments = ["enrichment", "preview", "--tenant", "acme", "--search", str(search_id), "--link"]
    link = says(*arguments)
    assert answers(*arguments) == {"link": link}
    _, url = serve("--port", str(free_port()))
    page = httpx2.get(link.replace("https://messages.example.com", url), timeout=30)
    assert (page.status_code, "The price is 2.99 USD." in page.text) == (200, True)


def test_without_keys_or_with_a_port_that_is_taken_it_says_what_to_do(warehouse: Warehouse, monkeypatch):
    assert "set CDP_WEB_URL and CDP_WEB_KEYS" in refusal("serve")
    monkeypatch.setenv("CDP_WEB_URL", "https://messages.example.com")
    monkeypatch.setenv("CDP_WEB_KEYS", KEYS)
    settings.forget()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "Choose another with --port" in refusal("serve", "--port", str(taken.getsockname()[1]))
