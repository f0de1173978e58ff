"""Where this room keeps something of a person: the events of signups with an e-mail address of theirs.

The events stay, since they are figures of an officer; what they say of the person goes, and what worksheets show of it
is written again. These stores come before those of `customers`, which know the addresses.
"""

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from cdp_platform.referrals import masking
from cdp_platform.warehouse.erasure import Store

_ADDRESSES = """
SELECT lower(trim(address)) AS address
FROM customers.cdp_profiles AS p, LATERAL (
    SELECT p.primary_email UNION SELECT p.primary_email_raw
    UNION SELECT jsonb_array_elements_text(
        CASE WHEN jsonb_typeof(p.secondary_emails) = 'array' THEN p.secondary_emails ELSE '[]' END)
) AS of_person (address)
WHERE p.tenant_id = %(tenant)s AND p.profile_id = ANY(%(profiles)s) AND trim(address) <> ''
"""
_SIGNUPS: LiteralString = f"""
SELECT s.signup_event_id, s.click_event_id
FROM referrals.signup_event AS s
WHERE s.tenant_id = %(tenant)s AND s.email IS NOT NULL AND lower(trim(s.email)) IN ({_ADDRESSES})
"""  # noqa: S608 (both are literals)
# Events of theirs that come later, or again, find the tombstone.
_BURY: LiteralString = f"""
INSERT INTO referrals.erased_address (tenant_id, address_hash)
SELECT DISTINCT %(tenant)s, referrals.address_hash(%(salt)s, address) FROM ({_ADDRESSES}) AS known
ON CONFLICT DO NOTHING
"""  # noqa: S608


def _store(table: str, update: LiteralString, event_type: str) -> Store:
    statement = sql.SQL("WITH of_person AS ({}) ").format(sql.SQL(_SIGNUPS)) + sql.SQL(update)

    def erase(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
        person = {"tenant": tenant_id, "profiles": list(profile_ids)}
        connection.execute(_BURY, person | {"salt": masking.salt_of(connection, tenant_id)})
        erased = connection.execute(statement, person).fetchall()
        connection.execute(
            "UPDATE referrals.exported_event SET stale = true"
            " WHERE tenant_id = %s AND event_type = %s AND event_id = ANY(%s)",
            [tenant_id, event_type, [event_id for (event_id,) in erased]],
        )
        return len(erased)

    return Store(f"referrals.{table}", erase)


# Clicks first: their signups lead to them.
STORES = [
    _store(
        "click_event",
        "UPDATE referrals.click_event AS c"
        " SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()"
        " FROM of_person WHERE c.tenant_id = %(tenant)s AND c.click_event_id = of_person.click_event_id"
        " RETURNING c.click_event_id",
        "click",
    ),
    _store(
        "signup_event",
        "UPDATE referrals.signup_event AS s SET email = NULL, erased_at = now()"
        " FROM of_person WHERE s.tenant_id = %(tenant)s AND s.signup_event_id = of_person.signup_event_id"
        " RETURNING s.signup_event_id",
        "signup",
    ),
]
