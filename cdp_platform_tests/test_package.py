"""What is installed is what is in the checkout, and brings what it imports. The platform needs no sandbox."""

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cdp_platform.cli.extensions import Platform
from cdp_sandbox import contract

ROOT = Path(__file__).resolve().parents[1]
PLATFORM, SANDBOX = "cdp_platform", "cdp_sandbox"
# Where each distribution is built, and what the build reads beside the package.
_PROJECTS = {PLATFORM: (".", ["pyproject.toml", "README.md", "LICENSE"]), SANDBOX: (SANDBOX, [])}
# What is in the folder of a package and not part of it.
_NOT_SHIPPED = ("__pycache__", "build", "*.egg-info")
# Needed without being imported: Dagster loads the first by its name in dagster.yaml, the second is a program, the third
# a data file, and uvicorn imports the last.
_NOT_IMPORTED = {"dagster-postgres", "dagster-webserver", "lifetimes", "httptools"}


def build_wheel(folder: Path, package: str) -> Path:
    """A wheel of this checkout's package, built of a copy below the folder."""
    source, built = folder / f"source of {package}", folder / f"wheel of {package}"
    shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns(*_NOT_SHIPPED))
    project, beside = _PROJECTS[package]
    for name in beside:
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(built)]
    subprocess.run([*command, str(source / project)], check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    return wheel


def new_environment(folder: Path, *wheels: Path) -> Path:
    """The folder of programs of a new environment: our wheels, and links to the other packages of this one."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    python = environment / "bin" / "python"
    (site_packages,) = (environment / "lib").glob("python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # What makes the checkout importable here is left out.
        if not path.name.startswith(("cdp_", "__editable__", "__pycache__")) and path.suffix != ".pth":
            (site_packages / path.name).symlink_to(path)
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *install, *map(str, wheels)], check=True, timeout=120)
    for name in ("dagster", "dagster-webserver", "dagster-daemon"):
        _, _, code = (Path(sys.executable).parent / name).read_text().partition("\n")
        (environment / "bin" / name).write_text(f"#!{python}\n{code}")
        (environment / "bin" / name).chmod(0o755)
    where = "import cdp_platform; print(cdp_platform.__file__)"
    found = subprocess.run([str(python), "-c", where], cwd=folder, check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(environment)
    return environment / "bin"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {package: build_wheel(tmp_path_factory.mktemp("wheels"), package) for package in _PROJECTS}


@pytest.mark.parametrize("package", _PROJECTS)
def test_the_wheel_holds_every_file_of_the_package(wheels: dict[str, Path], tmp_path: Path, package: str):
    with zipfile.ZipFile(wheels[package]) as wheel:
        shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    copied = tmp_path / "copied" / package
    shutil.copytree(ROOT / package, copied, ignore=shutil.ignore_patterns(*_NOT_SHIPPED, "pyproject.toml", "README.md"))
    assert shipped == {str(path.relative_to(copied.parent)) for path in copied.rglob("*") if path.is_file()}


def test_the_wheel_brings_its_licence(wheels: dict[str, Path]):
    with zipfile.ZipFile(wheels[PLATFORM]) as wheel:
        (licence,) = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
        assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode().splitlines()


def test_the_files_that_init_writes_are_those_of_the_checkout(wheels: dict[str, Path]):
    with zipfile.ZipFile(wheels[PLATFORM]) as wheel:
        for name in ("dagster.yaml", "workspace.yaml", "ingestion.yaml", "channels.yaml"):
            assert wheel.read(f"cdp_platform/folder/{name}") == (ROOT / name).read_bytes()
        assert wheel.read("cdp_platform/folder/env.example") == (ROOT / ".env.example").read_bytes()


def test_the_platform_alone_serves_its_definitions_and_says_what_the_sandbox_commands_need(
    wheels: dict[str, Path], tmp_path: Path
):
    programs = new_environment(tmp_path, wheels[PLATFORM])
    folder = tmp_path / "folder"
    folder.mkdir()

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            [str(programs / program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert run("python", "-c", "import cdp_sandbox").returncode == 1
    validated = run("dagster", "definitions", "validate", "-m", "cdp_platform.definitions")
    assert validated.returncode == 0, validated.stderr
    for command in ("demo", "up", "down", "sandbox reset"):
        done = run("cdp", *command.split())
        name = command.partition(" ")[0]
        advice = f"error: `cdp {name}` is a command of cdp-sandbox: run `pip install cdp-sandbox`.\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", advice)
    listed = run("cdp", "--help").stdout
    assert "migrate" in listed
    assert "sandbox" not in listed


def test_the_platform_does_for_the_sandbox_what_its_contract_says():
    # The type checker compares the two; here their names are compared.
    platform: contract.Platform = Platform()
    assert {name for name in vars(contract.Platform) if not name.startswith("_")} == {
        name for name in dir(platform) if not name.startswith("_")
    }


def test_every_import_is_declared_and_every_declared_package_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = distributions(project["project"]["dependencies"])
    extras = project["project"]["optional-dependencies"]
    workers = distributions(extras["workers"])
    optional = distributions(extras["sentence-transformers"]) | workers
    sandbox = distributions(tomllib.loads((ROOT / SANDBOX / "pyproject.toml").read_text())["project"]["dependencies"])
    tools = distributions(each for each in project["dependency-groups"]["dev"] if isinstance(each, str))
    development = core | workers | sandbox | tools
    used, used_by_sandbox = (imported([*(ROOT / package).rglob("*.py")]) for package in (PLATFORM, SANDBOX))
    used_elsewhere = imported([*(ROOT / "cdp_platform_tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
    assert undeclared(used, core | optional) == {}
    assert undeclared(used_by_sandbox, sandbox) == {}
    assert undeclared(used_elsewhere, development) == {}
    assert unused(core | optional, used) == unused(sandbox, used_by_sandbox) == set()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirements: Iterable[str]) -> set[str]:
    return {normalized(re.split(r"[\s\[<>=!;~]", requirement)[0]) for requirement in requirements}


def imported(files: list[Path]) -> dict[str, str]:
    """Top-level modules that are neither ours nor the standard library's, and a file that imports each."""
    found = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0]: str(file.relative_to(ROOT)) for name in names}
    ours = {PLATFORM, SANDBOX, "cdp_platform_tests", "benchmarks"}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | ours}


def unused(declared: set[str], used: dict[str, str]) -> set[str]:
    known = packages_distributions()
    needed = {normalized(each) for top in used for each in known.get(top, [top])}
    return declared - needed - _NOT_IMPORTED


def undeclared(used: dict[str, str], declared: set[str]) -> dict[str, str]:
    known = packages_distributions()
    return {
        top: file for top, file in used.items() if not declared & {normalized(each) for each in known.get(top, [top])}
    }
