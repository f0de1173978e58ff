"""Limits of requests: fixed windows of a minute, an hour and a day for each endpoint.

The first request opens a window. All keys of the account share them. A refused request is not counted. They are
forgotten with the process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_OF_HEADERS = {"minute": "minute", "hour": "hourly", "day": "24-hour"}


class Windows:
    """The windows of one account."""

    def __init__(self) -> None:
        # By endpoint and length: when the window was opened, and how many requests it has.
        self._open: dict[tuple[str, str], tuple[float, int]] = {}

    def clear(self) -> None:
        """Close all windows."""
        self._open = {}

    def take(self, endpoint: str, limits: Mapping[str, int | None]) -> tuple[str, int, int] | None:
        """Count a request, unless a window is full.

        Returns:
            None if it was counted, or else the full window, its limit, and the seconds until it ends.
        """
        now = time.monotonic()
        used = {length: self._used(endpoint, length, now) for length in limits}
        for length, limit in limits.items():
            opened, count = used[length]
            if limit is not None and count >= limit:
                return length, limit, math.ceil(opened + _SECONDS[length] - now)
        for length, (opened, count) in used.items():
            self._open[endpoint, length] = opened, count + 1
        return None

    def headers(self, endpoint: str, limits: Mapping[str, int | None]) -> dict[str, str]:
        """The headers that tell a client its limits and what is left of them."""
        headers = {}
        for length, stat in self.stats(endpoint, limits).items():
            if stat["limit"] is not None:
                headers[f"x-rate-limit-{_OF_HEADERS[length]}"] = str(stat["limit"])
                headers[f"x-{_OF_HEADERS[length]}-requests-left"] = str(stat["left_over"])
        return headers

    def stats(self, endpoint: str, limits: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
        """Limit, consumed and left-over requests of each window; null where there is no limit."""
        now = time.monotonic()
        stats = {}
        for length, limit in limits.items():
            _, count = self._used(endpoint, length, now)
            left = None if limit is None else max(0, limit - count)
            stats[length] = {"limit": limit, "consumed": count, "left_over": left}
        return stats

    def _used(self, endpoint: str, length: str, now: float) -> tuple[float, int]:
        opened, count = self._open.get((endpoint, length), (now, 0))
        return (now, 0) if now >= opened + _SECONDS[length] else (opened, count)
