"""`make install` tells uv about indexes what pip is told, and installs what the lock pins."""

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / ".ci" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_is_told_what_pip_is_told(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://user:secret@one.example/simple\nextra-index-url = https://two.example/simple\n"
        "  https://three.example/simple\nfind-links = /wheels\n  /more\n[install]\ntrusted-host = one.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    # A variable goes before the file.
    monkeypatch.setenv("PIP_FIND_LINKS", "/mine")
    told = install.indexes()
    assert told["UV_DEFAULT_INDEX"] == "https://user:secret@one.example/simple"
    assert told["UV_INDEX"] == "https://two.example/simple https://three.example/simple"
    assert told["UV_FIND_LINKS"] == "/mine"
    assert told["UV_INSECURE_HOST"] == "one.example"


def test_the_lock_pins_uv_with_its_hashes():
    (pinned,) = re.findall(r"(?m)^uv==(?:.*\\\n)*.*\n", (ROOT / "requirements.lock").read_text())
    assert "--hash=sha256:" in pinned
    assert len(re.findall(r"(?m)^[\w.-]+==", pinned)) == 1


def test_where_uv_does_not_succeed_pip_installs_the_same(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran: list[list[str]] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(install, "UV", ["false"])
    monkeypatch.setattr(install, "PIP", ["true"])
    monkeypatch.setattr(install, "indexes", dict)
    run = install.subprocess.run

    def noted(command: list[str], **options: object) -> object:
        ran.append(command)
        return run(command, **options)

    monkeypatch.setattr(install.subprocess, "run", noted)
    install.main()
    assert [command[0] for command in ran] == ["true", "false", "true", "true"]
    assert ran[2][1:] == [*install.LOCKED, "requirements.lock"]
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Installing \d{3} packages \(about a minute the first time\)", said[0])
    assert said[1].startswith("uv cannot")
