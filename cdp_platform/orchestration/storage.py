"""Dagster's own PostgreSQL, as dagster.yaml names it under `storage: custom`.

It is Dagster's `storage: postgres` with the same configuration, and four differences. A variable that is not set gives
one line that says what to do, instead of a stack trace of 120 lines. An error of the database never shows the values of
its statement, since those are events of runs and may contain tenants' data. A process keeps its connections open, for
all its instances: Dagster opens one per event, which takes most of the time of a run over many tenants, and makes an
instance for each tick of a sensor. A process asks the catalogue once whether a table, a column or an index is there,
which Dagster asks again for every sensor, every second.

A forked process opens connections of its own and leaves those of its parent alone.
"""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
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

# Methods of Dagster's storages that tell whether the database has a table, a column, or an index that is built.
_ABOUT_THE_CATALOGUE = (
    *("has_table", "has_built_index", "has_secondary_index", "has_secondary_index_table"),
    *("has_instigators_table", "_has_instigators_table", "_has_asset_daemon_asset_evaluations_table"),
    *("has_run_stats_index_cols", "has_backfill_id_column", "_has_asset_key_col_on_connection"),
)
# What was found, by database, storage, method and what was asked about.
_present: set[tuple[str, ...]] = set()


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
                _ask_once(part, url)
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
    engine = create_pg_engine(
        url, isolation_level="AUTOCOMMIT", pool_size=_KEPT_CONNECTIONS, max_overflow=-1, pool_pre_ping=True
    )
    # Two processes that use one connection read each other's answers.
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    return engine


def _ask_once(part: Any, url: str) -> None:
    """Answer these questions of a part of the storage from memory, once the answer was yes.

    A migration of Dagster adds tables and indexes and takes none away, so only a no can change.
    """
    for name in _ABOUT_THE_CATALOGUE:
        ask = getattr(part, name, None)
        if ask is not None:
            setattr(part, name, partial(_remembered, (url, type(part).__name__, name), ask))


def _remembered(question: tuple[str, ...], ask: Callable[..., bool], *about: Any) -> bool:
    # The other argument that there can be is a connection.
    key = (*question, *(each for each in about if isinstance(each, str)))
    if key not in _present and ask(*about):
        _present.add(key)
    return key in _present


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
