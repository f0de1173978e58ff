"""The hybrid logical clock that stamps every write, and the text form (`_rev`) of its readings.

Here belongs the clock and nothing that uses it. A reading is 64 bits: milliseconds since 1970, shifted left by 20, plus
a counter. Readings of one clock are strictly ascending, even when the wall clock stands still or goes back. Their text
form is not in order: it is an opaque name of a revision, good for equality only.
"""

from __future__ import annotations

import time

_ALPHABET = "-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_COUNTER_BITS = 20
# Two digits at a time: a bulk insert encodes ten thousand readings.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


class HybridClock:
    """A clock whose readings never repeat and never go back.

    Attributes:
        last: The latest reading. A new clock must start at or above the last reading of the one before it.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self) -> int:
        """Return a reading above every earlier one."""
        self.last = max(time.time_ns() // 1_000_000 << _COUNTER_BITS, self.last + 1)
        return self.last


def encode_revision(reading: int) -> str:
    """Return the text form of a reading: base 64, most significant digit first, leading zeros dropped."""
    pairs = _PAIRS
    return (
        pairs[reading >> 60]
        + pairs[reading >> 48 & 4095]
        + pairs[reading >> 36 & 4095]
        + pairs[reading >> 24 & 4095]
        + pairs[reading >> 12 & 4095]
        + pairs[reading & 4095]
    ).lstrip("-")


def decode_revision(revision: str) -> int:
    """Return the reading that a revision was made from.

    Raises:
        ValueError: The text has a character that no revision has.
    """
    reading = 0
    for character in revision:
        reading = reading << 6 | _ALPHABET.index(character)
    return reading
