"""What Dagster loads: `-m cdp_platform.definitions`, workspace.yaml and `[tool.dg]` all name this module."""

import dagster as dg

from cdp_platform.build import build_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """The platform."""
    return build_definitions()
