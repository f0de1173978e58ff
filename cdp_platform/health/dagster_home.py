"""The place where Dagster keeps its runs and events, read from the `dagster.yaml` of `DAGSTER_HOME`.

Dagster itself is not asked, since it would create missing files and tables.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from psycopg.conninfo import make_conninfo

from cdp_platform.errors import ConfigurationError

_NAMES = {"hostname": "host", "port": "port", "db_name": "dbname", "username": "user", "password": "password"}
_WORKERS = "cdp_platform.orchestration.workers"
# The tag that the platform's queue gives every run.
_QUEUED = "cdp/queued"
# A login may need no password, and the port has a default.
_OPTIONAL = {"password", "port"}


@dataclass(frozen=True)
class DagsterHome:
    """The parts of a `dagster.yaml` that the platform reads.

    Attributes:
        conninfo: how to connect to its PostgreSQL; None if it uses another storage, by default SQLite files.
        telemetry: whether usage is reported to the makers of Dagster.
        workers: whether runs go to workers on other machines (`cdp worker`).
        runs_at_once: the most runs of the queue that are launched at once; None if there is no limit.
    """

    conninfo: str | None
    telemetry: bool
    workers: bool = False
    runs_at_once: int | None = None


def read() -> DagsterHome | None:
    """Read the file; None if DAGSTER_HOME is not set.

    Raises:
        ConfigurationError: there is no such file, it cannot be read, or a variable that it refers to is not set.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return None
    file = require_file(home)
    try:
        found = yaml.safe_load(file.read_text()) or {}
        named = found.get("storage") or {}
        storage = named.get("postgres") or _of_class(named.get("custom")) or _of_class(found.get("run_storage"))
        telemetry = (found.get("telemetry") or {}).get("enabled", True)
        workers = (found.get("run_launcher") or {}).get("module") == _WORKERS
        runs = (found.get("concurrency") or {}).get("runs") or {}
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file} cannot be read ({type(error).__name__}). Correct it.") from error
    return DagsterHome(_conninfo(storage, file) if storage else None, bool(telemetry), workers, _least(runs))


def _least(runs: Any) -> int | None:
    """The lowest of the limits that hold for all runs of the queue."""
    tagged = [each["limit"] for each in runs.get("tag_concurrency_limits", []) if each.get("key") == _QUEUED]
    limits = [limit for limit in (runs.get("max_concurrent_runs", -1), *tagged) if limit >= 0]
    return min(limits, default=None)


def conninfo() -> str | None:
    """How to connect to the PostgreSQL that Dagster keeps its runs in; None if it keeps them elsewhere.

    Raises:
        ConfigurationError: as `read`.
    """
    home = read()
    return home.conninfo if home else None


def require_file(home: str) -> Path:
    """The `dagster.yaml` of this home.

    Raises:
        ConfigurationError: there is none, so Dagster would keep its runs in SQLite files there.
    """
    file = Path(home) / "dagster.yaml"
    if not file.is_file():
        raise ConfigurationError(
            f"DAGSTER_HOME is {home}, which has no dagster.yaml, so Dagster would keep its runs in SQLite files there. "
            "`cdp init` in an empty folder writes the file, and a .env that names that folder."
        )
    return file


def _of_class(storage: Any) -> Any:
    """The configuration of a storage that is given as module and class, if it is a PostgreSQL storage."""
    is_postgres = storage and storage.get("module", "").startswith(("dagster_postgres", "cdp_platform."))
    return storage["config"] if is_postgres else None


def _conninfo(storage: dict[str, Any], file: Path) -> str:
    if "postgres_url" in storage:
        return str(_value(storage["postgres_url"], file)).replace("postgresql+psycopg2://", "postgresql://", 1)
    database = storage.get("postgres_db") or {}
    parameters = {
        ours: _value(database[name], file, optional=ours in _OPTIONAL)
        for name, ours in _NAMES.items()
        if name in database
    }
    return make_conninfo(**parameters)


def _value(configured: Any, file: Path, *, optional: bool = False) -> Any:
    if not isinstance(configured, dict):
        return configured
    name = str(configured.get("env"))
    value = os.environ.get(name) or None
    if value is None and not optional:
        raise ConfigurationError(
            f"{file} refers to the variable {name}, which is not set. Set it, or write it in .env."
        )
    return value
