"""The journal of erasures: a file outside the warehouse, so that no restored backup brings an erased person back.

One line of JSON per erasure, or per erasure that was taken back, with tenant, keys of the profiles and the moment. The
line of an erasure is on the disk before the erasure is committed, the line of one taken back is written afterwards: a
crash in between leaves a person erased rather than not.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError
from cdp_platform.journal_file import JournalFile


@dataclass(frozen=True)
class ErasureJournal:
    """The file; several processes may write to it at once."""

    path: Path

    def erased(self, tenant_id: str, profile_ids: Collection[str]) -> None:
        """Write down that these profiles of one tenant are erased; raises ConfigurationError if the disk refuses."""
        self._append(tenant_id, profile_ids, lifted=False)

    def lifted(self, tenant_id: str, profile_ids: Collection[str]) -> None:
        """Write down that the erasure of these profiles was taken back; raises like `erased`."""
        self._append(tenant_id, profile_ids, lifted=True)

    def standing(self) -> tuple[dict[str, list[str]], int]:
        """The profiles that are erased and not taken back, by tenant, and the number of lines that are no entries."""
        found: dict[str, set[str]] = {}
        unreadable = 0
        for line in JournalFile(self.path).lines():
            entry = _entry(line)
            if entry is None:
                unreadable += 1
                continue
            tenant_id, profile_ids, is_lifted = entry
            known = found.setdefault(tenant_id, set())
            if is_lifted:
                known -= profile_ids
            else:
                known |= profile_ids
        return {tenant_id: sorted(each) for tenant_id, each in found.items() if each}, unreadable

    def _append(self, tenant_id: str, profile_ids: Collection[str], *, lifted: bool) -> None:
        fields = {
            "tenant": tenant_id,
            "profile_ids": sorted(profile_ids),
            "lifted": lifted,
            "at": datetime.now(UTC).isoformat(),
        }
        try:
            JournalFile(self.path).append(json.dumps(fields).encode() + b"\n")
        except OSError as error:
            done = "The erasure was taken back, but stays in the journal" if lifted else "Nobody was erased"
            raise ConfigurationError(
                f"The journal of erasures cannot be written: {error.strerror}. {done}. Look at ERASURE_JOURNAL."
            ) from error


def configured() -> ErasureJournal | None:
    """The journal of this installation; None if it has none."""
    path = settings.platform().erasure_journal
    return ErasureJournal(path) if path else None


def _entry(line: bytes) -> tuple[str, set[str], bool] | None:
    try:
        fields = json.loads(line)
        tenant_id, profile_ids, is_lifted = fields["tenant"], fields["profile_ids"], fields["lifted"]
    except (ValueError, KeyError, TypeError):
        return None
    texts = isinstance(profile_ids, list) and all(isinstance(each, str) for each in [tenant_id, *profile_ids])
    return (tenant_id, set(profile_ids), is_lifted) if texts and isinstance(is_lifted, bool) else None
