"""SQL over Dagster's own tables, for what no public call of Dagster finds or deletes.

It knows the tables as one revision of Dagster's schema has them, and refuses any other. After an upgrade of Dagster
that changes the revision: compare the changes of its tables with the queries here, run the tests, and name the new
revision.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.retention import Kept

SCHEMA_REVISION = "29b539ebc72a"

# The latest event of each type of each partition of each asset: materialized, observed, planned, failed, freshness.
# Dagster takes the status of a partition, and whether it is missing, from them.
_LATEST_EVENTS = sql.SQL("""
    latest_event AS MATERIALIZED (
        SELECT max(id) AS id FROM event_logs
        WHERE asset_key IS NOT NULL GROUP BY asset_key, dagster_event_type, partition)""")

# The latest execution of each check and partition, and the latest that ended.
_LATEST_CHECKS = sql.SQL("""
    latest_check AS MATERIALIZED (
        SELECT max(id) AS id FROM asset_check_executions GROUP BY asset_key, check_name, partition
        UNION
        SELECT max(id) FROM asset_check_executions WHERE execution_status <> 'PLANNED'
        GROUP BY asset_key, check_name, partition)""")

_FINISHED = sql.SQL("('SUCCESS', 'FAILURE', 'CANCELED')")
_BACKFILL_OVER = sql.SQL("('COMPLETED', 'COMPLETED_SUCCESS', 'COMPLETED_FAILED', 'FAILED', 'CANCELED')")

# Finished runs that were last changed before %(until)s, which is in UTC, as all moments of Dagster's tables are.
_OLD_RUN = sql.SQL("""
    r.status IN {finished} AND r.create_timestamp < %(until)s
    AND coalesce(to_timestamp(r.end_time) AT TIME ZONE 'UTC', r.update_timestamp) < %(until)s""").format(
    finished=_FINISHED
)

# What goes of a run that stays: what was logged, and the details of its steps. Its assets and checks stay, so do its
# beginning and end, those of its steps, errors, and all types that are not named here.
_DETAILS = sql.SQL("""(
    'ENGINE_EVENT', 'LOGS_CAPTURED', 'STEP_WORKER_STARTING', 'STEP_WORKER_STARTED', 'RESOURCE_INIT_STARTED',
    'RESOURCE_INIT_SUCCESS', 'RESOURCE_INIT_FAILURE', 'STEP_INPUT', 'STEP_OUTPUT', 'LOADED_INPUT', 'HANDLED_OUTPUT',
    'OBJECT_STORE_OPERATION', 'HOOK_COMPLETED', 'HOOK_SKIPPED')""")


_PARTS = {
    "latest_events": _LATEST_EVENTS,
    "latest_checks": _LATEST_CHECKS,
    "finished": _FINISHED,
    "backfill_over": _BACKFILL_OVER,
    "old_run": _OLD_RUN,
    "details": _DETAILS,
}

OLD_RUNS = sql.SQL("""
WITH {latest_events}, {latest_checks},
needed (run_id) AS MATERIALIZED (
    SELECT e.run_id FROM event_logs AS e JOIN latest_event USING (id)
    UNION ALL
    SELECT c.run_id FROM asset_check_executions AS c JOIN latest_check USING (id)
    UNION ALL
    -- The last run of each job: sensors and people look whether it failed.
    SELECT run_id FROM runs WHERE id IN (SELECT max(id) FROM runs GROUP BY pipeline_name)
    UNION ALL
    -- Dagster finds in the tags of runs which keys of a sensor it has launched. Without the run it would launch again.
    SELECT t.run_id FROM run_tags AS t
    WHERE t.key = 'dagster/run_key'
      AND EXISTS (SELECT FROM run_tags AS s WHERE s.run_id = t.run_id AND s.key = 'dagster/sensor_name')
    UNION ALL
    -- A run that retries another one reads its events.
    SELECT t.value FROM run_tags AS t JOIN runs AS child ON child.run_id = t.run_id
    WHERE t.key IN ('dagster/parent_run_id', 'dagster/root_run_id') AND child.status NOT IN {finished}
    UNION ALL
    SELECT t.run_id FROM run_tags AS t
    WHERE t.key = 'dagster/will_retry' AND t.value = 'true'
      AND NOT EXISTS (SELECT FROM run_tags AS n WHERE n.run_id = t.run_id AND n.key = 'dagster/auto_retry_run_id')
    UNION ALL
    SELECT t.run_id FROM run_tags AS t JOIN bulk_actions AS b ON b.key = t.value
    WHERE t.key = 'dagster/backfill' AND b.status NOT IN {backfill_over}
)
SELECT r.run_id FROM runs AS r
WHERE {old_run}
  AND r.run_id <> ALL (%(named)s) AND NOT EXISTS (SELECT FROM needed AS n WHERE n.run_id = r.run_id)
ORDER BY r.id""").format(**_PARTS)

# Of the runs that were found, those that nothing has taken up since.
STILL_OLD_RUNS = sql.SQL("""
SELECT r.run_id FROM runs AS r
WHERE r.run_id = ANY (%(run_ids)s) AND {old_run} AND NOT EXISTS (
    SELECT FROM run_tags AS t JOIN runs AS child ON child.run_id = t.run_id
    WHERE t.key IN ('dagster/parent_run_id', 'dagster/root_run_id') AND t.value = r.run_id
      AND child.status NOT IN {finished})
ORDER BY r.id""").format(**_PARTS)

_EVENTS_OF_GONE_RUNS = sql.SQL("""
WITH {latest_events}
SELECT e.ctid FROM event_logs AS e
WHERE e.run_id <> '' AND e.timestamp < %(until)s
  AND NOT EXISTS (SELECT FROM runs AS r WHERE r.run_id = e.run_id)
  AND NOT EXISTS (SELECT FROM latest_event AS l WHERE l.id = e.id)""").format(**_PARTS)

_DETAILS_OF_RUNS = sql.SQL("""
SELECT e.ctid FROM event_logs AS e JOIN runs AS r ON r.run_id = e.run_id
WHERE e.timestamp < %(until)s AND (e.dagster_event_type IS NULL OR e.dagster_event_type IN {details})
  AND {old_run}""").format(**_PARTS)

_SUPERSEDED_EVENTS = sql.SQL("""
WITH {latest_events}
SELECT e.ctid FROM event_logs AS e
WHERE e.run_id = '' AND e.timestamp < %(until)s AND e.asset_key IS NOT NULL
  AND e.dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION', 'FRESHNESS_STATE_CHANGE')
  AND NOT EXISTS (SELECT FROM latest_event AS l WHERE l.id = e.id)""").format(**_PARTS)

_SUPERSEDED_EVALUATIONS = sql.SQL("""
WITH {latest_checks}
SELECT e.ctid FROM event_logs AS e
WHERE e.run_id = '' AND e.timestamp < %(until)s AND e.dagster_event_type = 'ASSET_CHECK_EVALUATION'
  AND NOT EXISTS (
      SELECT FROM latest_check AS l JOIN asset_check_executions AS c USING (id)
      WHERE c.evaluation_event_storage_id = e.id)""").format(**_PARTS)

_SUPERSEDED_EXECUTIONS = sql.SQL("""
WITH {latest_checks}
SELECT c.ctid FROM asset_check_executions AS c
WHERE coalesce(c.evaluation_event_timestamp, c.create_timestamp) < %(until)s
  AND NOT EXISTS (SELECT FROM latest_check AS l WHERE l.id = c.id)
  AND NOT EXISTS (SELECT FROM runs AS r WHERE r.run_id = c.run_id)""").format(**_PARTS)

_TAGS_OF_GONE_EVENTS = sql.SQL("""
SELECT t.ctid FROM asset_event_tags AS t
WHERE t.event_timestamp < %(until)s AND NOT EXISTS (SELECT FROM event_logs AS e WHERE e.id = t.event_id)""")

_OLD_BACKFILLS = sql.SQL("""
SELECT b.ctid FROM bulk_actions AS b
WHERE b.timestamp < %(until)s AND b.status IN {backfill_over}
  AND NOT EXISTS (SELECT FROM run_tags AS t WHERE t.key = 'dagster/backfill' AND t.value = b.key)""").format(**_PARTS)

_TAGS_OF_GONE_BACKFILLS = sql.SQL("""
SELECT t.ctid FROM backfill_tags AS t
WHERE NOT EXISTS (SELECT FROM bulk_actions AS b WHERE b.key = t.backfill_id)""")

# dagster.yaml says how long ticks are kept, but Dagster deletes them only when the same sensor or schedule ticks again.
# The last tick stays: a daemon continues there.
_OLD_TICKS = sql.SQL("""
SELECT t.ctid FROM job_ticks AS t
JOIN (
    SELECT coalesce(selector_id, job_origin_id) AS instigator, max(id) AS last, max(timestamp) AS moved_at
    FROM job_ticks GROUP BY 1
) AS l ON l.instigator = coalesce(t.selector_id, t.job_origin_id)
WHERE t.timestamp < %(until)s AND l.moved_at < %(until)s AND t.id <> l.last""")


def kept(days: int) -> Sequence[Kept]:
    """The rows of Dagster's tables that are kept for ``days`` days beside runs, in the order of deletion."""
    return (
        Kept("event_logs", days, _EVENTS_OF_GONE_RUNS, "of deleted runs"),
        Kept("event_logs", days, _DETAILS_OF_RUNS, "details of kept runs"),
        Kept("event_logs", days, _SUPERSEDED_EVENTS, "without a run, superseded"),
        Kept("event_logs", days, _SUPERSEDED_EVALUATIONS, "checks without a run, superseded"),
        Kept("asset_check_executions", days, _SUPERSEDED_EXECUTIONS, "superseded"),
        Kept("asset_event_tags", days, _TAGS_OF_GONE_EVENTS, "of deleted events"),
        Kept("bulk_actions", days, _OLD_BACKFILLS, "backfills without runs"),
        Kept("backfill_tags", days, _TAGS_OF_GONE_BACKFILLS, "of deleted backfills"),
        Kept("job_ticks", days, _OLD_TICKS, "of what ticks no more"),
    )


def require_revision(connection: psycopg.Connection) -> None:
    """Refuse tables that these queries were not written for.

    Raises:
        ConfigurationError: the schema has another revision, or none.
    """
    found = "none"
    if connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,):
        rows = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1").fetchall()
        found = ", ".join(version for (version,) in rows) or "none"
    if found != SCHEMA_REVISION:
        raise ConfigurationError(
            f"Dagster's tables have schema revision {found}, and retention knows {SCHEMA_REVISION}. Nothing of them "
            "was deleted. Run `dagster instance migrate` if they are older than the installed Dagster; otherwise use "
            "the version of Dagster in requirements.lock."
        )
