"""Addresses are known by hashes under a secret of the tenant that never changes."""

import hashlib

import psycopg

from cdp_platform.ops import addresses
from cdp_platform.warehouse import migrate
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Server, postgres_settings

SALT = bytes(range(32))


def test_hashes_of_a_running_installation_stay_the_same(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate.migrate(settings, revision="0016")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        superuser.execute("INSERT INTO referrals.address_salt VALUES ('acme', %s)", [SALT])
        superuser.execute(
            "INSERT INTO referrals.erased_address (tenant_id, address_hash)"
            " VALUES ('acme', referrals.address_hash(%s, 'nam@example.com'))",
            [SALT],
        )
    migrate.migrate(settings)
    with connect(settings) as connection, tenant_transaction(connection, "acme"):
        assert addresses.salt_of(connection, "acme") == SALT
        # Who was erased is recognized by the hash from before.
        connection.execute("INSERT INTO referrals.officer VALUES ('acme', 'o', 'o')")
        connection.execute(
            "INSERT INTO referrals.campaign (tenant_id, campaign_id, name, starts_at) VALUES ('acme', 'c', 'c', now())"
        )
        connection.execute("INSERT INTO referrals.referral_link VALUES ('acme', 'l', 'o', 'c', '', 'l')")
        for event_id, address in (("one", " NAM@example.com"), ("other", "mai@example.com")):
            connection.execute(
                "INSERT INTO referrals.signup_event (tenant_id, signup_event_id, referral_link_id, occurred_at, email)"
                " VALUES ('acme', %s, 'l', now(), %s)",
                [event_id, address],
            )
        found = connection.execute("SELECT email FROM referrals.signup_event ORDER BY signup_event_id").fetchall()
    assert found == [(None,), ("mai@example.com",)]


def test_the_hash_that_leaves_is_another_than_the_one_that_is_kept(app: psycopg.Connection):
    (kept,) = app.execute("SELECT ops.address_hash(%s, ' Nam@Example.com ')", [SALT]).fetchone() or (b"",)
    assert kept == hashlib.sha256(SALT + b"nam@example.com").digest()
    assert addresses.outside_hash(SALT, " Nam@Example.com ") == addresses.outside_hash(SALT, "nam@example.com")
    assert addresses.outside_hash(SALT, "nam@example.com") != kept.hex()
