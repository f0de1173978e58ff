"""Channels and the links in messages as Dagster resources, which tests and a deployment can replace."""

import dagster as dg

from cdp_platform.campaigns import links
from cdp_platform.campaigns.channels import config


class ChannelsResource(dg.ConfigurableResource):
    """The channels of the file that CHANNELS_CONFIG_PATH names, and links with the address of the web app."""

    def configured(self) -> config.Channels:
        """The channels by name; see `cdp_platform.campaigns.channels.config`."""
        return config.configured()

    def links(self) -> links.Links:
        """The links in messages; see `cdp_platform.campaigns.links`."""
        return links.configured()
