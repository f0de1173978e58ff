"""`cdp serve`: the web app that links in messages lead to, and that providers call."""

import logging
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from cdp_platform import settings
from cdp_platform.cli.printing import error_console, json_option, say, show_json
from cdp_platform.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.routing import Route

    from cdp_platform.web.database import Database

# As long as an answer may take.
_STOP_SECONDS = 20
# Above the eight that are at work in the warehouse: the others wait, and more are told to come again.
_MOST_AT_ONCE = 256


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; CDP_WEB_PORT if not given.")
@json_option
def serve(host: str, port: int | None, *, as_json: bool) -> None:
    """Serve the web app that links in messages lead to.

    It also takes the reports of providers, and payments. A proxy in front of it has the certificate of CDP_WEB_URL.
    Runs until Ctrl-C; requests under way are answered first. Prints one line of JSON for each request, without its
    token.
    """
    import uvicorn

    from cdp_platform.web.app import access_log, app
    from cdp_platform.web.database import Database

    database = Database(settings.postgres())
    served = app(database, _routes(database))
    access_log.setLevel(logging.INFO)
    access_log.addHandler(logging.StreamHandler(sys.stdout))
    configuration = uvicorn.Config(
        served,
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    server = uvicorn.Server(configuration)
    # Before the address is printed: whoever reads it may stop the process at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    with _listening(host, port or settings.web().cdp_web_port) as listener, suppress(KeyboardInterrupt):
        address = f"http://{host}:{listener.getsockname()[1]}"
        if as_json:
            show_json({"address": address, "web_url": settings.web().cdp_web_url})
        else:
            say(f"Listening on {address} for {settings.web().cdp_web_url or 'payments'}.")
        server.run(sockets=[listener])


def _routes(database: "Database") -> list["Route"]:
    """The routes of all that is configured."""
    from cdp_platform.campaigns import journal, links
    from cdp_platform.campaigns.channels import config
    from cdp_platform.enrichment import preview_links
    from cdp_platform.web import metrics, payments, phones, previews, providers, recipients

    web, secrets = settings.web(), settings.enrichment().secrets
    channels, opened = config.configured(), journal.configured()
    routes = [*providers.routes(database, channels, opened), *payments.routes(database, secrets)]
    routes += phones.routes(database)
    routes += metrics.routes(database, settings.metrics(), _dagster(), has_proxy=web.cdp_web_url is not None)
    if secrets and not (web.cdp_web_url and web.keys):
        _warn("CDP_WEB_URL and CDP_WEB_KEYS are not both set: links in messages and to previews lead nowhere.")
        return routes
    routes += recipients.routes(database, links.configured(), channels, opened)
    routes += previews.routes(database, preview_links.configured())
    if opened is None:
        _warn("OPT_OUT_JOURNAL is not set: a warehouse that is restored from a backup forgets who opted out since.")
    return routes


def _dagster() -> str | None:
    """How to connect to Dagster's database; None, with a warning, if that is not known here."""
    from cdp_platform.health import dagster_home

    try:
        home = dagster_home.read()
    except ConfigurationError as error:
        _warn(f"/metrics says nothing of Dagster: {error}")
        return None
    return home.conninfo if home else None


def _warn(message: str) -> None:
    say(message, label="warn", style="yellow", to=error_console)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can listen on {host}, port {port}: {error.strerror}. Choose another with --port."
        ) from None
