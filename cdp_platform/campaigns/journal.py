"""The journal of opt-outs: a file outside the warehouse, so that no restored backup brings back who had opted out.

One line of JSON per opt-out, with tenant, channel, the hash of the address and the moment: nothing of a person. A line
is on the disk before the opt-out is answered. `opt_outs.replay` takes those that the warehouse does not have.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from cdp_platform import settings
from cdp_platform.journal_file import JournalFile
from cdp_platform.moments import moment

Reason: TypeAlias = Literal["opt_out", "complaint"]


@dataclass(frozen=True)
class Entry:
    """One opt-out.

    Attributes:
        address_hash: ``ops.address_hash`` of the address.
        reason: of the suppression.
        at: when the person said so.
    """

    tenant_id: str
    channel: str
    address_hash: bytes
    reason: Reason
    at: datetime


@dataclass(frozen=True)
class Journal:
    """The file; several processes may write to it at once."""

    path: Path

    def append(self, entries: Iterable[Entry]) -> None:
        """Write lines, and return when they are on the disk.

        Raises:
            OSError: they are not.
        """
        JournalFile(self.path).append(b"".join(_line(entry) for entry in entries))

    def read(self) -> tuple[list[Entry], int]:
        """All entries, and the number of lines that are none."""
        read = [_entry(line) for line in JournalFile(self.path).lines()]
        return [entry for entry in read if entry is not None], read.count(None)


def configured() -> Journal | None:
    """The journal of this installation; None if it has none."""
    path = settings.web().opt_out_journal
    return Journal(path) if path else None


def _line(entry: Entry) -> bytes:
    fields = {
        "tenant": entry.tenant_id,
        "channel": entry.channel,
        "address_hash": entry.address_hash.hex(),
        "reason": entry.reason,
        "at": entry.at.isoformat(),
    }
    return json.dumps(fields).encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    try:
        fields = json.loads(line)
        address_hash, at = bytes.fromhex(fields["address_hash"]), moment(fields["at"])
        tenant_id, channel, reason = fields["tenant"], fields["channel"], fields["reason"]
    except (ValueError, KeyError, TypeError):
        return None
    if at is None or reason not in get_args(Reason) or not (isinstance(tenant_id, str) and isinstance(channel, str)):
        return None
    return Entry(tenant_id, channel, address_hash, reason, at)
