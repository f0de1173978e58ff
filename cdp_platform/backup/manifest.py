"""The manifest of a backup: what each database had at the moment of the backup, and the files that have it.

It holds counts, checksums and rights, no secret and no row. It is written last, and is there whole or not at all: a
folder without a manifest is no backup.
"""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from cdp_platform.errors import ConfigurationError

FORMAT = 1
_FILE = "manifest.json"


@dataclass(frozen=True)
class Rows:
    """The rows of one tenant in one table.

    Attributes:
        rows: their number.
        checksum: sum of the hashes of their texts.
    """

    rows: int
    checksum: str


@dataclass(frozen=True)
class Contents:
    """One database.

    Attributes:
        server: major version of its server.
        tables: rows by table and tenant; '' for rows of no tenant.
        sequences: the last value of each sequence that was used.
        security: a line for each policy, row-level security of a table, right and trigger.
        files: SHA-256 of each file of the dump, by name.
    """

    server: int
    tables: Mapping[str, Mapping[str, Rows]]
    sequences: Mapping[str, int]
    security: list[str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """One backup.

    Attributes:
        format: version of this form.
        made_at: the moment that the backup shows, UTC.
        tools: version of pg_dump.
        revision: of the warehouse's schema.
        owner: the role that owns the tables, which policies name.
        warehouse: the warehouse.
        dagster: Dagster's database; None if Dagster keeps its runs elsewhere.
    """

    format: int
    made_at: datetime
    tools: str
    revision: str
    owner: str
    warehouse: Contents
    dagster: Contents | None


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, after all files of the backup are on the disk."""
    unfinished = folder / f"{_FILE}.unfinished"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / _FILE)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        ConfigurationError: the folder is no backup, or one that was cut off, or of another version's form.
    """
    file = folder / _FILE
    if not file.is_file():
        if any((folder / name).exists() for name in ("warehouse", "dagster")):
            raise ConfigurationError(
                f"The backup in {folder} was cut off: it has no manifest, which is written last. Use another backup."
            )
        raise ConfigurationError(f"{folder} is no backup: it has no {_FILE}. `cdp backup --to` makes one.")
    try:
        manifest = TypeAdapter(Manifest).validate_json(file.read_bytes())
    except ValidationError:
        raise ConfigurationError(f"{file} cannot be read as a manifest. Use another backup.") from None
    if manifest.format != FORMAT:
        raise ConfigurationError(
            f"{file} has form {manifest.format}, and this version of the platform reads {FORMAT}. Use the version that "
            "made the backup."
        )
    return manifest


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a dump, by name."""

    def of(file: Path) -> str:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    files = sorted(each for each in folder.iterdir() if each.is_file())
    with ThreadPoolExecutor() as pool:
        return dict(zip((each.name for each in files), pool.map(of, files), strict=True))


def require_whole(folder: Path, files: Mapping[str, str]) -> None:
    """Compare the files of a dump with the manifest.

    Raises:
        ConfigurationError: one is missing or has changed since; names it.
    """
    found = checksums(folder) if folder.is_dir() else {}
    for name, checksum in files.items():
        if found.get(name) != checksum:
            state = "has changed since the backup" if name in found else "is missing"
            raise ConfigurationError(f"The backup is damaged: {folder / name} {state}. Use another backup.")
