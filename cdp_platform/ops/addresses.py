"""E-mail addresses as hashes, under a secret of the tenant.

The platform keeps addresses that it must recognize for ever, such as those of erased persons, as the hash that
``ops.address_hash`` makes in the database. What leaves the platform has another hash, so that a reader of a worksheet
cannot look up the first one. Both use the secret in ``ops.address_salt``, which never changes: without it nobody can
find an address by hashing every known one.
"""

import hashlib
import hmac

import psycopg


def salt_of(connection: psycopg.Connection, tenant_id: str) -> bytes:
    """The tenant's secret, 32 bytes, made at the first use; inside a transaction of the tenant."""
    row = connection.execute("SELECT ops.salt_of(%s)", [tenant_id]).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]


def outside_hash(salt: bytes, address: str | None) -> str:
    """The hash that leaves: HMAC-SHA256 of the trimmed, lower-case address, as hex digits; empty without an address."""
    normal = (address or "").strip().lower()
    return hmac.digest(salt, normal.encode(), hashlib.sha256).hex() if normal else ""
