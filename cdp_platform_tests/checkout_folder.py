"""A folder for the sandbox of a test.

A checkout's path decides on its ports, and the sandboxes of a whole test session live side by side: two of their paths
may well have the same ports.
"""

from pathlib import Path

from cdp_sandbox.lifecycle import Sandbox
from cdp_sandbox.processes import port_is_free


def new_checkout_folder(folder: Path) -> Path:
    """Make an empty folder in this one, whose sandbox has ports on which nothing listens."""
    for number in range(100):
        root = folder / f"checkout{number or ''}"
        sandbox = Sandbox(root)
        ports = [sandbox.postgres.port, sandbox.services.port, sandbox.services.smtp_port]
        if all(map(port_is_free, [*ports, sandbox.webserver_port, sandbox.web_port])):
            root.mkdir()
            return root
    raise RuntimeError(f"100 checkouts in {folder} would all have a port that is taken")
