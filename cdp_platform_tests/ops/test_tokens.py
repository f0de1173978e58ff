"""Tokens say what was signed, for as long as one of the keys is there, and nothing else."""

import pytest

from cdp_platform.ops.tokens import Tokens

OLD, NEW, OTHERS = "old" * 12, "new" * 12, "others" * 6
PAYLOAD = ["acme", "email", "key", "aGFzaA"]


def test_a_token_says_what_was_signed():
    tokens = Tokens([NEW])
    assert tokens.read("opt-out", tokens.sign("opt-out", PAYLOAD)) == PAYLOAD


def test_a_token_can_stand_in_an_address_as_it_is():
    token = Tokens([NEW]).sign("opt-out", ["acme", "email", "ä/+?&=#", "x" * 44])
    assert all(character.isascii() and (character.isalnum() or character in "-_.") for character in token)


def test_the_first_key_signs_and_all_keys_verify():
    before = Tokens([OLD]).sign("opt-out", PAYLOAD)
    rotated = Tokens([NEW, OLD])
    assert rotated.read("opt-out", before) == PAYLOAD
    after = rotated.sign("opt-out", PAYLOAD)
    assert Tokens([NEW]).read("opt-out", after) == PAYLOAD
    assert Tokens([OLD]).read("opt-out", after) is None
    assert Tokens([NEW]).read("opt-out", before) is None


def test_a_token_of_one_kind_is_none_of_another():
    tokens = Tokens([NEW])
    assert tokens.read("confirm", tokens.sign("opt-out", PAYLOAD)) is None


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "W10.", "\0", "é.é", "x" * 100_000, Tokens([OTHERS]).sign("opt-out", PAYLOAD)]
)
def test_what_nobody_signed_says_nothing(token: str):
    assert Tokens([NEW]).read("opt-out", token) is None


def test_no_changed_character_is_overlooked():
    tokens = Tokens([NEW])
    token = tokens.sign("opt-out", PAYLOAD)
    changed = [f"{token[:at]}{'A' if token[at] != 'A' else 'B'}{token[at + 1 :]}" for at in range(len(token))]
    # The last character of the signature carries four bits alone, so another one may stand for the same bytes.
    read = [tokens.read("opt-out", each) for each in changed[:-1]]
    assert read == [None] * len(read)
