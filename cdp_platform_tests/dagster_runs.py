"""An instance of Dagster that lives as long as a test, and jobs that run on it as the command line runs them.

A room's `conftest.py` has the fixture `job`: the name of the job that `run` runs unless it is given another.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import RunResult, run_job

Run = Callable[..., RunResult]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def run(instance: dg.DagsterInstance, app: psycopg.Connection, job: str) -> Run:
    """Runs a job for these tenants, all that are registered having a partition."""
    usual = job

    def run_for(
        *tenant_ids: str, job: str = usual, resources: Mapping[str, Any] | None = None, **options: Any
    ) -> RunResult:
        partitions.keep_in_step(instance, tenants.registered(app))
        return run_job(build_definitions(resources), job, instance, tenant_ids, **options)

    return run_for


def figures(outcome: RunResult, *names: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Metadata of these names by (asset, tenant)."""
    return {(made.asset, made.partition): tuple(made.metadata.get(n) for n in names) for made in outcome.outcomes}


def verdicts(outcome: RunResult) -> dict[tuple[str, str], str]:
    """`passed`, or the severity, by (asset: check, tenant)."""
    return {(c.check, c.partition): "passed" if c.passed else c.severity for c in outcome.checks}
