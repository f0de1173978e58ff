"""Vectors made from the words of a text: the same on every machine, and near each other where texts share words.

No language model: it knows nothing of what words mean.
"""

import hashlib
import re

import numpy as np

_WORD = re.compile(r"\w+")


def embed(text: str, dimensions: int) -> np.ndarray:
    """Return a vector of length 1, float32. A text without words is one word.

    As with OpenAI's models, a shorter vector is the beginning of a longer one, scaled to length 1 again.
    """
    words = [word.encode() for word in _WORD.findall(text.lower()) or [text]]
    # Every word has a direction of its own: the bytes of an extendable hash, less their mean.
    directions = [np.frombuffer(hashlib.shake_128(word).digest(dimensions), np.uint8) for word in words]
    vector = np.sum(directions, axis=0) - 127.5 * len(words)
    return (vector / np.linalg.norm(vector)).astype("<f4")


def count_tokens(text: str) -> int:
    """Return the number of tokens: one for every four bytes of UTF-8, which is near OpenAI's count of English."""
    return -(-len(text.encode()) // 4)
