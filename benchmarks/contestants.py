"""The ways of bringing a collection into PostgreSQL that are compared, each run once in a fresh process.

Each reads the same documents from the same stub over HTTP. It is measured from its first request to its last commit.
What ours imports only then, and the start of its second process, are counted; other imports are not.
"""

import math
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb, set_json_dumps

from benchmarks.cpu import CpuSeconds, cpu_seconds
from benchmarks.database import BenchmarkDatabase
from benchmarks.documents import PROFILES
from benchmarks.stub import documents_of, read_pages
from cdp_platform import settings
from cdp_platform.customers.full_read import SecondWorker
from cdp_platform.customers.mappers import mapper_of
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import sync
from cdp_platform.ops import tenants
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect

# How the older workers' ETL loads: https://github.com/trieu/leo-bot, executemany in chunks, one commit at the end.
CHUNK = 200

# Their tables, without the vectors: nobody here computes any. The profile table of the row-by-row worker is that of
# https://github.com/trieu/leo-activation, whose transactions nobody loaded.
_OLDER_TABLES = """
CREATE SCHEMA older;
CREATE TABLE older.cdp_profiles (
    profile_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id text NOT NULL, ext_id text NOT NULL, email text,
    mobile_number text, first_name text, last_name text, segments jsonb, data_labels jsonb, data_journey_maps jsonb,
    raw_attributes jsonb, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    UNIQUE (tenant_id, ext_id)
);
CREATE INDEX ON older.cdp_profiles USING gin (segments jsonb_path_ops);
CREATE TABLE older.customer_profile (
    cdp_profile_id varchar(50) PRIMARY KEY, tenant_id varchar(50), full_name text, email text, phone text,
    country text, age int, gender text, metadata jsonb, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE TABLE older.transactional_context (
    tenant_id varchar(50), user_id varchar(50), txn_id varchar(50), cdp_profile_id varchar(50), source_system text,
    txn_type text, txn_status text DEFAULT 'completed', txn_timestamp timestamptz DEFAULT now(), amount numeric(18, 4),
    currency varchar(10), context_data jsonb NOT NULL, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(), PRIMARY KEY (tenant_id, user_id, txn_id)
);
"""

_LIMIT_TABLES = Path(__file__).with_name("limit_tables.sql")

_PROFILE_BY_ROW = """
INSERT INTO older.cdp_profiles (
    tenant_id, ext_id, email, mobile_number, first_name, last_name, segments, data_labels, data_journey_maps,
    raw_attributes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, ext_id) DO UPDATE SET
    email = excluded.email, mobile_number = excluded.mobile_number, first_name = excluded.first_name,
    last_name = excluded.last_name, segments = excluded.segments, data_labels = excluded.data_labels,
    data_journey_maps = excluded.data_journey_maps, raw_attributes = excluded.raw_attributes, updated_at = now()
"""
_PROFILE_IN_CHUNKS = """
INSERT INTO older.customer_profile (
    cdp_profile_id, tenant_id, full_name, email, phone, country, age, gender, metadata)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (cdp_profile_id) DO UPDATE SET
    tenant_id = excluded.tenant_id, full_name = excluded.full_name, email = excluded.email, phone = excluded.phone,
    country = excluded.country, age = excluded.age, gender = excluded.gender, metadata = excluded.metadata,
    updated_at = now()
"""
# `txn_id` is the edge's key here and was the order's id there, which lost all lines of an order but one.
_TRANSACTION = """
INSERT INTO older.transactional_context (
    tenant_id, user_id, txn_id, cdp_profile_id, source_system, txn_type, txn_timestamp, amount, currency, context_data)
VALUES (%s, %s, %s, %s, 'ArangoDB', %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, user_id, txn_id) DO UPDATE SET
    cdp_profile_id = excluded.cdp_profile_id, txn_type = excluded.txn_type, txn_timestamp = excluded.txn_timestamp,
    amount = excluded.amount, currency = excluded.currency, context_data = excluded.context_data, updated_at = now()
"""


@dataclass(frozen=True)
class Task:
    """What a contestant has to do.

    Attributes:
        database: where to.
        url: of the stub.
        tenant_id: whose rows they become.
        source: name of the stub's database.
        collection: which documents.
    """

    database: BenchmarkDatabase
    url: str
    tenant_id: str
    source: str
    collection: str


@dataclass(frozen=True)
class Outcome:
    """What a contestant took.

    Attributes:
        seconds: from the first request to the last commit.
        cpu: what both sides used in that time.
        documents: how many it moved.
        peak_mb: the greatest resident memory of its process until then, in MB of 2**20 bytes.
    """

    seconds: float
    cpu: CpuSeconds
    documents: int
    peak_mb: float


class Stopwatch:
    """Measures a contestant, in whose process it is."""

    def __init__(self, database: BenchmarkDatabase) -> None:
        """Begin now."""
        self._postmaster = database.postmaster
        self._cpu = cpu_seconds(self._postmaster)
        self._began = time.perf_counter()

    def read(self, documents: int) -> Outcome:
        """The outcome until now."""
        seconds = time.perf_counter() - self._began
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Outcome(seconds, cpu_seconds(self._postmaster) - self._cpu, documents, peak_mb)


def in_fresh_process(contestant: Callable[..., list[Outcome]], *args: Any) -> list[Outcome]:
    """Run a contestant in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(contestant, *args).result()


def ours(task: Task, second_process: bool) -> list[Outcome]:
    """The platform's own sync of everything, in one process or with a second one."""
    os.environ |= task.database.environment() | {"ARANGO_HOST": task.url}
    settings.forget()
    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, task.tenant_id)
        watch = Stopwatch(task.database)
        with open_database(settings.arango(), tenant.arango_database) as database:
            source = TenantSource(database, tenant)
            mapper = mapper_of(task.collection, tenant, source)
            second = SecondWorker(
                partial(connect, settings.postgres()),
                partial(open_database, settings.arango()),
                process_from=0 if second_process else math.inf,
            )
            result = sync(connection, source, tenant, mapper, full=True, second=second)
        outcome = watch.read(result.read)
    if result.rejected or result.rows != result.source_count:
        raise RuntimeError(f"the sync of {task.collection} did not take everything: {result}")
    return [outcome]


def dlt_merge(task: Task, tuned: bool) -> list[Outcome]:
    """Merge with dlt as its documentation advises, new and repeated: pages, upsert, nested values as JSON.

    Tuned, its files are CSV, which go by COPY and not by INSERT statements, and are not compressed. Nothing else that
    its page on performance names was faster here: larger buffers, rotated files, two processes that normalize. The
    repeated run is in the same process and pipeline, which spares it the look at its state in the destination.
    """
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = str(tuned)
    import dlt  # noqa: PLC0415 (reads its environment)

    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "benchmark",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(task.database.url),
            dataset_name="dlt_benchmark",
        )
        for _ in range(2):
            watch = Stopwatch(task.database)
            resource = dlt.resource(
                read_pages(task.url, task.source, task.collection),
                name=task.collection,
                primary_key="_key",
                write_disposition={"disposition": "merge", "strategy": "upsert"},
                max_table_nesting=0,
            )
            pipeline.run(resource, loader_file_format="csv" if tuned else "insert_values")
            outcomes.append(watch.read(documents_of(task.source)))
    with task.database.superuser() as connection:
        table = sql.Identifier("dlt_benchmark", task.collection)
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    if row != (outcomes[0].documents,):
        raise RuntimeError(f"the merge of {task.collection} did not take everything: {row}")
    return outcomes


def limit(task: Task, table: str) -> list[Outcome]:
    """COPY by the server itself of the rows of a table of the platform, into the table of `limit_tables.sql`."""
    copied, held = sql.Identifier(f"limit_{table}"), sql.Identifier("customers", table)
    file = sql.Literal(str(task.database.folder / "rows.copy"))
    with task.database.superuser() as connection:
        connection.execute(_LIMIT_TABLES.read_text().encode())
        names = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(copied)).description or ()
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in names)
        rows = sql.SQL("SELECT {} FROM {}").format(columns, held)
        connection.execute(sql.SQL("COPY ({}) TO {} (FORMAT BINARY)").format(rows, file))
        connection.execute("CHECKPOINT")
        watch = Stopwatch(task.database)
        copy = connection.execute(sql.SQL("COPY {} FROM {} (FORMAT BINARY)").format(copied, file))
        outcome = watch.read(copy.rowcount)
        connection.execute("DROP TABLE limit_cdp_profiles, limit_transactions")
    return [outcome]


def row_by_row(task: Task, documents: int) -> list[Outcome]:
    """One upsert per document, one commit at the end, of the first so many documents."""
    statement, values = (_PROFILE_BY_ROW, _profile_by_row) if task.collection == PROFILES else (_TRANSACTION, _line)
    _make_older_tables(task)
    watch = Stopwatch(task.database)
    with psycopg.connect(task.database.url) as connection:
        set_json_dumps(orjson.dumps, connection)
        for document in islice(_documents(task), documents):
            connection.execute(statement, values(task.tenant_id, document))
    return [watch.read(documents)]


def in_chunks(task: Task) -> list[Outcome]:
    """Upserts by executemany in chunks, one commit at the end."""
    statement, values = (_PROFILE_IN_CHUNKS, _profile) if task.collection == PROFILES else (_TRANSACTION, _line)
    _make_older_tables(task)
    done = 0
    watch = Stopwatch(task.database)
    with psycopg.connect(task.database.url) as connection, connection.cursor() as cursor:
        set_json_dumps(orjson.dumps, connection)
        documents = _documents(task)
        while chunk := [values(task.tenant_id, document) for document in islice(documents, CHUNK)]:
            cursor.executemany(statement, chunk)
            done += len(chunk)
    return [watch.read(done)]


def _make_older_tables(task: Task) -> None:
    with psycopg.connect(task.database.url) as connection:
        connection.execute(_OLDER_TABLES)


def _documents(task: Task) -> Any:
    return (document for page in read_pages(task.url, task.source, task.collection) for document in page)


def _profile_by_row(tenant_id: str, document: dict[str, Any]) -> tuple[Any, ...]:
    return (
        tenant_id,
        document["_key"],
        document["primaryEmail"],
        document["primaryPhone"],
        document["firstName"],
        document["lastName"],
        Jsonb([{"id": segment["id"], "name": segment["name"]} for segment in document["inSegments"]]),
        Jsonb(document["dataLabels"]),
        Jsonb([]),
        Jsonb(document),
    )


def _profile(tenant_id: str, document: dict[str, Any]) -> tuple[Any, ...]:
    return (
        document["_key"],
        tenant_id,
        f"{document['firstName']} {document['lastName']}",
        document["primaryEmail"],
        document["primaryPhone"],
        document["livingCountry"],
        document["age"],
        {0: "Female", 1: "Male"}.get(document["gender"]),
        Jsonb(document),
    )


def _line(tenant_id: str, document: dict[str, Any]) -> tuple[Any, ...]:
    profile_id = document["_from"].partition("/")[2]
    return (
        tenant_id,
        profile_id,
        document["_key"],
        profile_id,
        document["eventMetricId"],
        document["createdAt"],
        document["transactionValue"],
        document["currencyCode"],
        Jsonb(document),
    )
