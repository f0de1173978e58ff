import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.routing import Route

from cdp_platform.campaigns.channels import config
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.links import Links
from cdp_platform.ops import signatures
from cdp_platform.ops.tokens import Tokens
from cdp_platform.web import providers, recipients
from cdp_platform.web.app import app as web_app
from cdp_platform.web.database import Database
from cdp_platform_tests.campaigns.conftest import new_sender, sender
from cdp_platform_tests.conftest import Warehouse

__all__ = ["new_sender", "sender"]

SECRET = "a secret of the provider and us"
CHANNELS = f"""\
channels:
  - {{name: email, kind: email, address: "127.0.0.1:25", tls: none, from: shop@example.com, outcome_secret: "{SECRET}"}}
  - {{name: sms, kind: webhook, to: phone, address: "http://127.0.0.1:9/", secret: s, outcome_secret: "another secret"}}
  - {{name: zalo, kind: webhook, to: phone, address: "http://127.0.0.1:9/", secret: s}}
"""


@dataclass(frozen=True)
class Web:
    """The web app at work in this process, and a client that follows nothing and keeps nothing."""

    client: httpx2.Client
    links: Links
    journal: Journal

    def path(self, link: str) -> str:
        """The path of a link, to be asked at the address of the test."""
        return link.removeprefix(self.links.base_url)

    def report(self, channel: str, body: bytes, *, secret: str = SECRET, **headers: str) -> httpx2.Response:
        """Post reports as a provider does that signs them with this secret."""
        signed = signatures.headers(secret, body) | headers
        return self.client.post(f"/outcomes/{channel}", content=body, headers=signed)


@pytest.fixture
def web(warehouse: Warehouse, tmp_path: Path) -> Iterator[Web]:
    file = tmp_path / "channels.yaml"
    file.write_text(CHANNELS)
    links = Links("https://messages.example.com", Tokens(["k" * 32]))
    journal = Journal(tmp_path / "opt-outs.jsonl")
    database, channels = Database(warehouse.settings), config.load(file)
    with serving(
        database,
        *recipients.routes(database, links, channels, journal),
        *providers.routes(database, channels, journal),
    ) as client:
        yield Web(client, links, journal)


@contextmanager
def serving(database: Database, *routes: Route) -> Generator[httpx2.Client]:
    """The web app with these routes at work in this process."""
    server = uvicorn.Server(uvicorn.Config(web_app(database, routes), port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(30)
