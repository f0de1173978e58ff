"""Dagster's own PostgreSQL, as dagster.yaml names it under `storage: custom`.

It is Dagster's `storage: postgres` with the same configuration, and three differences. A variable that is not set gives
one line that says what to do, instead of a stack trace of 120 lines. An error of the database never shows the values of
its statement, since those are events of runs and may contain tenants' data. A process keeps its connections open, for
all its instances: Dagster opens one per event, which takes most of the time of a run over many tenants, and makes an
instance for each tick of a sensor.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click
import dagster as dg
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config

from cdp_platform.settings import require_host

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Idle ones of a process. A thread that finds them all in use opens another one and closes it.
_KEPT_CONNECTIONS = 3


class PostgresStorage(DagsterPostgresStorage):
    """Makes Dagster's storage from the configuration in dagster.yaml."""

    @classmethod
    def config_type(cls) -> Any:
        """The unresolved configuration: Dagster would resolve variables itself, and raise at the first missing one."""
        return {"postgres_db": dg.Permissive()}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> DagsterPostgresStorage:
        """Connect.

        Raises:
            click.ClickException: a variable is not set, or there is no connection. All programs of Dagster print it as
                one line.
        """
        hide_statement_values()
        database = _with_variables(config_value["postgres_db"])
        try:
            url = pg_url_from_config({"postgres_db": database})
            engine = _engine(url)
            # The engine was made with all tables.
            storage = DagsterPostgresStorage(url, should_autocreate_tables=False, inst_data=inst_data)
            for part in (storage.event_log_storage, storage.run_storage, storage.schedule_storage):
                # The only public way is `optimize_for_webserver`, whose connections break when the server restarts.
                part._engine = engine  # ty: ignore[invalid-assignment]
            return storage
        # Dagster and the driver raise errors of different classes.
        except Exception as error:
            raise click.ClickException(
                f"Dagster's database {database.get('hostname')}:{database.get('port', 5432)}/{database.get('db_name')} "
                f"cannot be used: {first_reason(error)}. Is the server up (`cdp sandbox status` for the embedded one), "
                "and are the DAGSTER_PG_ variables right?"
            ) from error


def hide_statement_values() -> None:
    """Keep the values of statements out of all errors of SQLAlchemy in this process."""
    from sqlalchemy import event  # noqa: PLC0415 (definitions load without it)
    from sqlalchemy.engine import Engine  # noqa: PLC0415

    if not event.contains(Engine, "handle_error", _hide):
        event.listen(Engine, "handle_error", _hide)


@lru_cache(maxsize=1)
def _engine(url: str) -> "Engine":
    """The connections of this process, after Dagster made its tables where they are missing."""
    DagsterPostgresStorage(url)
    return create_pg_engine(
        url, isolation_level="AUTOCOMMIT", pool_size=_KEPT_CONNECTIONS, max_overflow=-1, pool_pre_ping=True
    )


def first_reason(error: BaseException) -> str:
    """The first line of the message of the original cause."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _hide(context: Any) -> None:
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.hide_parameters = True


def _with_variables(database: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in which `{env: NAME}` is replaced by the variable's value."""
    named = {key: value["env"] for key, value in database.items() if isinstance(value, Mapping) and "env" in value}
    # The password is optional because PostgreSQL may accept another login, and the port has a default.
    missing = [name for key, name in named.items() if not os.environ.get(name) and key not in {"password", "port"}]
    if missing:
        raise click.ClickException(
            f"dagster.yaml takes Dagster's database from variables, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. Set them in the environment or in .env of this folder "
            "(.env.example says what each means); `cdp sandbox start` writes a .env for embedded services."
        )
    values = {key: os.environ.get(name, "") for key, name in named.items()}
    for key in {"hostname", "db_name"} & values.keys():
        try:
            require_host(values[key])
        except ValueError as error:
            raise click.ClickException(f"{named[key]} is wrong: {error}.") from None
    port = {"port": int(values["port"])} if values.get("port", "").isdigit() else {}
    plain = {key: value for key, value in database.items() if key not in named}
    return {**plain, **{key: value for key, value in values.items() if key != "port"}, **port}
