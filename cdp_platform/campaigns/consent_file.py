"""Files of consents: what people said elsewhere, such as on paper or to the system that this one replaces.

A file is CSV with a header, as of `cdp_platform.csv_file`. Each row names a person by ``profile_id``, ``email`` or
``phone`` (the first that is filled), and has ``channel``, ``state`` and ``happened_at``; ``legal_basis``, ``source``
and ``evidence`` may be there. An address stands for every profile that has it. A refusal of an address that nobody has
suppresses the address, so that it holds when somebody comes with it. A row that cannot be taken is reported with its
line; the others are taken. Taking a file again changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import get_args

import psycopg

from cdp_platform import csv_file, moments
from cdp_platform.campaigns import suppressions
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.consent import Change, State, set_states
from cdp_platform.customers import contacts
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import erasure
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_AT_ONCE = 5_000
_NEEDED = ("channel", "state", "happened_at")
_PERSON = ("profile_id", "email", "phone")
_OPTIONAL = ("legal_basis", "source", "evidence")
_REFUSALS: frozenset[State] = frozenset({"refused", "withdrawn"})


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not taken.

    Attributes:
        line: where it begins in the file; the header is line 1.
        reason: why, without data of the person.
    """

    line: int
    reason: str


@dataclass
class ImportResult:
    """The result of a file.

    Attributes:
        rows: rows of the file.
        taken: consents that are new or changed.
        older: consents that were not taken, because the same or something later is known.
        suppressed: addresses without a profile that are suppressed now.
        refused: rows that cannot be taken.
    """

    rows: int = 0
    taken: int = 0
    older: int = 0
    suppressed: int = 0
    refused: list[RefusedRow] = field(default_factory=list)


class _RefusedRowError(ValueError):
    """This row cannot be taken; the message is the reason."""


@dataclass(frozen=True)
class _Row:
    line: int
    kind: str
    person: str
    channel: Channel
    state: State
    happened_at: datetime
    legal_basis: str | None
    source: str
    evidence: str | None


def import_file(
    connection: psycopg.Connection, tenant: Tenant, path: Path, channels: Mapping[str, Channel]
) -> ImportResult:
    """Take the consents of a file, some thousand rows a transaction.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose people.
        path: of the file.
        channels: by name and alias.

    Raises:
        ConfigurationError: the file cannot be read as such a table; rows before that place were taken.
    """
    result = ImportResult()
    rows = _rows(path, tenant, channels, result)
    while batch := list(islice(rows, _AT_ONCE)):
        with tenant_transaction(connection, tenant.tenant_id):
            erasure.while_nobody_is_erased(connection, tenant.tenant_id)
            _take(connection, tenant.tenant_id, batch, result)
    result.refused.sort(key=lambda row: row.line)
    return result


def _take(connection: psycopg.Connection, tenant_id: str, batch: list[_Row], result: ImportResult) -> None:
    persons = sorted({(row.kind, row.person) for row in batch})
    found: dict[tuple[str, str], list[str]] = {}
    values = {"tenant": tenant_id, "kinds": [kind for kind, _ in persons], "persons": [text for _, text in persons]}
    for kind, person, profile_id in connection.execute(statement("campaigns", "people_of_file"), values):
        found.setdefault((kind, person), []).append(profile_id)
    changes = []
    without_profile = []
    for row in batch:
        profile_ids = found.get((row.kind, row.person), ())
        changes += [
            Change(profile_id, row.channel.name, row.state, row.source, row.happened_at, row.legal_basis, row.evidence)
            for profile_id in profile_ids
        ]
        if not profile_ids and row.state in _REFUSALS and row.kind == row.channel.to:
            without_profile.append(row)
        elif not profile_ids:
            what = "profile" if row.kind == "profile_id" else f"profile with this {row.kind}"
            result.refused.append(RefusedRow(row.line, f"there is no {what}"))
    # Before the consents: one that is given later lifts what was refused before.
    hashes = suppressions.hashes_of(connection, tenant_id, [row.person for row in without_profile])
    for channel in {row.channel.name for row in without_profile}:
        of_channel = [
            (address_hash, row.happened_at)
            for address_hash, row in zip(hashes, without_profile, strict=True)
            if row.channel.name == channel
        ]
        result.suppressed += suppressions.add(
            connection,
            tenant_id,
            channel,
            [address_hash for address_hash, _ in of_channel],
            "opt_out",
            detail="file",
            since=[at for _, at in of_channel],
        )
    written = set_states(connection, tenant_id, changes)
    result.taken += written.taken
    result.older += written.older


def _rows(path: Path, tenant: Tenant, channels: Mapping[str, Channel], result: ImportResult) -> Iterator[_Row]:
    """The rows that can be read; the others are noted as refused."""
    region = suppressions.phone_region(tenant)
    now = datetime.now(UTC)
    for row in csv_file.rows(path, lambda columns: _require_columns(path, columns)):
        result.rows += 1
        try:
            yield _row(row, region, channels, now)
        except _RefusedRowError as error:
            result.refused.append(RefusedRow(row.line, str(error)))


def _require_columns(path: Path, columns: Iterable[str]) -> None:
    there = set(columns)
    missing = [name for name in _NEEDED if name not in there]
    if not there & set(_PERSON):
        missing.append(" or ".join(_PERSON))
    if missing:
        raise ConfigurationError(f"{path} lacks the columns {', '.join(missing)}: its first line has to name them.")
    if unknown := sorted(there - {*_NEEDED, *_PERSON, *_OPTIONAL}):
        raise ConfigurationError(f"{path} has columns that mean nothing here: {', '.join(unknown)}. Take them out.")


def _row(row: csv_file.Row, region: str, channels: Mapping[str, Channel], now: datetime) -> _Row:
    if row.fields is None:
        raise _RefusedRowError("it has not as many fields as the header, or its quotation marks do not fit")
    texts = {name: text.strip() for name, text in row.fields.items()}
    if any("\x00" in text for text in texts.values()):
        raise _RefusedRowError("a field has a NUL character")
    kind, person = _person(texts, region)
    channel = channels.get(texts["channel"])
    if channel is None:
        raise _RefusedRowError(f"channel is none of {', '.join(channels) or 'channels.yaml, which has none'}")
    state = next((state for state in get_args(State) if state == texts["state"].lower()), None)
    if state is None:
        raise _RefusedRowError(f"state is none of {', '.join(get_args(State))}")
    happened_at = moments.moment(texts["happened_at"])
    if happened_at is None:
        raise _RefusedRowError("happened_at is no moment like 2026-06-01T09:30:00+07:00 (UTC without offset)")
    if happened_at > now:
        raise _RefusedRowError("happened_at lies in the future")
    legal_basis, source, evidence = (texts.get(name) or None for name in _OPTIONAL)
    return _Row(row.line, kind, person, channel, state, happened_at, legal_basis, source or "file", evidence)


def _person(texts: Mapping[str, str], region: str) -> tuple[str, str]:
    """By what the row names a person: ``profile_id``, ``email`` or ``phone``, and its normal form."""
    kind = next((name for name in _PERSON if texts.get(name)), None)
    if kind is None:
        raise _RefusedRowError(f"it names nobody: fill {', '.join(_PERSON)} or one of them")
    person: str | None = texts[kind]
    if kind == "email":
        person = contacts.email(person)
    elif kind == "phone":
        person = contacts.phone(person, region)
    if person is None:
        raise _RefusedRowError(f"{kind} is not valid")
    return kind, person
