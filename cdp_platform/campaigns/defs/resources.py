"""Channels and the links in messages as Dagster resources, which tests and a deployment can replace."""

from typing import TYPE_CHECKING

import dagster as dg

from cdp_platform.campaigns import links

if TYPE_CHECKING:
    from cdp_platform.campaigns.channels.config import Channels


class ChannelsResource(dg.ConfigurableResource):
    """The channels of the file that CHANNELS_CONFIG_PATH names, and links with the address of the web app."""

    def configured(self) -> "Channels":
        """The channels by name; see `cdp_platform.campaigns.channels.config`."""
        from cdp_platform.campaigns.channels import config  # noqa: PLC0415 (httpx2 takes 0.2 s to load)

        return config.configured()

    def links(self) -> links.Links:
        """The links in messages; see `cdp_platform.campaigns.links`."""
        return links.configured()
