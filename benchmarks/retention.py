"""How long the retention of Dagster's runs takes, whether it keeps its time budget, and what space comes back.

One real run of an asset is executed and copied in the database, as runs of long ago over some partitions, so that the
last run of each partition has to stay. The first call has a budget of a few seconds, and the second deletes the rest.

    python -m benchmarks.retention [--runs N] [--partitions N] [--budget SECONDS] [--json]
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.cpu import cpu_seconds
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.orchestration import dagster_retention

_DAYS = 30
_DAGSTER_YAML = Path(__file__).parents[1] / "dagster.yaml"
_TABLE = dg.AssetKey("table")
_KEYS = dg.DynamicPartitionsDefinition(name="key")
_MESSAGES = 18
_FIRST = "key-00000"


@dg.asset(key=_TABLE, partitions_def=_KEYS)
def table(context: dg.AssetExecutionContext) -> None:
    """One partition, with as many events as a sync of the platform has."""
    for number in range(_MESSAGES):
        context.log.info("Message %s.", number)


def _home(database: BenchmarkDatabase, folder: Path) -> str:
    """Make a home of Dagster whose storage is a database of its own on this server; returns how to connect to it."""
    shutil.copyfile(_DAGSTER_YAML, folder / "dagster.yaml")
    settings = database.settings
    password = settings.owner_password.get_secret_value()
    with database.superuser("postgres") as connection:
        owner = sql.Identifier(settings.owner_user)
        connection.execute(sql.SQL("CREATE DATABASE dagster OWNER {}").format(owner))
    os.environ |= {
        "DAGSTER_HOME": str(folder),
        "DAGSTER_PG_HOST": settings.db_host,
        "DAGSTER_PG_PORT": str(settings.db_port),
        "DAGSTER_PG_DB": "dagster",
        "DAGSTER_PG_USERNAME": settings.owner_user,
        "DAGSTER_PG_PASSWORD": password,
    }
    return make_conninfo(
        host=settings.db_host, port=settings.db_port, dbname="dagster", user=settings.owner_user, password=password
    )


def _copy(connection: psycopg.Connection, run_id: str, runs: int, partitions: int) -> None:
    """Copy the run as runs of 90 to 40 days ago, in turn over the partitions."""
    connection.execute(
        "CREATE TEMPORARY TABLE made AS SELECT n, gen_random_uuid()::text AS run_id,"
        " 'key-' || lpad((n %% %(partitions)s)::text, 5, '0') AS partition,"
        " (now() AT TIME ZONE 'UTC') - make_interval(days => 90)"
        " + n * make_interval(secs => 50 * 86400.0 / %(runs)s) AS at"
        " FROM generate_series(1, %(runs)s) AS n",
        {"runs": runs, "partitions": partitions},
    )
    given = {"run_id": run_id, "first": _FIRST}
    connection.execute(
        "INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body,"
        " create_timestamp, update_timestamp, start_time, end_time)"
        " SELECT m.run_id, r.snapshot_id, r.pipeline_name, r.mode, r.status,"
        " replace(replace(r.run_body, %(run_id)s, m.run_id), %(first)s, m.partition), m.at, m.at,"
        " extract(epoch FROM m.at), extract(epoch FROM m.at) + 1"
        " FROM made AS m, runs AS r WHERE r.run_id = %(run_id)s ORDER BY m.n",
        given,
    )
    connection.execute(
        "INSERT INTO run_tags (run_id, key, value)"
        " SELECT m.run_id, t.key, replace(t.value, %(first)s, m.partition)"
        " FROM made AS m, run_tags AS t WHERE t.run_id = %(run_id)s",
        given,
    )
    connection.execute(
        "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)"
        " SELECT m.run_id, replace(replace(e.event, %(run_id)s, m.run_id), %(first)s, m.partition),"
        " e.dagster_event_type, m.at, e.step_key, e.asset_key, CASE WHEN e.partition IS NOT NULL THEN m.partition END"
        " FROM made AS m, event_logs AS e WHERE e.run_id = %(run_id)s ORDER BY m.n, e.id",
        given,
    )


def _figures(connection: psycopg.Connection, name: str, **more: Any) -> dict[str, Any]:
    runs, events, bytes_used = connection.execute(
        "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM event_logs),"
        " pg_total_relation_size('event_logs') + pg_total_relation_size('runs') + pg_total_relation_size('run_tags')"
    ).fetchone() or (0, 0, 0)
    return {
        "": name,
        "runs": runs,
        "events": events,
        "MB": round(bytes_used / 1e6, 1),
        **dict.fromkeys(("s", "CPU s", "server CPU s")),
        **more,
    }


def main() -> int:
    """Measure, and hold the budget and the space to their bars."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--partitions", type=int, default=500)
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of the first call")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        benchmark_database({}) as database,
    ):
        conninfo = _home(database, Path(folder))
        with (
            dg.DagsterInstance.get() as instance,
            psycopg.connect(conninfo, autocommit=True) as connection,
        ):
            instance.add_dynamic_partitions("key", [f"key-{number:05}" for number in range(max(given.partitions, 1))])
            run_id = dg.materialize([table], instance=instance, partition_key=_FIRST).run_id
            narrate(f"copying a run {given.runs:,} times")
            _copy(connection, run_id, given.runs, given.partitions)
            connection.execute("VACUUM (ANALYZE)")
            made = instance.get_materialized_partitions(_TABLE)
            rows = [_figures(connection, "before")]
            seconds: list[float] = []
            for name, budget in ((f"budget of {given.budget:g} s", given.budget), ("no limit", 3_600.0)):
                narrate(name)
                before, began = cpu_seconds(database.postmaster), time.perf_counter()
                dagster_retention.clean(instance, conninfo, _DAYS, [], dry_run=False, seconds=budget)
                seconds.append(time.perf_counter() - began)
                used = cpu_seconds(database.postmaster) - before
                rows.append(
                    _figures(
                        connection,
                        name,
                        **{
                            "s": round(seconds[-1], 1),
                            "CPU s": round(used.client, 1),
                            "server CPU s": round(used.server, 1),
                        },
                    )
                )
                if instance.get_materialized_partitions(_TABLE) != made:
                    raise RuntimeError("retention changed which partitions are materialized")
            connection.execute("VACUUM (ANALYZE)")
            rows.append(_figures(connection, "after VACUUM"))
            connection.execute("VACUUM FULL")
            rows.append(_figures(connection, "after VACUUM FULL"))
    kept = rows[-1]["runs"]
    bars = [
        Bar("seconds above the budget", seconds[0] - given.budget, 2, at_least=False),
        Bar("runs left beyond one per partition and the young one", kept - given.partitions - 1, 0, at_least=False),
        Bar("space after VACUUM FULL, of the space before", rows[-1]["MB"] / rows[0]["MB"], 0.2, at_least=False),
    ]
    return finish(
        f"retention of {given.runs:,} runs over {given.partitions:,} partitions",
        rows,
        bars,
        notes=[
            "Each call also counts and looks through all rows. What a plain VACUUM frees is used again by new rows."
        ],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
