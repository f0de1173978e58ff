"""Alerts as the platform is configured: what the tables say is wrong, and who is told."""

import psycopg

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError
from cdp_platform.health import telling


def tell(connection: psycopg.Connection) -> list[str]:
    """Tell people of alerts that are due; returns why messages wait."""
    chosen = settings.alerts()
    if not chosen.routes:
        return []
    from cdp_platform.campaigns.channels import config  # noqa: PLC0415 (httpx2 takes 0.2 s to load)

    try:
        return telling.tell(connection, config.configured(), chosen.routes, chosen.cdp_dagster_url).waiting
    except ConfigurationError as error:
        return [str(error)]
