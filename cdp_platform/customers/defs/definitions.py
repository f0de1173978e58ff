"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.customers.defs import assets, checks, sensors


def definitions() -> dg.Definitions:
    """The room."""
    return dg.Definitions(
        assets=[
            assets.cdp_profile,
            assets.cdp_profile2conversion,
            assets.cdp_segment,
            assets.cdp_profiles,
            assets.transaction_lines,
            assets.cdp_segments,
            assets.customer_metrics,
            assets.customer_value,
        ],
        asset_checks=checks.CHECKS,
        jobs=[sensors.customers_job, sensors.reconcile_job, sensors.segment_job, sensors.staleness_job],
        schedules=[sensors.customers_every_15_minutes, sensors.customers_every_night, sensors.staleness_hourly],
        sensors=[sensors.arango_changes],
    )
