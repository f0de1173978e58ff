"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.campaigns.defs import assets


def definitions() -> dg.Definitions:
    """The room. Settings are read when an asset or a sensor runs, not here."""
    return dg.Definitions(assets=[assets.consent])
