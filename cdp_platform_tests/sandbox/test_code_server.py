import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

import cdp_platform
from cdp_sandbox import code_server
from cdp_sandbox.processes import end

OWN = Path(cdp_platform.__file__).parents[1] / "workspace.yaml"


def test_the_workspace_that_init_writes_is_served_by_one_code_server(tmp_path: Path):
    shutil.copyfile(OWN, tmp_path / "workspace.yaml")
    (server,) = yaml.safe_load(code_server.workspace(tmp_path / "workspace.yaml", 4321) or "")["load_from"]
    assert server == {"grpc_server": {"host": "127.0.0.1", "port": 4321, "location_name": "cdp_platform"}}


@pytest.mark.parametrize(
    "changed",
    [
        OWN.read_text() + "  - python_file: mine.py\n",
        OWN.read_text().replace("cdp_platform.definitions", "mine"),
        OWN.read_text().replace("working_directory: .", "working_directory: elsewhere"),
        "load_from: []\n",
        "# mine\n",
    ],
)
def test_a_workspace_that_somebody_changed_is_left_to_dagster(tmp_path: Path, changed: str):
    (tmp_path / "workspace.yaml").write_text(changed)
    assert code_server.workspace(tmp_path / "workspace.yaml", 4321) is None


def test_a_loader_that_was_replaced_is_no_loss_and_one_that_was_killed_is():
    # A server with two children, of which it ends the first when it is told so.
    program = (
        "import subprocess, sys\n"
        "waits = [sys.executable, '-c', 'import sys; sys.stdin.read()']\n"
        "loaders = [subprocess.Popen(waits, stdin=subprocess.PIPE) for _ in range(2)]\n"
        "print(flush=True)\ninput()\nloaders[0].kill()\nloaders[0].wait()\nprint(flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        server.stdout.readline()
        loader = code_server.Loader()
        assert not loader.is_gone(server.pid)
        server.stdin.write(b"\n")
        server.stdin.flush()
        server.stdout.readline()
        assert not loader.is_gone(server.pid)
        # They stay as zombies, since nobody waits for them.
        end(psutil.Process(server.pid).children(), signal_number=signal.SIGKILL, patience=5)
        assert loader.is_gone(server.pid)
        server.stdin.write(b"\n")
