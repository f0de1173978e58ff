"""The definitions of this room, for Dagster."""

import dagster as dg

from cdp_platform import settings
from cdp_platform.catalog.config import configured
from cdp_platform.catalog.defs import assets, checks, sensors


def definitions() -> dg.Definitions:
    """The room with the ingestors of ingestion.yaml and the present environment.

    Raises:
        ConfigurationError: the file or a variable is wrong; names line and ingestor.
    """
    chosen = settings.catalog()
    found = configured()
    hourly = checks.hourly(found)
    job = sensors.job_of(hourly)
    checks_job, checks_hourly = sensors.hourly_of(hourly)
    return dg.Definitions(
        assets=[assets.published_of(found), assets.assets_of(found)],
        asset_checks=[*checks.per_run(found), *hourly],
        jobs=[job, checks_job, sensors.cleanup_job],
        schedules=[
            *sensors.schedules_of(found, job),
            checks_hourly,
            sensors.cleanup_schedule(chosen.cleanup_interval),
        ],
        sensors=[
            sensors.sensor_of(
                found,
                job,
                interval_seconds=chosen.feed_check_interval,
                on_startup=chosen.trigger_ingestion_on_startup,
            )
        ],
    )
