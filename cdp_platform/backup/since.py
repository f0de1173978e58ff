"""What happened after a backup was made, as far as anybody knows once it is restored.

- Persons who were erased since are erased again, by the journal of erasures.
- What the backup has as still to be done may have been done since. Effects become ``unknown``, so that nothing is sent
  or paid twice; the outside, or a person, settles them. Events that may have begun are paused, and paid searches have
  failed, until a person has them go on.
- No process of the old installation executes a run any more.
"""

from collections import Counter
from dataclasses import dataclass

import psycopg

from cdp_platform.campaigns import restored as campaigns
from cdp_platform.customers import persons
from cdp_platform.customers.erasure_journal import ErasureJournal
from cdp_platform.enrichment import restored as enrichment
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import effects, tenants
from cdp_platform.warehouse.connection import tenant_transaction

# Their rooms know which of their effects may have been done, and what follows.
_OF_ROOMS = {campaigns.LEDGER: campaigns.doubt, enrichment.LEDGER: enrichment.doubt}


@dataclass(frozen=True)
class Since:
    """What was taken up.

    Attributes:
        erased: number of profiles that were erased again.
        unknown: number of effects that became unknown, by ledger.
        events_paused: number of marketing events that a person has to resume.
        searches_held: number of paid searches that a person has to try again.
    """

    erased: int
    unknown: dict[str, int]
    events_paused: int
    searches_held: int


def take_up(connection: psycopg.Connection, journal: ErasureJournal | None) -> Since:
    """Take up what happened since, for all tenants.

    Args:
        connection: as the platform's role, outside any transaction.
        journal: has the erasures; None if there are none to repeat.

    Raises:
        ConfigurationError: the journal has lines that are no entries, or names a tenant that the backup does not have.
    """
    erased = _erase_again(connection, journal) if journal else 0
    unknown: Counter[str] = Counter()
    events = searches = 0
    ledgers = effects.ledgers(connection)
    for ledger in (each for each, is_of_tenants in ledgers.items() if not is_of_tenants):
        with connection.transaction():
            unknown[ledger] += effects.doubt(connection, ledger, None)
    for tenant in tenants.registered(connection):
        tenant_id = tenant.tenant_id
        for ledger in (each for each, is_of_tenants in ledgers.items() if is_of_tenants):
            if doubt := _OF_ROOMS.get(ledger):
                unknown[ledger] += doubt(connection, tenant_id)
            else:
                with tenant_transaction(connection, tenant_id):
                    unknown[ledger] += effects.doubt(connection, ledger, tenant_id)
        events += campaigns.pause(connection, tenant_id)
        searches += enrichment.hold(connection, tenant_id)
    connection.execute("DELETE FROM ops.run_lease")
    return Since(erased, dict(+unknown), events, searches)


def _erase_again(connection: psycopg.Connection, journal: ErasureJournal) -> int:
    standing, unreadable = journal.standing()
    if unreadable:
        raise ConfigurationError(
            f"{unreadable} lines of {journal.path} are no entries: correct the file, so that nobody is forgotten, and "
            "restore again into a new database."
        )
    known = {tenant.tenant_id for tenant in tenants.registered(connection)}
    number = 0
    for tenant_id, profile_ids in standing.items():
        # Of a tenant that was added after the backup nothing was restored.
        if tenant_id in known:
            receipt = persons.erase(connection, tenant_id, profile_ids)
            number += len(set(receipt.profile_ids) - set(receipt.erased_before))
    return number
