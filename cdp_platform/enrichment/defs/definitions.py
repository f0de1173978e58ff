"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.enrichment.defs import assets, checks, sensors


def definitions() -> dg.Definitions:
    """The room. Settings are read when an asset or a sensor runs, not here."""
    return dg.Definitions(
        assets=[assets.enriched_contacts],
        asset_checks=checks.CHECKS,
        jobs=[sensors.enrichment_job, sensors.account_job],
        schedules=[sensors.enrichment_every_hour, sensors.account_every_day],
        sensors=[sensors.paid_searches],
    )
