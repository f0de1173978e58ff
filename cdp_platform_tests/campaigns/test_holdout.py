"""Who is held out: by a hash that decides for ever, and for each scope by itself."""

import hashlib

import psycopg
import pytest

_PEOPLE = 20_000


def _held_out(app: psycopg.Connection, scope: str, share: float, salt: bytes = b"salt") -> set[int]:
    return {
        number
        for (number,) in app.execute(
            "SELECT n FROM generate_series(1, %s) AS n WHERE campaigns.held_out(%s, %s, 'p' || n, %s::numeric)",
            [_PEOPLE, salt, scope, share],
        )
    }


def test_the_share_is_held_out(app: psycopg.Connection) -> None:
    assert _held_out(app, "*", 0) == set()
    for share in (0.01, 0.1, 0.5):
        # Four standard errors.
        assert len(_held_out(app, "*", share)) / _PEOPLE == pytest.approx(share, abs=4 * (share / _PEOPLE) ** 0.5)


def test_the_hash_is_the_documented_one(app: psycopg.Connection) -> None:
    expected = {
        number
        for number in range(1, _PEOPLE + 1)
        if int.from_bytes(hashlib.sha256(b"salt" + f"event\np{number}".encode()).digest()[:7]) >> 4 < 0.1 * 2**52
    }
    assert _held_out(app, "event", 0.1) == expected


def test_a_person_held_out_stays_so_when_the_share_grows(app: psycopg.Connection) -> None:
    assert _held_out(app, "*", 0.05) < _held_out(app, "*", 0.1)


def test_scopes_and_tenants_are_independent_of_each_other(app: psycopg.Connection) -> None:
    one, other, foreign = _held_out(app, "*", 0.1), _held_out(app, "e1", 0.1), _held_out(app, "*", 0.1, b"of another")
    for both in (one & other, one & foreign):
        assert len(both) / _PEOPLE == pytest.approx(0.01, abs=4 * (0.01 / _PEOPLE) ** 0.5)
