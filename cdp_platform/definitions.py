"""The module that Dagster loads: workspace.yaml, `[tool.dg]` and `-m cdp_platform.definitions` name it."""

import dagster as dg

from cdp_platform.build import build_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """The platform."""
    return build_definitions()
