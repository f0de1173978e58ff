"""How the error of a step is described, and whether the step is tried again.

Three things can retry in Dagster, independently of each other: the step (`IO_RETRIES`), the run (`run_retries` in
dagster.yaml, for crashed workers only), and the next tick. This module decides for which errors the step is retried.
"""

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.errors import BusyError, PlatformError, SourceError, WorkerLostError


class _RetriesOfFailures(dg.RetryPolicy):
    """A retry policy that does not retry interruptions.

    Dagster also applies the policy after Ctrl-C, the end of a pod or a termination in the UI. It would continue with
    the next step, and then retry the interrupted one.
    """

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds until the next attempt; raises an interruption that is being handled again."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, Exception):
            raise error
        return float(super().calculate_delay(attempt_num))


# Full jitter, so that steps that failed at the same moment are not retried at the same moment.
IO_RETRIES = _RetriesOfFailures(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed if it is tried again soon."""
    if isinstance(error, SourceError):
        return error.transient
    return isinstance(error, BusyError | WorkerLostError | psycopg.OperationalError)


def of_several(failed: Mapping[str, Exception], metadata: Mapping[str, Any]) -> dg.Failure:
    """The failure of a step some of whose items failed: it names each with its error, and `metadata` has the figures.

    Dagster retries it only if every one of the errors may pass by itself. Raise it from None: messages of the errors
    may quote customer data, and the event log keeps them permanently.
    """
    return dg.Failure(
        description="; ".join(f"{item}: {describe(error)}" for item, error in failed.items()),
        metadata=metadata,
        allow_retries=all(map(is_transient, failed.values())),
    )


def describe(error: Exception) -> str:
    """The error in one line, without PostgreSQL's DETAIL and the message of a defect, which may quote data."""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "The warehouse does not have the tables of this version: run `cdp migrate`."
    if isinstance(error, psycopg.OperationalError) and error.diag.message_primary is None:
        return "PostgreSQL: the connection was lost. Was the server restarted?"
    if isinstance(error, psycopg.Error):
        return f"PostgreSQL: {error.diag.message_primary or type(error).__name__}"
    if isinstance(error, PlatformError):
        return str(error)
    return f"{type(error).__name__}, a defect of the platform: {frames(error)}"


def frames(error: Exception) -> str:
    """The calls that led to an error, innermost last, without its message, which may quote customer data."""
    calls = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)
