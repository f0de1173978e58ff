"""Order of strings: what ArangoDB asks of ICU (root collation, upper case first, identical strength).

Belongs here: the sort key of a string, and the refusal to order characters whose place is not known here. Covered are
ASCII, Latin letters with diacritics (all of Vietnamese), the signs below, and the basic block of Han. Whether two
strings are *equal* never needs any of this.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from cdp_sandbox.arango.errors import ArangoError, not_implemented

# Everything with a primary weight of its own, lightest first. Fewer than 128, so that keys of ASCII stay ASCII.
_SYMBOLS = "\t\n\x0b\x0c\r _-–—,;:!¡?¿.'\"«»()[]{}§¶@*/\\&#%•`^°©®+±÷×<=>|~¢$£¥₫€"  # noqa: RUF001
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WEIGHTS = {char: chr(weight) for weight, char in enumerate(_SYMBOLS + "0123456789" + _LETTERS, start=1)}
_WEIGHTS |= {letter.upper(): _WEIGHTS[letter] for letter in _LETTERS}
# Combining marks, lightest first: the second level.
_MARKS = (
    "\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307"
    "\u0338\u0327\u0328\u0304\u0335\u0309\u031b\u0323\u0324\u0325\u0326\u032d\u032e\u0330\u0331"
)
_MARK_WEIGHTS = {mark: chr(weight) for weight, mark in enumerate(_MARKS, start=2)}
# Letters that Unicode does not decompose, but the collation does.
_STROKED = {"ø": "o\u0338", "Ø": "O\u0338", "đ": "d\u0335", "Đ": "D\u0335", "ł": "l\u0335", "Ł": "L\u0335"}
_STROKED |= {"ħ": "h\u0335", "Ħ": "H\u0335"}
_FIRST_HAN, _LAST_HAN = "\u4e00", "\u9fa5"
_IGNORED = dict.fromkeys([*range(1, 9), *range(0xE, 0x20), 0x7F])

_PRIMARY = {ord(char): weight for char, weight in _WEIGHTS.items()} | _IGNORED
_TERTIARY = {ord(char): "\x01" if char.isupper() else "\x02" for char in _WEIGHTS} | _IGNORED


def collation_key(text: str) -> str:
    """Returns a string that compares, code point by code point, as the server compares ``text``.

    Raises:
        ArangoError: ``text`` has a character whose order is not known here.
    """
    # Levels are joined by NUL, which is lighter than every weight; a string that has one itself cannot be told apart.
    if text.isascii() and "\0" not in text:
        return f"{text.translate(_PRIMARY)}\0\0{text.translate(_TERTIARY)}\0{text}"
    return _general_key(text)


@lru_cache(maxsize=65_536)
def _general_key(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    if text not in (decomposed, unicodedata.normalize("NFC", text)):
        raise _unknown_order(text, "in a string that is in no normal form")
    primary, secondary, tertiary = [], [], []
    for char in "".join(_STROKED.get(char, char) for char in decomposed):
        if char in _MARK_WEIGHTS:
            secondary.append(_MARK_WEIGHTS[char])
            continue
        if char in _WEIGHTS:
            primary.append(_WEIGHTS[char])
        elif _FIRST_HAN <= char <= _LAST_HAN:
            primary.append(char)
        elif ord(char) in _IGNORED:
            continue
        else:
            raise _unknown_order(char)
        secondary.append("\x01")
        tertiary.append("\x01" if char.isupper() else "\x02")
    return f"{''.join(primary)}\0{''.join(secondary).rstrip(chr(1))}\0{''.join(tertiary)}\0{decomposed}"


def _unknown_order(text: str, why: str = "") -> ArangoError:
    points = " ".join(f"U+{ord(char):04X}" for char in text[:8])
    return not_implemented(f"the order of {points} {why}".rstrip())
