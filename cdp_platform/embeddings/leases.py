"""Holding on to claims while their texts are with a provider, and letting go of them however the work ends."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self
from uuid import UUID

import psycopg

from cdp_platform.embeddings import jobs
from cdp_platform.embeddings.jobs import Claim
from cdp_platform.errors import PlatformError
from cdp_platform.warehouse.connection import tenant_transaction

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]
"""Opens a connection as the platform's role."""

# Leaves room for some that fail within a lease.
_HEARTBEAT_SECONDS = jobs.LEASE.total_seconds() / 4


class Leases:
    """Extends the leases of held claims in a thread of its own, and puts back what is still held at the end."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._claims: dict[UUID, Claim] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._claims:
            # What cannot be put back now, the end of its lease does.
            self._for_each(Claim.put_back)

    def hold(self, claim: Claim) -> None:
        """Extend the claim's lease from now on."""
        self._claims[claim.claim_id] = claim

    def let_go(self, claim: Claim) -> None:
        """The claim is settled."""
        self._claims.pop(claim.claim_id, None)

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT_SECONDS):
            if self._claims:
                self._for_each(Claim.extend)

    def _for_each(self, what: Callable[[Claim, psycopg.Connection], None]) -> None:
        # A connection that is open for a moment only: the ones of the run may be busy, or lost.
        with suppress(psycopg.Error, PlatformError), self._connect() as connection:
            for claim in list(self._claims.values()):
                with tenant_transaction(connection, claim.tenant_id):
                    what(claim, connection)
