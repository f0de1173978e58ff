"""How many requests a user may make in a minute, reads and writes counted apart.

Google refills its quotas every minute at a moment that it does not tell. Here any sixty seconds count, so that whoever
keeps within this keeps within Google's too. Refused requests do not count.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from typing import Any

from cdp_sandbox.sheets.accounts import PROJECT_NUMBER
from cdp_sandbox.sheets.errors import RefusalError, error_info
from cdp_sandbox.sheets.store import Store

_WINDOW_SECONDS = 60.0
_WORDS = {"reads": ("Read requests", "ReadRequestsPerMinutePerUser", "read_requests")}
_WORDS["writes"] = ("Write requests", "WriteRequestsPerMinutePerUser", "write_requests")


class Quotas:
    """The quotas of one server. What was used is forgotten with the process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self.limits: dict[str, int | None] = store.setting("quota", {"writes": 60, "reads": 60})

    def set(self, given: Any) -> None:
        """Set the limits, per user and minute; None is none.

        Raises:
            RefusalError: 400, it says something else.
        """
        if not isinstance(given, dict) or given.keys() - {"writes", "reads"}:
            raise RefusalError("A quota is an object with writes and reads.")
        if any(limit is not None and (type(limit) is not int or limit < 0) for limit in given.values()):
            raise RefusalError("A limit is a number from 0, or null.")
        self.limits = {**self.limits, **given}
        self._store.save_setting("quota", self.limits)

    def take(self, user: str, kind: str) -> None:
        """Count a request.

        Raises:
            RefusalError: 429, the user has made too many.
        """
        limit = self.limits[kind]
        now = time.monotonic()
        with self._lock:
            used = self._used[user, kind]
            while used and used[0] <= now - _WINDOW_SECONDS:
                used.popleft()
            if limit is not None and len(used) >= limit:
                raise _exhausted(kind, limit)
            used.append(now)


def _exhausted(kind: str, limit: int) -> RefusalError:
    words, quota, metric = _WORDS[kind]
    message = (
        f"Quota exceeded for quota metric '{words}' and limit '{words} per minute per user' of service "
        f"'sheets.googleapis.com' for consumer 'project_number:{PROJECT_NUMBER}'."
    )
    details = error_info(
        "RATE_LIMIT_EXCEEDED",
        service="sheets.googleapis.com",
        consumer=f"projects/{PROJECT_NUMBER}",
        quota_limit=quota,
        quota_limit_value=str(limit),
        quota_location="global",
        quota_metric=f"sheets.googleapis.com/{metric}",
        quota_unit="1/min/{project}/{user}",
    )
    return RefusalError(message, 429, details)
