"""A tenant whose events run on a real instance of Dagster, and send to the sandbox's outbox."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx2
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.campaigns import planning
from cdp_platform.campaigns.defs import partitions
from cdp_platform.campaigns.defs.sensors import DUE
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.orchestration.in_process import RunResult, run_job
from cdp_platform_tests.campaigns.plans import plan, use_channels, write
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.sandbox_process import SandboxProcess


@dataclass(frozen=True)
class Shop(Sender):
    """A tenant whose file of plans is applied, with an instance and an outbox."""

    instance: dg.DagsterInstance
    folder: Path
    sandbox: SandboxProcess

    def plan(self, *, starts_in: timedelta = timedelta(minutes=-1), **changes: Any) -> str:
        """An event of e-mail to everybody, due a minute ago unless it is said; ``changes`` are fields of it."""
        now = datetime.now(UTC)
        times = {"start": (now + starts_in).isoformat(), "end": (now + starts_in + timedelta(days=2)).isoformat()}
        content = plan(**(times | changes))
        planning.apply(self.connection, self.tenant, write(self.folder, content, f"{self.tenant_id}.yaml"))
        return content["events"][0]["event"]

    def run(self, *event_ids: str, job: str = DUE, **options: Any) -> RunResult:
        """Run the job of these events, which are neighbours among the partitions."""
        keys = [partitions.key_of(self.tenant_id, event_id) for event_id in event_ids]
        partitions.ensure(self.instance, keys)
        return run_job(build_definitions(), job, self.instance, keys, **options)

    def outbox(self) -> list[str]:
        """The addresses of the messages of this tenant that the outbox has, sorted."""
        messages = httpx2.get(f"{self.sandbox.url}/outbox/messages", timeout=30).json()
        return sorted(each["address"] for each in messages)


@pytest.fixture
def new_shop(
    app: psycopg.Connection,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Shop]:
    use_channels(tmp_path, monkeypatch, sandbox)
    httpx2.delete(f"{sandbox.url}/outbox/messages", timeout=30)

    def made(tenant_id: str) -> Shop:
        own = CampaignSettings(postal_address="1 Main Street", quiet_from=time(0), quiet_until=time(0))
        tenants.add(app, tenant_id, arango_database="", settings=[own])
        return Shop(app, tenants.get(app, tenant_id), instance, tmp_path, sandbox)

    return made


@pytest.fixture
def shop(new_shop: Callable[[str], Shop]) -> Shop:
    return new_shop("acme")
