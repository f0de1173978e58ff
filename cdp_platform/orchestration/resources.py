"""The outside systems as Dagster resources, which read the environment when they are used.

They have no configuration of their own, so a run's configuration, the snapshot of the repository and the UI hold no
secret, and definitions load with an empty environment.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import dagster as dg
import psycopg

from cdp_platform import settings
from cdp_platform.ops import run_leases
from cdp_platform.ops.gate import Gate
from cdp_platform.resources.arango import REQUEST_TIMEOUT_SECONDS, ArangoDatabase, open_database, open_server
from cdp_platform.resources.sheets import Spreadsheet, open_spreadsheet
from cdp_platform.warehouse.connection import UNNAMED, act_as, application, connect


class WarehouseResource(dg.ConfigurableResource):
    """PostgreSQL, from the PGSQL_ variables. Every run uses it, so it also holds the lease of the run."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["WarehouseResource"]:
        """Hold the lease of the run; sensors and schedules have none."""
        run = context.run
        if run is None:
            yield self
            return
        if application() == UNNAMED:
            # Dagster started this process for the run. A command has set its own name.
            act_as(run_leases.name_of_run(run.run_id, run.job_name))
        with run_leases.held(self.connect, run.run_id, application()):
            yield self

    @property
    def opener(self) -> Callable[[], AbstractContextManager[psycopg.Connection]]:
        """A function that opens connections. It can be pickled, for a process in which Dagster is not loaded."""
        return partial(connect, settings.postgres())

    def connect(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection as the platform's role; see `cdp_platform.warehouse.connection.connect`."""
        return self.opener()


class ArangoResource(dg.ConfigurableResource):
    """ArangoDB, from the ARANGO_ variables."""

    @property
    def opener(self) -> Callable[..., AbstractContextManager[ArangoDatabase]]:
        """A function that opens databases. It can be pickled, for a process in which Dagster is not loaded."""
        return partial(open_database, settings.arango())

    def open(
        self, database: str, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    ) -> AbstractContextManager[ArangoDatabase]:
        """A database of the server; see `cdp_platform.resources.arango.open_database`."""
        return self.opener(database, timeout_seconds=timeout_seconds)

    def open_server(self, *, timeout_seconds: float) -> AbstractContextManager[Callable[[str], ArangoDatabase]]:
        """Databases of the server for one thread; see `cdp_platform.resources.arango.open_server`."""
        return open_server(settings.arango(), timeout_seconds=timeout_seconds)


class SpreadsheetResource(dg.ConfigurableResource):
    """Google Sheets, from the GOOGLE_ variables."""

    def open(self, spreadsheet_id: str, connection: psycopg.Connection) -> AbstractContextManager[Spreadsheet]:
        """A spreadsheet, with the account's turns kept in the warehouse; see `cdp_platform.resources.sheets`."""
        return open_spreadsheet(settings.google(), spreadsheet_id, gate=partial(Gate, connection))
