"""Links from assets in the Dagster UI to the lines of source code that make them, on a developer's machine."""

import warnings
from pathlib import Path

import dagster as dg

import cdp_platform

# The parent folder of the package; in a checkout it contains pyproject.toml.
CHECKOUT = Path(cdp_platform.__file__).parents[1]


def with_code_references(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, with the file and line of each asset.

    If the package is installed without a checkout, the paths would lead to files that nobody edits, and the definitions
    are returned unchanged.
    """
    if not (CHECKOUT / "pyproject.toml").is_file():
        return definitions
    with warnings.catch_warnings():
        # Dagster marks the function as beta. Our test notices a change; a warning at every command would help nobody.
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
