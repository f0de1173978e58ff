"""ingestion.yaml: the ingestors, with their registries, feeds, schedules and limits.

The file has the list ``ingestion``, as the file of the Commerce Mesh discovery node does (`discovery_node_form`). It is
read as every file of `configuration_file`, and names the variable that holds a password, not the password.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from croniter import croniter
from croniter.croniter import CroniterError
from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cdp_platform import configuration_file, settings
from cdp_platform.catalog.allowed import Allowed, allowed
from cdp_platform.catalog.discovery_node_form import completed
from cdp_platform.configuration_file import VARIABLE, ConfigurationFile, Entries, wrong

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
# The same pattern as in `ops.tenant`.
_TENANT = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_PRESETS = {"@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight"}
_CRON_FIELDS = 5
_SCHEMES = {"http": {"http", "https"}, "cmp": {"http", "https"}, "ftp": {"ftp", "ftps"}}
_PLAIN = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

# Words for problems that pydantic's own do not fit, by type and field.
_HINTS = {
    ("extra_forbidden", "allow_private_addresses"): (
        "was replaced, as it opened too much. Name what may be connected to, such as "
        "allow_addresses: [10.0.0.0/8, feeds.internal], or take it out"
    ),
    ("missing", "tenant"): "is missing. Say whose products they are, or set DEFAULT_TENANT_ID",
}


def _cron(schedule: str) -> str:
    """Check that it is five fields or a preset, as Dagster accepts them, and is due at some time."""
    fits = schedule in _PRESETS or len(schedule.split()) == _CRON_FIELDS
    try:
        if fits:
            croniter(schedule).get_next(float)
    except (CroniterError, ValueError):
        fits = False
    if not fits:
        # The message does not repeat the schedule, which may be from the environment.
        raise PydanticCustomError("cron", "is no cron schedule. Give five fields, such as '0 */4 * * *'")
    return schedule


def _allowed(entries: tuple[str, ...]) -> tuple[str, ...]:
    try:
        allowed(entries)
    except ValueError as error:
        raise PydanticCustomError("allowed", "{problem}", {"problem": str(error)}) from None
    return entries


class FeedLimits(BaseModel):
    """Limits of one round.

    Attributes:
        max_shard_bytes: of each document, decoded; ``5242880`` or ``5 MiB``.
        max_shards: of one feed.
        max_items: of one feed.
        max_share_gone: share of the live items that may vanish at once without an approval, 0 to 1.
        timeout_seconds: for each document, with all retries.
    """

    model_config = _PLAIN

    max_shard_bytes: ByteSize = Field(default=ByteSize(5 * 1024 * 1024), ge=1024)
    max_shards: int = Field(default=1000, ge=1)
    max_items: int = Field(default=1_000_000, ge=1)
    max_share_gone: float = Field(default=0.2, ge=0, le=1)
    timeout_seconds: float = Field(default=120, gt=0, le=3600)


class Filter(BaseModel):
    """The organizations of the registry that are taken; all of them if it is empty."""

    model_config = _PLAIN

    organization: tuple[Annotated[str, Field(pattern=r"^urn:cmp:org(id)?:\S+$")], ...] = ()


class Ingestor(BaseModel):
    """One registry, its feeds, and the tenant that they belong to.

    Attributes:
        name: unique in the file; names the partition, the schedule and the reports.
        source: kind of source; ``cmp`` means ``http``.
        root: folder, or address of one, that relative paths start from. A relative folder starts from the file's own.
        registry: path or address of the registry.
        feed: path or address of the feed's index, instead of the one that the registry names.
        schedule: cron, in UTC; None if only changes and people start a round.
        allow_addresses: hosts and networks outside the public internet that may be connected to.
        user: FTP user.
        password_variable: variable of the environment with the FTP user's password.
    """

    model_config = _PLAIN

    name: str = Field(pattern=_NAME)
    tenant: str = Field(pattern=_TENANT)
    source: Literal["local", "http", "cmp", "ftp"] = Field(alias="source_type")
    root: str = ""
    registry: str = Field(min_length=1)
    feed: str | None = Field(default=None, alias="feed_path", min_length=1)
    filter: Filter = Filter()
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    limits: FeedLimits = FeedLimits()
    allow_addresses: Annotated[tuple[str, ...], AfterValidator(_allowed)] = ()
    user: str = Field(default="anonymous", pattern=r"^[^\r\n\x00]+$")
    password_variable: str | None = Field(default=None, pattern=f"^{VARIABLE}$")

    @property
    def allowed(self) -> Allowed:
        """Private hosts and networks that may be connected to."""
        return allowed(self.allow_addresses)

    @property
    def rejected_source(self) -> str:
        """The source of its rows in ``ops.rejected_record``."""
        return f"catalog:{self.name}"

    @property
    def organizations(self) -> tuple[str, ...]:
        """URNs of the organizations that are taken; empty for all."""
        return self.filter.organization

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        schemes = _SCHEMES.get(self.source, set())
        for field, value in (("root", self.root), ("registry", self.registry), ("feed_path", self.feed or "")):
            address = _split(field, value)
            if "@" in address.netloc:
                raise wrong(field, "holds a user or a password. Give user and password_variable instead")
            if address.netloc and address.scheme not in schemes:
                fitting = " or ".join(f"{scheme}://" for scheme in sorted(schemes)) or "a path"
                raise wrong(field, f"does not fit source_type {self.source}. Give {fitting}")
        if self.source == "local" and not self.root:
            raise wrong("root", "is missing. Give the folder that holds registry and feed")
        if self.source == "ftp" and not _split("root", self.root).netloc:
            raise wrong("root", "is missing. Give an address such as ftps://ftp.example.com/feeds")
        if self.source in {"http", "cmp"} and not self.root:
            for field, value in (("registry", self.registry), ("feed_path", self.feed)):
                if value and not _split(field, value).netloc:
                    raise wrong(field, "is no whole address, and there is no root that it could start from")
        if self.root and self.source != "local" and not _split("root", self.root).netloc:
            raise wrong("root", "is no address. Give one with its scheme, such as https://")
        return self


class _Document(BaseModel):
    model_config = _PLAIN

    ingestion: tuple[Ingestor, ...]


def configured() -> list[Ingestor]:
    """The ingestors of the file that INGESTION_CONFIG_PATH names; none if it is not set.

    Raises:
        ConfigurationError: as `load`.
    """
    path = settings.catalog().ingestion_config_path
    return load(path) if path is not None else []


def load(path: Path) -> list[Ingestor]:
    """The ingestors of a file, in its order.

    Raises:
        ConfigurationError: the file is missing or wrong; names file, line, ingestor and field, and no value of the
            environment.
    """
    file = configuration_file.read(
        path,
        setting="INGESTION_CONFIG_PATH",
        needs="It needs a list `ingestion` (ingestion.yaml has an example).",
    )
    file = replace(file, content=completed(file.content, settings.environment()))
    ingestors = file.checked(_Document, entries={"ingestion": Entries("ingestor")}, hints=_HINTS).ingestion
    _require_unique(ingestors, file)
    return [_from_folder(one, path.parent) for one in ingestors]


def variable(name: str) -> str | None:
    """A variable of the environment or of ``.env``; None if it is missing or empty."""
    return settings.environment().get(name)


def _require_unique(ingestors: tuple[Ingestor, ...], file: ConfigurationFile) -> None:
    first: dict[str, int] = {}
    for number, ingestor in enumerate(ingestors):
        # Names of Dagster schedules contain it, reduced to letters, digits and underscores.
        key = re.sub(r"[^a-z0-9]", "_", ingestor.name.lower())
        if key in first:
            raise file.error(
                ("ingestion", number),
                f"ingestor {ingestor.name!r} has the same name as the one on line {first[key]}. Rename one",
            )
        first[key] = file.lines["ingestion", number]


def _from_folder(ingestor: Ingestor, folder: Path) -> Ingestor:
    if ingestor.source != "local":
        return ingestor
    return ingestor.model_copy(update={"root": str(folder.absolute() / ingestor.root)})


def _split(field: str, value: str) -> Any:
    try:
        address = urlsplit(value)
        # urlsplit checks the port only when it is read.
        _ = address.port
    except ValueError:
        raise wrong(field, "is no address. Correct it") from None
    return address
