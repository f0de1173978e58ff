"""The sandbox services process: one web front for all stand-ins.

`python -m cdp_sandbox.server --port 8529 --smtp-port 2525 --state-dir .sandbox` runs it in the foreground.
This module puts the stand-ins together, makes the front page, and runs the process. Each stand-in has its own folder;
`services.py` starts and stops the process from outside.

Environment: `ARANGO_USER` (root if unset) and `ARANGO_PASSWORD` (empty if unset) are the root credentials of the
ArangoDB stand-in. `ARANGO_JWT_SECRET` signs its tokens; if unset, a new secret is made at each start and older tokens
end. `OUTBOX_SECRET` is what webhooks to the outbox and its reports are signed with, and `CDP_WEB_URL` where it reports
bounces.
"""

from __future__ import annotations

import argparse
import gc
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from cdp_sandbox.apollo import PATH as APOLLO_PATH
from cdp_sandbox.apollo.app import DISTORTIONS as APOLLO_DISTORTIONS
from cdp_sandbox.apollo.app import ApolloServer
from cdp_sandbox.arango.app import ArangoServer
from cdp_sandbox.arrivals import ArrivalLog
from cdp_sandbox.faults import FaultMiddleware, Faults, TransportProtocol
from cdp_sandbox.feeds import PATH as FEEDS_PATH
from cdp_sandbox.feeds.app import DISTORTIONS as FEED_DISTORTIONS
from cdp_sandbox.feeds.app import FeedServer
from cdp_sandbox.openai import PATH as OPENAI_PATH
from cdp_sandbox.openai.app import DISTORTIONS, EmbeddingsServer
from cdp_sandbox.outbox import PATH as OUTBOX_PATH
from cdp_sandbox.outbox.app import OutboxServer
from cdp_sandbox.outbox.reports import DISTORTIONS as OUTBOX_DISTORTIONS
from cdp_sandbox.processes import HOST, free_port
from cdp_sandbox.sheets import KEY_FILE
from cdp_sandbox.sheets import PATH as SHEETS_PATH
from cdp_sandbox.sheets.app import SheetsServer
from cdp_sandbox.style import page

_STYLE = """
section { margin-top: 1.25rem; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); }
.box { overflow-x: auto; margin-top: .75rem; }
table { width: 100%; }
tr:last-child td { border-bottom: 0; }
tr > :first-child { padding-left: 0; }
tr > :last-child { padding-right: 0; }
"""


@dataclass(frozen=True)
class StandIn:
    """One outside system that the sandbox stands in for.

    Attributes:
        name: What it stands in for.
        path: Where it is mounted, without the slash at the end. Empty for the one that gets all other requests.
        app: What answers.
        counts: Number of records, by place and kind.
        words: Column titles for place, kind and number of records; None if it stores no data.
        close: Called once when the process ends.
        logs_requests: Whether its requests are kept, for tests to read.
        page: Path of its page for people, below its own path. Empty if it has none.
    """

    name: str
    path: str
    app: ASGIApp
    counts: Callable[[], dict[str, dict[str, int]]]
    words: tuple[str, str, str] | None
    close: Callable[[], None] = lambda: None
    logs_requests: bool = False
    page: str = ""


def stand_ins(state_dir: Path, base_url: str, smtp_port: int, faults: Faults) -> list[StandIn]:
    """Open all stand-ins on one state folder, for a front at `base_url`. The one without a path comes last."""
    arango = ArangoServer(
        state_dir / "arango.sqlite",
        root=os.environ.get("ARANGO_USER") or "root",
        password=os.environ.get("ARANGO_PASSWORD", ""),
        token_secret=os.environ.get("ARANGO_JWT_SECRET") or secrets.token_hex(32),
    )
    openai = EmbeddingsServer()
    shops = FeedServer(state_dir / "feeds.generation")
    sheets = SheetsServer(state_dir / "sheets.sqlite", state_dir / KEY_FILE, base_url)
    outbox = OutboxServer(
        state_dir,
        smtp_port,
        faults,
        report_to=os.environ.get("CDP_WEB_URL", ""),
        secret=os.environ.get("OUTBOX_SECRET", ""),
    )
    apollo = ApolloServer(state_dir)
    return [
        StandIn(
            "OpenAI's embeddings",
            OPENAI_PATH,
            openai,
            openai.counts,
            None,
            logs_requests=True,
        ),
        StandIn(
            "Shops' product feeds",
            FEEDS_PATH,
            shops,
            shops.counts,
            ("Organization", "What", "Number"),
        ),
        StandIn(
            "Google Sheets",
            SHEETS_PATH,
            sheets,
            sheets.counts,
            ("Spreadsheet", "Worksheet", "Rows"),
            sheets.close,
            logs_requests=True,
            page="/",
        ),
        StandIn(
            "E-mail, SMS and Zalo",
            OUTBOX_PATH,
            outbox,
            outbox.counts,
            ("Channel", "What", "Messages"),
            outbox.close,
            page="/",
        ),
        StandIn(
            "Apollo's people",
            APOLLO_PATH,
            apollo,
            apollo.counts,
            ("Endpoint", "What", "Number"),
            apollo.close,
            logs_requests=True,
            page="/",
        ),
        StandIn("ArangoDB 3.11", "", arango, arango.counts, ("Database", "Collection", "Documents"), arango.close),
    ]


def make_app(services: Sequence[StandIn], state_dir: Path, smtp_port: int, faults: Faults) -> ASGIApp:
    """One app for all stand-ins, which can inject faults and logs requests."""

    def home(request: Request) -> Response:
        parts = "".join(_section(service, str(request.base_url).rstrip("/")) for service in services)
        intro = "<p class=muted>Stand-ins for outside systems. Only this machine can reach them. Their data is in "
        intro += f"<code>{escape(str(state_dir))}</code>.</p>"
        return page("cdp sandbox", f"<main><h1>cdp sandbox</h1>{intro}{parts}</main>", style=_STYLE)

    async def health(request: Request) -> JSONResponse:
        known = {"state_dir": str(state_dir), "pid": os.getpid(), "smtp_port": smtp_port}
        return JSONResponse({"status": "ok", **known})

    routes = [Route("/", home), Route("/healthz", health)]
    # Without the slash, the address of a page would be one of ArangoDB's.
    routes += [Route(one.path, _with_slash) for one in services if one.page]
    app = Starlette(routes=[*routes, *(Mount(one.path, one.app) for one in services)])
    spoiled = FaultMiddleware(app, faults)
    return ArrivalLog(spoiled, tuple(f"{one.path}/" for one in services if one.logs_requests))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the process until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m cdp_sandbox.server", description=__doc__)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=8529)
    parser.add_argument("--smtp-port", type=int, help="any that is free by default; /healthz says which")
    parser.add_argument("--state-dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    state_dir = options.state_dir.absolute()
    state_dir.mkdir(parents=True, exist_ok=True)
    # Documents form no cycles, and searching millions of them for cycles takes longer than answering.
    gc.set_threshold(100_000, 50, 100)
    smtp_port = options.smtp_port or free_port()
    faults = Faults(DISTORTIONS | FEED_DISTORTIONS | OUTBOX_DISTORTIONS | APOLLO_DISTORTIONS)
    try:
        services = stand_ins(state_dir, f"http://{options.host}:{options.port}", smtp_port, faults)
    except sqlite3.OperationalError as error:
        sys.exit(f"cannot open the data in {state_dir}: {error}. Stop the other process that uses it: cdp sandbox stop")
    # uvicorn ends its work on SIGTERM and then raises it again, which would end the process before its files close.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        uvicorn.run(
            make_app(services, state_dir, smtp_port, faults),
            host=options.host,
            port=options.port,
            http=TransportProtocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            # Each stand-in sends the headers of the system that it stands in for.
            server_header=False,
            date_header=False,
            # A client that is quiet for a while must not find its connection closed: a real server waits this long.
            timeout_keep_alive=300,
            timeout_graceful_shutdown=1,
        )
    finally:
        for service in services:
            service.close()


def _with_slash(request: Request) -> Response:
    return RedirectResponse(f"{request.url.path}/")


def _section(service: StandIn, base: str) -> str:
    rows = "".join(
        f"<tr><td>{escape(place)}</td><td>{escape(kind)}</td><td class=n>{count:,}</td></tr>"
        for place, kinds in service.counts().items()
        for kind, count in kinds.items()
    )
    head = f"<h2>{escape(service.name)}</h2><p>Base address: <code>{escape(base + service.path)}</code></p>"
    place, kind, records = service.words or ("", "", "")
    table = f"<table><tr><th>{place}</th><th>{kind}</th><th class=n>{records}</th></tr>{rows}</table>"
    nothing = "No data yet." if service.words else "It stores no data."
    held = f"<div class=box tabindex=0>{table}</div>" if rows else f"<p class=muted>{nothing}</p>"
    link = f'<p><a class=button href="{escape(service.path + service.page)}">Open</a></p>' if service.page else ""
    return f"<section>{head}{held}{link}</section>"


if __name__ == "__main__":
    main()
