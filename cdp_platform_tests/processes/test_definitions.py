"""What Dagster's own tools say of the definitions, with an environment that says nothing."""

import shutil
from pathlib import Path

import pytest

from cdp_platform_tests.processes.conftest import SOURCE, Checkout, new_checkout

# Dagster's tools warn that they themselves are superseded; what we could mend is called something else.
OURS = ("DeprecationWarning", "BetaWarning", "PreviewWarning")

# What only work needs: whoever loads definitions (each command, the code server) would wait for it first.
ONLY_FOR_WORK = set(
    "alembic arango email_validator gspread numpy openai pandas pgvector phonenumbers requests rich sqlalchemy"
    " cdp_platform.cli cdp_platform.health.findings cdp_platform.health.looks cdp_sandbox".split()
)


@pytest.fixture
def source(tmp_path: Path) -> Checkout:
    """The source alone: no .env, no service, and no server to speak to. Whoever speaks to one fails here.

    Without dagster.yaml: where Dagster's home is not told, its tools take the one of the folder, and with it want the
    database that it names.
    """
    checkout = new_checkout(tmp_path)
    (checkout.root / "dagster.yaml").unlink()
    shutil.copyfile(SOURCE / "pyproject.toml", checkout.root / "pyproject.toml")
    # dg wants to see the module that pyproject.toml names beside it.
    (checkout.root / "cdp_platform").symlink_to(SOURCE / "cdp_platform")
    return checkout


def test_definitions_load_with_an_empty_environment_and_no_warning(source: Checkout):
    done = source.run("dagster", "definitions", "validate", "-m", "cdp_platform.definitions")
    assert done.code == 0, done.err
    assert "All code locations passed validation" in done.out
    assert not any(warning in done.out + done.err for warning in OURS), done.err


def test_definitions_load_without_what_only_work_needs(source: Checkout):
    load = "from cdp_platform.definitions import defs; defs().get_repository_def()"
    done = source.run("python", "-c", f"{load}; import json, sys; print(json.dumps(list(sys.modules)))")
    loaded = set(done.json())
    assert "cdp_platform.customers.defs.assets" in loaded
    assert not loaded & ONLY_FOR_WORK


def test_definitions_are_made_once_without_the_garbage_collector_that_runs_again_afterwards(source: Checkout):
    program = (
        "import gc; from cdp_platform.definitions import defs; gc.collect(); made = defs()\n"
        "print([made is defs(), gc.isenabled(), gc.get_freeze_count() > 100_000])"
    )
    assert source.run("python", "-c", program).out.strip() == "[True, True, True]"


def test_dg_finds_the_project_and_its_definitions_load(source: Checkout):
    done = source.run("dg", "check", "defs")
    assert done.code == 0, done.out + done.err
    assert "All definitions loaded successfully" in done.out
    assert not any(warning in done.out + done.err for warning in OURS), done.err


def test_an_asset_is_materialized_for_a_tenant_as_an_analyst_types_it(checkout: Checkout):
    # Nothing is exported: where Dagster's home and the services are stands in the folder's .env.
    arguments = ("asset", "materialize", "-m", "cdp_platform.definitions", "--select", "customers/cdp_profiles")
    done = checkout.run("dagster", *arguments, "--partition", "harbour")
    assert done.code == 0, done.err
    assert "RUN_SUCCESS" in done.err
    assert not any(warning in done.err for warning in OURS), done.err


def test_a_tenant_that_does_not_exist_is_no_partition(checkout: Checkout):
    arguments = ("asset", "materialize", "-m", "cdp_platform.definitions", "--select", "customers/cdp_profiles")
    done = checkout.run("dagster", *arguments, "--partition", "nobody")
    assert done.code == 1
    assert "nobody" in done.err


@pytest.mark.parametrize(
    "command",
    [
        "dagster dev -p 1",
        "dagster asset materialize -m cdp_platform.definitions --select customers/cdp_profiles --partition harbour",
        "dagster definitions validate -m cdp_platform.definitions",
        "dagster-webserver -w workspace.yaml -p 1",
    ],
)
def test_without_env_a_program_of_dagster_says_one_line(tmp_path: Path, command: str):
    done = new_checkout(tmp_path).run(*command.split())
    assert done.code == 1
    assert "Traceback" not in done.out + done.err
    (line,) = (line for line in done.err.splitlines() if line.startswith("Error: "))
    assert "DAGSTER_PG_HOST" in line
    assert "`cdp sandbox start` writes a .env" in line


def test_with_a_home_of_dagster_and_no_env_the_daemon_says_one_line(tmp_path: Path):
    checkout = new_checkout(tmp_path)
    done = checkout.run("dagster-daemon", "run", "-w", "workspace.yaml", DAGSTER_HOME=str(checkout.root))
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("Error: dagster.yaml takes Dagster's database from variables")
