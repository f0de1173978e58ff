from types import SimpleNamespace
from typing import Any

from cdp_platform.orchestration import daemons


def test_a_daemon_without_a_recent_heartbeat_is_silent():
    instance: Any = SimpleNamespace(
        get_required_daemon_types=lambda: ["SENSOR", "SCHEDULER", "BACKFILL"],
        get_daemon_heartbeats=lambda: {
            "SENSOR": SimpleNamespace(timestamp=990.0),
            "SCHEDULER": SimpleNamespace(timestamp=600.0),
            # No longer needed.
            "ASSET": SimpleNamespace(timestamp=1.0),
        },
    )
    assert daemons.silent(instance, now=1000.0) == {"SCHEDULER": 400.0, "BACKFILL": None}
