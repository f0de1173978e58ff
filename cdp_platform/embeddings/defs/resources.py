"""The providers of vectors as a Dagster resource."""

import dagster as dg

from cdp_platform import settings
from cdp_platform.embeddings.providers import NamedModel, Provider, opener


class EmbeddingProviders(dg.ConfigurableResource):
    """The providers of vectors, from the OPENAI_ variables. It reads the environment when a provider is opened."""

    def open(self, model: NamedModel) -> Provider:
        """The provider of a model; see `cdp_platform.embeddings.providers.open_provider`."""
        return opener(settings.embeddings())(model)
