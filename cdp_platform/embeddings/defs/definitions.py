"""Everything of this room that Dagster loads."""

import dagster as dg

from cdp_platform.embeddings.defs import assets, checks, sensors


def definitions() -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of the room."""
    return dg.Definitions(
        assets=[*assets.EMBEDDINGS.values(), assets.profile_clusters, assets.lookalike_audiences],
        asset_checks=checks.CHECKS,
        jobs=[sensors.embeddings_job, sensors.reconcile_job, sensors.audiences_job],
        schedules=[sensors.embeddings_every_night, sensors.audiences_every_night],
        sensors=[sensors.embedding_queue],
    )
