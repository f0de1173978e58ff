"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.campaigns.defs import assets, checks, event_assets, event_checks, sensors, settling


def definitions() -> dg.Definitions:
    """The room. Settings are read when an asset or a sensor runs, not here."""
    return dg.Definitions(
        assets=[
            assets.segments,
            assets.consent,
            assets.effect,
            event_assets.events,
        ],
        asset_checks=[*checks.CHECKS, *event_checks.CHECKS],
        jobs=[sensors.due_job, sensors.segments_job, sensors.effect_job, settling.settle_job],
        schedules=[sensors.segments_every_hour, sensors.effect_every_day, settling.settle_schedule],
        sensors=[sensors.due_events],
    )
