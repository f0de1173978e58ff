"""The sources of registries and feeds, as a Dagster resource."""

from contextlib import AbstractContextManager

import dagster as dg

from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.sources import Source, open_source


class FeedsResource(dg.ConfigurableResource):
    """Sources of feeds: folders, web servers and FTP servers, with passwords from the environment."""

    def open(self, ingestor: Ingestor) -> AbstractContextManager[Source]:
        """The source of an ingestor's documents; see `cdp_platform.catalog.sources.open_source`."""
        return open_source(ingestor)
