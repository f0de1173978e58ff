"""When a test fails, what its services wrote is kept and shown."""

from pathlib import Path

import pytest

from cdp_platform_tests import service_logs


def test_the_end_of_each_log_is_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service_logs, "_folders", [tmp_path / "services", tmp_path / "never made"])
    log = tmp_path / "services" / ".sandbox" / "logs" / "postgres.log"
    log.parent.mkdir(parents=True)
    log.write_text("x" * 1_000_000 + "\n" + "\n".join(f"line {number}" for number in range(100)) + "\n")
    sections: list[tuple[str, str]] = []
    service_logs.keep(tmp_path / "kept", sections)
    ((title, shown),) = sections
    kept = tmp_path / "kept" / "0-postgres.log"
    assert title == f"end of {kept}"
    assert shown.splitlines() == [f"line {number}" for number in range(75, 100)]
    assert kept.stat().st_size == 1_000_000
    assert kept.read_text().endswith("line 99\n")
