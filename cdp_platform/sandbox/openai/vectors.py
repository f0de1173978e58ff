"""Vectors made from the words of a text: the same on every machine, and near each other where texts share words.

No language model: it knows nothing of what words mean.
"""

import hashlib
import re

import numpy as np

_WORD = re.compile(r"\w+")
# Positions that a word has in the vector. More of them make it less likely that two words look alike.
_POSITIONS = 8


def embed(text: str, dimensions: int) -> np.ndarray:
    """Return a vector of length 1, float32. A text without words is one word."""
    vector = np.zeros(dimensions, np.float64)
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode(), digest_size=4 * _POSITIONS).digest()
        for position in np.frombuffer(digest, "<u4").tolist():
            vector[(position >> 1) % dimensions] += 1.0 if position & 1 else -1.0
    length = np.linalg.norm(vector)
    if not length:
        # Words can take each other out, above all in few dimensions.
        vector[0] = length = 1.0
    return (vector / length).astype("<f4")


def count_tokens(text: str) -> int:
    """Return the number of tokens: one for every four bytes of UTF-8, which is near OpenAI's count of English."""
    return -(-len(text.encode()) // 4)
