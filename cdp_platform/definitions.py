"""The module that Dagster loads: workspace.yaml, `[tool.dg]` and `-m cdp_platform.definitions` name it."""

import gc
from functools import cache

import dagster as dg


@dg.definitions
# Dagster asks for them five times in a run.
@cache
def defs() -> dg.Definitions:
    """The platform."""
    # What is loaded here stays. The garbage collector would look through all of it again and again while it grows,
    # which takes a third of the time.
    gc.disable()
    try:
        from cdp_platform.build import build_definitions  # noqa: PLC0415 (in the time without a collector)

        return build_definitions()
    finally:
        gc.freeze()
        gc.enable()
