"""What went wrong, for how long, and what the run should do about it.

Three things can retry in Dagster, and they do not know of each other: the step (`IO_RETRIES`), the run
(`run_retries` in dagster.yaml, for crashed workers only), and the next tick. Here is decided which
errors are worth the first.
"""

import sys
import traceback
from pathlib import Path

import dagster as dg
import psycopg

from cdp_platform.errors import BusyError, PlatformError, SourceError, WorkerLostError


class _RetriesOfFailures(dg.RetryPolicy):
    """A retry policy under which an interruption ends the run.

    Dagster asks the policy also after Ctrl-C, the end of a pod or a termination in the UI. It would go on with the next
    step, and then try the interrupted one again.
    """

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds until the next attempt; raises the interruption again if that is what is handled now."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, Exception):
            raise error
        return float(super().calculate_delay(attempt_num))


# Full jitter, so that a hundred steps that failed together do not come back together.
IO_RETRIES = _RetriesOfFailures(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed if it is tried again soon."""
    if isinstance(error, SourceError):
        return error.transient
    return isinstance(error, BusyError | WorkerLostError | psycopg.OperationalError)


def describe(error: Exception) -> str:
    """The error in one line, and never the data that it was about: what PostgreSQL adds as DETAIL, a defect's words."""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "The warehouse has not the tables of this version: run `cdp migrate`."
    if isinstance(error, psycopg.OperationalError) and error.diag.message_primary is None:
        return "PostgreSQL: the connection was lost. Was the server restarted?"
    if isinstance(error, psycopg.Error):
        return f"PostgreSQL: {error.diag.message_primary or type(error).__name__}"
    if isinstance(error, PlatformError):
        return str(error)
    return f"{type(error).__name__}, a defect of the platform: {frames(error)}"


def frames(error: Exception) -> str:
    """Where an error was raised, innermost call last, without its message: that may quote a customer."""
    calls = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)
