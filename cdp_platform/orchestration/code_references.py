"""From an asset in the Dagster UI to the lines that make it, on the machine of a developer."""

import warnings
from pathlib import Path

import dagster as dg

import cdp_platform

# The folder of the package; in a checkout pyproject.toml is beside it.
CHECKOUT = Path(cdp_platform.__file__).parents[1]


def with_code_references(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, whose assets say in which file and line they are written.

    Where the package is installed without its checkout the paths would lead to no file that somebody edits: then the
    definitions are returned as they are.
    """
    if not (CHECKOUT / "pyproject.toml").is_file():
        return definitions
    with warnings.catch_warnings():
        # Dagster marks the function as beta. Its test would notice a change; a warning at every command helps nobody.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = dg.with_source_code_references(list(definitions.assets or []))
    return dg.Definitions(
        assets=assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        resources=definitions.resources,
        executor=definitions.executor,
        loggers=definitions.loggers,
        metadata=definitions.metadata,
    )
