"""What is installed is what is in the checkout, and brings what it imports."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Needed without being imported: Dagster loads the first by its name in dagster.yaml, the second is a program, the third
# a data file, and uvicorn imports the last.
_NOT_IMPORTED = {"dagster-postgres", "dagster-webserver", "lifetimes", "httptools", "pandas", "pgvector"}


def build_wheel(tmp_path: Path) -> Path:
    """A wheel of this checkout, whose sources are in ``tmp_path / "source"``."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "cdp_platform", source / "cdp_platform", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path):
    wheel = build_wheel(tmp_path)
    source = tmp_path / "source"
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cdp_platform/")}
    # The build leaves its own folders beside the package.
    here = {str(path.relative_to(source)) for path in (source / "cdp_platform").rglob("*") if path.is_file()}
    assert shipped == here


def test_the_files_that_init_writes_are_those_of_the_checkout(tmp_path: Path):
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        for name in ("dagster.yaml", "workspace.yaml", "ingestion.yaml"):
            assert wheel.read(f"cdp_platform/folder/{name}") == (ROOT / name).read_bytes()
        assert wheel.read("cdp_platform/folder/env.example") == (ROOT / ".env.example").read_bytes()


def test_every_import_is_declared_and_every_declared_package_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = distributions(project["project"]["dependencies"])
    extras = {name: distributions(named) for name, named in project["project"]["optional-dependencies"].items()}
    sandbox, optional = core | extras["sandbox"], extras["sentence-transformers"]
    development = sandbox | distributions(project["dependency-groups"]["dev"])
    package = ROOT / "cdp_platform"
    # Only commands that need the sandbox anyway import `serve`.
    for_sandbox = [*(package / "sandbox").rglob("*.py"), package / "cli" / "serve.py"]
    used_by_sandbox = imported(for_sandbox)
    used = imported(set(package.rglob("*.py")) - set(for_sandbox))
    used_elsewhere = imported([*(ROOT / "cdp_platform_tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
    assert undeclared(used, core | optional) == {}
    assert undeclared(used_by_sandbox, sandbox) == {}
    assert undeclared(used_elsewhere, development) == {}
    known = packages_distributions()
    needed = {normalized(each) for top in (*used, *used_by_sandbox) for each in known.get(top, [top])}
    assert (sandbox | optional) - needed - _NOT_IMPORTED - {"sentence-transformers"} == set()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirements: list[str]) -> set[str]:
    return {normalized(re.split(r"[\s\[<>=!;~]", requirement)[0]) for requirement in requirements}


def imported(files: "set[Path] | list[Path]") -> dict[str, str]:
    """Top-level modules that are neither ours nor the standard library's, and a file that imports each."""
    found = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0]: str(file.relative_to(ROOT)) for name in names}
    ours = {"cdp_platform", "cdp_platform_tests", "benchmarks"}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | ours}


def undeclared(used: dict[str, str], declared: set[str]) -> dict[str, str]:
    known = packages_distributions()
    return {
        top: file for top, file in used.items() if not declared & {normalized(each) for each in known.get(top, [top])}
    }
