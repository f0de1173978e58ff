"""The files that a folder needs to run the platform. They are part of the package, and `cdp init` writes them.

In a checkout the files here are links to those at its root; a wheel has their content.
"""

import re
from pathlib import Path

from cdp_platform.errors import ConfigurationError

SHIPPED = Path(__file__).parent
_SOURCES = {
    ".env": "env.example",
    "dagster.yaml": "dagster.yaml",
    "workspace.yaml": "workspace.yaml",
    "ingestion.yaml": "ingestion.yaml",
    "channels.yaml": "channels.yaml",
}


def prepare(folder: Path) -> dict[str, bool]:
    """Write the files that the folder does not have. Returns for each whether it was written; overwrites none.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    written = {}
    for name in _SOURCES:
        try:
            # Only the owner may read .env, because it will contain passwords.
            (folder / name).touch(mode=0o600 if name == ".env" else 0o644, exist_ok=False)
            (folder / name).write_text(content(name, folder))
            written[name] = True
        except FileExistsError:
            written[name] = False
        except OSError as error:
            raise ConfigurationError(
                f"{folder / name} cannot be written: {error.strerror}. Run `cdp init` in another folder."
            ) from error
    return written


def contents(folder: Path) -> dict[str, str]:
    """The texts that `prepare` writes into an empty folder, by name of the file."""
    return {name: content(name, folder) for name in _SOURCES}


def content(name: str, folder: Path) -> str:
    """The text that `prepare` writes into the file of this name, with the folder as Dagster's home."""
    text = (SHIPPED / _SOURCES[name]).read_text()
    return re.sub(r"(?m)^DAGSTER_HOME=$", lambda _: f"DAGSTER_HOME={_quoted(str(folder))}", text)


def _quoted(value: str) -> str:
    """The value as a `.env` file has it, in quotes only if it needs them."""
    if re.fullmatch(r"[\w./:+-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
