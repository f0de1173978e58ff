"""What the documents name exists: pages and headings, commands and options, tables, files, checks, messages."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.cli import cdp
from cdp_platform.warehouse.versions import PGVECTOR, POSTGRES
from cdp_platform_tests.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
WAREHOUSE = ROOT / "cdp_platform" / "warehouse"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def code(page: Path) -> list[str]:
    """Code between backticks, each on one line, and the lines of code blocks."""
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]
    return spans + [line.strip() for block in _FENCE.findall(page.read_text()) for line in block.splitlines()]


@cache
def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page: Path):
    lost = []
    for link in _LINK.findall(prose(page)):
        address = urlsplit(link)
        if address.scheme:
            continue
        target = (page.parent / address.path).resolve() if address.path else page
        if not target.is_file() or (address.fragment and address.fragment not in anchors(target)):
            lost.append(link)
    assert lost == []


def commands(page: Path) -> Iterator[str]:
    for line in code(page):
        found = re.match(r"(?:\.venv/bin/)?cdp (.*)", line)
        if found:
            # What stands behind a gap or a # explains the command; brackets are around what may be left out.
            yield re.split(r"\s{2,}|\s#", found[1])[0].replace("[", "").replace("]", "")


@every_page
def test_every_command_exists_with_its_options(page: Path):
    wrong = []
    for line in commands(page):
        words = shlex.split(line)
        command: click.Command = cdp
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            known = command.get_command(click.Context(command), words[0])
            if known is None:
                break
            command = known
            words = words[1:]
        try:
            command.make_parser(click.Context(command)).parse_args(list(words))
        except click.UsageError as error:
            wrong.append(f"cdp {line}: {error.message}")
        if isinstance(command, click.Group) and words and not words[0].startswith("-"):
            wrong.append(f"cdp {line}: there is no {words[0]}")
    assert wrong == []


@cache
def relations() -> dict[str, set[str]]:
    """The columns of every table and view."""
    described = json.loads((WAREHOUSE / "columns.json").read_text())
    return {table: {column["name"] for column in columns} for table, columns in described.items()}


@cache
def functions() -> set[str]:
    """Functions and domains."""
    migrations = (WAREHOUSE / "migrations" / "versions").glob("*.sql")
    return {name for file in migrations for name in re.findall(r"(?:FUNCTION|DOMAIN) (\w+\.\w+)", file.read_text())}


def is_there(name: str, column: str | None) -> bool:
    return name in functions() or (name in relations() and (column is None or column in relations()[name]))


@every_page
def test_every_table_column_and_function_exists(page: Path):
    schemas = "|".join(sorted({table.partition(".")[0] for table in relations()}))
    named = re.compile(rf"(?<![\w./-])((?:{schemas})\.\w+)(?:\.(\w+))?(?![\w/])")
    found = {match.groups() for line in code(page) for match in named.finditer(line)}
    unknown = [".".join(filter(None, each)) for each in found if not is_there(*each)]
    assert unknown == []


@every_page
def test_every_file_of_the_checkout_exists(page: Path):
    named = re.compile(r"(?<![\w./-])(?:cdp_platform|cdp_sandbox|docs|benchmarks)/[\w./-]*\w/?")
    lost = [path for line in code(page) for path in named.findall(line) if not (ROOT / path).exists()]
    assert lost == []


@cache
def names() -> dict[str, set[str]]:
    """What Dagster's things are called, by what they are."""
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    return {
        "check": {key.name for key in graph.asset_check_keys},
        "sensor": sensors,
        "job": jobs,
        "job, sensor or schedule": jobs | sensors | {schedule.name for schedule in repository.schedule_defs},
        "asset": {key.to_user_string() for key in graph.get_all_asset_keys()},
    }


@every_page
def test_every_check_sensor_job_and_asset_exists(page: Path):
    rooms = "|".join(ROOMS)
    found = re.findall(r"\b(check|sensor|job)s? `(\w+)`", prose(page))
    found += [("job, sensor or schedule", name) for name in re.findall(rf"`((?:{rooms})_\w+)`", prose(page))]
    found += [("asset", key) for key in re.findall(rf"`((?:{rooms}|arangodb)/\w+)`", prose(page))]
    assert [f"{kind} {name}" for kind, name in found if name not in names()[kind]] == []


def test_every_check_and_every_job_is_described():
    operating = prose(ROOT / "docs" / "operating.md")
    pages = "".join(prose(page) for page in PAGES)
    assert {check for check in names()["check"] if f"`{check}`" not in operating} == set()
    assert {job for job in names()["job"] if f"`{job}`" not in pages} == set()


@cache
def sentences() -> str:
    """The texts of the package's code; a new line where a value is put in."""
    nodes = (node for file in (ROOT / "cdp_platform").rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return "\n".join(" ".join(value.split()) for value in constants if isinstance(value, str))


def test_every_message_that_operating_quotes_is_one_of_the_code():
    rows = [line for line in prose(ROOT / "docs" / "operating.md").splitlines() if line.startswith("| ")]
    quoted = [text for row in rows for text in re.findall(r'"([^"]+)"', row.split(" | ")[0])]
    assert len(quoted) > 20
    parts = [part.strip() for text in quoted for part in re.split(r"\.\.\.|\b\d[\d,]*\b|\$", text)]
    assert [part for part in parts if part not in sentences()] == []


def test_the_readme_is_short_and_names_the_versions_that_are_needed():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) < 150
    assert f"{POSTGRES} or later, with pgvector {'.'.join(map(str, PGVECTOR))} or later" in readme
    project = (ROOT / "pyproject.toml").read_text()
    python = re.search(r'requires-python = ">=([\d.]+)"', project)
    dagster = re.search(r'"dagster>=([\d.]+),', project)
    assert python
    assert dagster
    assert f"| Python | {python[1]} or later |" in readme
    assert f"| Dagster | {dagster[1]} |" in readme
