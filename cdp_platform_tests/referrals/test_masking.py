"""Addresses leave in a form that tells people apart and does not identify them."""

import hashlib
import hmac

import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform.referrals.masking import Mask, mask
from cdp_platform.warehouse.connection import tenant_transaction

SALT = bytes(range(32))


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("203.0.113.7", "203.0.x.x"),
        (" 203.0.113.7 ", "203.0.x.x"),
        ("0.0.0.0", "0.0.x.x"),  # noqa: S104 (an address like any other)
        ("2001:db8:85a3::8a2e:370:7334", "2001:db8:x"),
        ("::1", "0:0:x"),
        ("fe80::1%eth0", "fe80:0:x"),
        ("::ffff:203.0.113.7", "203.0.x.x"),
        ("", ""),
        (None, ""),
        ("203.0.113", ""),
        ("203.0.113.7, 10.0.0.1", ""),
        ("203.0.113.7:4711", ""),
        ("localhost", ""),
        ("=1+1", ""),
    ],
)
def test_an_ip_address_leaves_as_its_network(address: str | None, masked: str):
    assert Mask(SALT, whole_ip=False).ip(address) == masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [("203.0.113.7", "203.0.113.7"), (" 2001:db8::1 ", "2001:db8::1"), ("localhost", ""), (None, "")],
)
def test_a_tenant_that_shares_addresses_shows_them_whole(address: str | None, shown: str):
    assert Mask(SALT, whole_ip=True).ip(address) == shown


def test_an_email_address_leaves_as_a_salted_hash_that_ignores_case_and_blanks():
    hashed = Mask(SALT, whole_ip=False).email(" Lan.Nguyen@Example.COM\n")
    assert hashed == hmac.new(SALT, b"lan.nguyen@example.com", hashlib.sha256).hexdigest()
    assert hashed == Mask(SALT, whole_ip=True).email("lan.nguyen@example.com")
    assert hashed != Mask(SALT[::-1], whole_ip=False).email("lan.nguyen@example.com")


@pytest.mark.parametrize("address", [None, "", "  "])
def test_no_email_address_is_no_hash(address: str | None):
    assert Mask(SALT, whole_ip=False).email(address) == ""


def test_each_tenant_has_a_salt_of_its_own_that_never_changes(app: psycopg.Connection):
    salts = []
    for tenant_id in ("acme", "harbour", "acme"):
        tenants.add(app, tenant_id, arango_database=tenant_id)
        with tenant_transaction(app, tenant_id):
            salts.append(mask(app, tenant_id, whole_ip=False).salt)
    assert salts[0] == salts[2] != salts[1]
    assert {len(salt) for salt in salts} == {32}
