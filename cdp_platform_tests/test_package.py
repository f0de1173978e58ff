"""What is installed is what is in the checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path):
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
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cdp_platform/")}
    # The build leaves its own folders beside the package.
    here = {str(path.relative_to(source)) for path in (source / "cdp_platform").rglob("*") if path.is_file()}
    assert shipped == here
