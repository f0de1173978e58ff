"""What went wrong, for how long, and what the run should do about it.

Three things can retry in Dagster, and they do not know of each other: the step (`IO_RETRIES`), the run
(`run_retries` in dagster.yaml, for crashed workers only), and the next tick. Here is decided which
errors are worth the first.
"""

import dagster as dg
import psycopg

from cdp_platform.errors import BusyError, PlatformError, SourceError

# Full jitter, so that a hundred steps that failed together do not come back together.
IO_RETRIES = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed if it is tried again soon."""
    if isinstance(error, SourceError):
        return error.transient
    return isinstance(error, BusyError | psycopg.OperationalError)


def is_expected(error: Exception) -> bool:
    """Whether the message tells all; anything else is a defect of ours and keeps its stack trace."""
    return isinstance(error, PlatformError | psycopg.Error)


def describe(error: Exception) -> str:
    """The error in one line, without the data of the row that PostgreSQL adds as DETAIL."""
    if isinstance(error, psycopg.Error):
        return f"PostgreSQL: {error.diag.message_primary or type(error).__name__}"
    return str(error) if isinstance(error, PlatformError) else f"{type(error).__name__} (a defect; see the stack trace)"
