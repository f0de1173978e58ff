"""The enrichment provider as a Dagster resource, which tests and a deployment can replace."""

from typing import TYPE_CHECKING

import dagster as dg

from cdp_platform import settings

if TYPE_CHECKING:
    from cdp_platform.resources.apollo import Apollo


class ApolloResource(dg.ConfigurableResource):
    """Apollo.io, from the APOLLO_ variables. It reads the environment when a client is opened."""

    def open(self) -> "Apollo":
        """A client, to be used in a `with`."""
        from cdp_platform.resources.apollo import Apollo  # noqa: PLC0415 (imports the HTTP client)

        chosen = settings.enrichment()
        return Apollo(chosen.apollo_api_key.get_secret_value(), chosen.apollo_base_url)
