"""The base class of all configuration in Dagster's launchpad."""

import dagster as dg
from pydantic import ConfigDict


class LaunchpadConfig(dg.Config):
    """Configuration of an asset or op. The launchpad shows the docstring of the class, and the one below each field."""

    model_config = ConfigDict(use_attribute_docstrings=True)
