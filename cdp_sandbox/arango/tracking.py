"""Which queries run and which were slow (`/_api/query`), for each database.

Queries run one after the other, and nothing else is answered meanwhile: nobody ever sees one run, or can kill one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cdp_sandbox.arango import refusals

_PROPERTIES: dict[str, bool | int | float] = {
    "enabled": True,
    "trackSlowQueries": True,
    "trackBindVars": True,
    "maxSlowQueries": 64,
    "slowQueryThreshold": 10,
    "slowStreamingQueryThreshold": 10,
    "maxQueryStringLength": 4096,
}


@dataclass
class Tracking:
    """What is noted of the queries of one database.

    Attributes:
        properties: As a client sees them; thresholds in seconds.
        slow: The slow queries, oldest first.
    """

    properties: dict[str, bool | int | float] = field(default_factory=lambda: dict(_PROPERTIES))
    slow: list[dict[str, Any]] = field(default_factory=list)

    def note(
        self,
        request: dict[str, Any],
        *,
        database: str,
        user: str,
        stream: bool,
        seconds: float,
        new_number: Callable[[], int],
    ) -> None:
        """Take note of a query that has run, if it was slow. `new_number` gives it an id."""
        properties = self.properties
        threshold = properties["slowStreamingQueryThreshold" if stream else "slowQueryThreshold"]
        if not (properties["enabled"] and properties["trackSlowQueries"]) or seconds < threshold:
            return
        started = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC)
        self.slow.append(
            {
                "id": str(new_number()),
                "database": database,
                "user": user,
                "query": request["query"][: int(properties["maxQueryStringLength"])],
                "bindVars": request.get("bindVars") or {} if properties["trackBindVars"] else {},
                "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "runTime": seconds,
                "peakMemoryUsage": 0,
                "state": "finished",
                "stream": stream,
            }
        )
        del self.slow[: -int(properties["maxSlowQueries"]) or None]

    def change(self, wanted: Any) -> None:
        """Change the properties that a request names."""
        if not isinstance(wanted, dict):
            raise refusals.bad_parameter("expecting a JSON object as body")
        for name, default in _PROPERTIES.items():
            value = wanted.get(name)
            if isinstance(value, bool) if isinstance(default, bool) else isinstance(value, int | float):
                self.properties[name] = value
