"""A signed request is taken as it was sent, by who has the secret, and only soon."""

import hashlib
import hmac
import time

import pytest

from cdp_platform.ops import signatures

SECRET, BODY = "a secret that two share", b'[{"id": "1"}]'


def test_a_request_that_is_signed_now_is_taken():
    headers = signatures.headers(SECRET, BODY)
    assert signatures.is_signed(SECRET, headers["X-CDP-Timestamp"], headers["X-CDP-Signature"], BODY)


def test_the_signature_is_the_one_that_a_provider_can_make_with_any_library():
    expected = hmac.new(SECRET.encode(), b"1780000000." + BODY, hashlib.sha256).hexdigest()
    assert signatures.signature(SECRET, 1_780_000_000, BODY) == f"sha256={expected}"


@pytest.mark.parametrize(("age", "taken"), [(0, True), (290, True), (310, False), (-290, True), (-310, False)])
def test_a_request_is_fresh_for_five_minutes(age: int, *, taken: bool):
    moment = int(time.time()) - age
    assert signatures.is_signed(SECRET, str(moment), signatures.signature(SECRET, moment, BODY), BODY) is taken


def test_another_secret_body_or_moment_is_refused():
    moment = int(time.time())
    good = signatures.signature(SECRET, moment, BODY)
    assert not signatures.is_signed(SECRET, str(moment), signatures.signature("another", moment, BODY), BODY)
    assert not signatures.is_signed(SECRET, str(moment), good, BODY + b" ")
    assert not signatures.is_signed(SECRET, str(moment + 1), good, BODY)


@pytest.mark.parametrize("moment", ["", "now", "-1", "1e9", "٣", "1" * 5000, " 1780000000"])
def test_what_is_no_moment_is_refused(moment: str):
    assert not signatures.is_signed(SECRET, moment, "sha256=", BODY)


@pytest.mark.parametrize("given", ["", "sha256=", "é", "sha256=" + "0" * 64])
def test_what_is_no_signature_is_refused(given: str):
    assert not signatures.is_signed(SECRET, str(int(time.time())), given, BODY)
