"""What the files in `deploy/` say: services, units, pods, and the commands that they run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (where a process in a container listens)
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAMS = {"cdp", "dagster", "dagster-daemon", "dagster-webserver", "celery", "python", "sh"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "one-machine" / "compose.yaml").read_text())


def chart() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())


def pods() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / "web.yaml").read_text()))


@dataclass(frozen=True)
class Command:
    """A command of a file.

    Attributes:
        where: the file, and what in it.
        words: program and arguments.
    """

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"


def commands() -> list[Command]:
    """All commands of our own image; those of PostgreSQL's, Redis' and the proxy's images are not ours to run."""
    return [*_of_compose(), *_of_units(), *_of_kubernetes()]


def _of_compose() -> Iterator[Command]:
    for name, service in compose()["services"].items():
        if not service["image"].startswith("cdp-platform:"):
            continue
        yield Command(f"compose.yaml, {name}", tuple(service["command"]))
        if "healthcheck" in service:
            kind, *words = service["healthcheck"]["test"]
            assert kind == "CMD"
            yield Command(f"compose.yaml, health of {name}", tuple(words))


def _of_units() -> Iterator[Command]:
    for unit in UNITS:
        for line in re.findall(r"(?m)^ExecStart=(.+)$", unit.read_text()):
            program, *words = shlex.split(line)
            yield Command(unit.name, (Path(program).name, *words))


def _of_kubernetes() -> Iterator[Command]:
    for container in chart()["migrate"]["initContainers"]:
        yield Command("values.yaml, migrate", tuple(container["command"]))
    for deployment in chart()["dagster-user-deployments"]["deployments"]:
        # As the chart's template calls it.
        where = ("--host", EVERYWHERE, "--port", str(deployment["port"]))
        yield Command("values.yaml, code", ("dagster", "code-server", "start", *where, *deployment["codeServerArgs"]))
    for container in pods()[0]["spec"]["template"]["spec"]["containers"]:
        yield Command("web.yaml", tuple(container["command"]))
