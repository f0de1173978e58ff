"""Installs the locked packages and this checkout's two distributions into the environment that runs it.

`.venv/bin/python .ci/install.py`. uv takes a fraction of pip's time. pip installs uv in the version of the lock, and uv
uses the package indexes that pip is configured for. If uv cannot be installed or fails, pip installs the same packages.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path("requirements.lock")
PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
UV = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
# The lock names every package with its hash, so there is nothing to resolve, and only known files are installed.
LOCKED = ["--quiet", "--no-deps", "--require-hashes", "-r"]
CHECKOUT = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", ".", "--editable", "./cdp_sandbox"]
# pip's option, uv's variable for it, and the separator of several values.
OPTIONS = [
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("default-timeout", "UV_HTTP_TIMEOUT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("client-cert", "SSL_CLIENT_CERT", " "),
    ("proxy", "ALL_PROXY", " "),
]


def main() -> None:
    """Install, and say so in one line."""
    packages = re.findall(r"(?m)^[\w.-]+==", LOCK.read_text())
    print(f"Installing {len(packages)} packages (about a minute the first time)", flush=True)
    if not by_uv():
        print("uv cannot install them here; pip goes on, which takes longer", flush=True)
        subprocess.run([*PIP, *LOCKED, str(LOCK)], check=True)
        subprocess.run([*PIP, *CHECKOUT], check=True)


def by_uv() -> bool:
    """Install with uv; whether that worked. Its output is left out, since pip then reports what is wrong."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        (pinned,) = re.findall(r"(?m)^uv==(?:.*\\\n)*.*\n", LOCK.read_text()) or [""]
        file.write(pinned)
        file.flush()
        commands = [
            [*PIP, *LOCKED, file.name],
            [*UV, *LOCKED, str(LOCK)],
            [*UV, *CHECKOUT],
        ]
        environment = {**indexes(), **os.environ}
        return bool(pinned) and all(
            subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
            for command in commands
        )


def indexes() -> dict[str, str]:
    """Variables of uv for the indexes that pip's files and variables name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(re.findall(r"(?m)^(\S+?)=('.*'|\".*\")$", listed))
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_LINK_MODE": "copy"} if found else {}
    for option, variable, separator in OPTIONS:
        # pip's order: its variables, then the section of the command, then the general section.
        for section in (":env:", "install", "global"):
            if value := found.get(f"{section}.{option}"):
                variables[variable] = separator.join(ast.literal_eval(value).split())
                break
    return variables


if __name__ == "__main__":
    main()
