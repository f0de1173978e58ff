"""PostgreSQL's own programs, `pg_dump` and `pg_restore`: which are used, and how they run."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError

Tell = Callable[[str], None]
"""Shows a line of progress."""

# Two dumps at a time use the server's cores without taking all of them.
JOBS = 2
_TELL_SECONDS = 5.0
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
}
# The words of an error about a row, such as a value that a column does not take.
_OF_ROW = re.compile(r"(COPY failed for table \S+ ERROR:).*")
_LISTED = re.compile(r"^(?P<id>\d+); \d+ \d+ TABLE DATA (?P<schema>\S+) (?P<table>\S+) ")


@dataclass(frozen=True)
class Tools:
    """The programs of one version of PostgreSQL.

    Attributes:
        folder: where they are.
        version: such as ``18.4``.
    """

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])

    def dump(self, database: Mapping[str, Any], folder: Path, *, snapshot: str, tell: Tell) -> None:
        """Dump a database as an exported snapshot shows it into a new folder, for the owner's eyes only."""
        arguments = ["--format=directory", f"--file={folder}", f"--jobs={JOBS}", f"--snapshot={snapshot}"]
        self._run("pg_dump", [*arguments, "--compress=gzip:1", "--no-password"], database, tell)

    def restore(self, database: Mapping[str, Any], folder: Path, *, section: str, entries: Path, tell: Tell) -> None:
        """Restore one section of a dump: ``pre-data``, ``data`` or ``post-data``.

        Args:
            database: where to.
            folder: of the dump.
            section: see above.
            entries: a file with the entries to restore, as `listing` has them.
            tell: shows progress.
        """
        arguments = ["--exit-on-error", "--no-owner", f"--section={section}", f"--use-list={entries}"]
        arguments += [f"--jobs={JOBS}", f"--dbname={database['dbname']}", "--no-password", str(folder)]
        self._run("pg_restore", arguments, database, tell)

    def listing(self, folder: Path) -> list[str]:
        """The entries of a dump without its extensions, which an administrator makes."""
        done = subprocess.run(
            [self.folder / "pg_restore", "--list", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ConfigurationError(f"pg_restore cannot read the dump: {_said(done.stderr.splitlines())}.")
        return [line for line in done.stdout.splitlines() if " EXTENSION " not in line]

    def data_files(self, folder: Path) -> dict[str, Path]:
        """The file of each table's rows in a dump."""
        found = (_LISTED.match(line) for line in self.listing(folder))
        return {f"{each['schema']}.{each['table']}": folder / f"{each['id']}.dat.gz" for each in found if each}

    def _run(self, program: str, arguments: Sequence[str], database: Mapping[str, Any], tell: Tell) -> None:
        # Values that are secret are in the environment: everybody sees the arguments of a process.
        own = {variable: str(database[name]) for name, variable in _VARIABLES.items() if database.get(name)}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        process = subprocess.Popen(
            [str(self.folder / program), "--verbose", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**environment, **own, "LC_ALL": "C"},
            umask=0o077,
            start_new_session=True,
        )
        assert process.stderr is not None  # noqa: S101 (a pipe)
        try:
            errors = list(_told(process.stderr, program, tell))
            code = process.wait()
        finally:
            # With its workers.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            process.stderr.close()
        if code:
            raise ConfigurationError(f"{program} of PostgreSQL {self.version} ended with an error: {_said(errors)}.")


def find(at_least: int) -> Tools:
    """The programs in ``PGSQL_BIN``, or those in ``PATH``.

    Args:
        at_least: the major version of the server, which is the lowest that can be used.

    Raises:
        ConfigurationError: there are none, or they are too old; says what to install.
    """
    chosen = settings.postgres().bin
    advice = (
        f"Install those of PostgreSQL {at_least} or later (Debian and Ubuntu, from apt.postgresql.org: "
        f"postgresql-client-{at_least}), and let PGSQL_BIN name their folder."
    )
    folder = chosen or Path(shutil.which("pg_dump") or "").parent
    if not all((folder / name).is_file() for name in ("pg_dump", "pg_restore")):
        raise ConfigurationError(f"There is no pg_dump with pg_restore in {chosen or 'PATH'}. {advice}")
    said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", said)
    tools = Tools(folder, version[1] if version else "0")
    if tools.major < at_least:
        raise ConfigurationError(
            f"pg_dump in {folder} is of PostgreSQL {tools.version}, and the server is of {at_least}. {advice}"
        )
    return tools


def _told(lines: Iterator[str], program: str, tell: Tell) -> Iterator[str]:
    """Show a line every few seconds; yields those that are errors."""
    shown = time.monotonic()
    for line in lines:
        if "error:" in line:
            yield line
        elif line.startswith(program) and time.monotonic() - shown > _TELL_SECONDS:
            shown = time.monotonic()
            tell(line.strip())


def _said(errors: Sequence[str]) -> str:
    """The first error without values of rows, which PostgreSQL quotes."""
    line = next(iter(errors), "it did not say why").strip()
    return _OF_ROW.sub(r"\1 a row was refused", line).removesuffix(".")
