"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.referrals.defs import assets, checks, sensors


def definitions() -> dg.Definitions:
    """The room. Settings are read when an asset or a sensor runs, not here."""
    return dg.Definitions(
        assets=[
            assets.tracker_database,
            assets.tracker_events,
            assets.daily_metrics,
            assets.worksheets,
            assets.tenant_spreadsheet,
        ],
        asset_checks=checks.CHECKS,
        jobs=[sensors.metrics_job, sensors.raw_job, sensors.worksheets_job],
        schedules=[sensors.referrals_every_morning],
        sensors=[sensors.referral_events],
    )
