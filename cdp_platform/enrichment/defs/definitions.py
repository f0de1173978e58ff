"""Everything of this room that Dagster loads."""

import dagster as dg


def definitions() -> dg.Definitions:
    """The room. Settings are read when an asset or a sensor runs, not here."""
    return dg.Definitions()
