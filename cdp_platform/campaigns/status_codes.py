"""Enhanced status codes of mail systems (RFC 3463): what a refusal is about.

A code is ``5.1.1``, alone or somewhere in an answer such as ``550 5.1.1 no such user``. Both the answers of an SMTP
server and later bounces are judged by it.
"""

import re

# Class 2, 4 or 5; not a part of a longer number with dots, such as an IP address.
_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")

# The mailbox, its domain or its syntax is wrong, it has moved, takes no mail (RFC 7505), or is switched off.
BAD_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
# The sender's address is wrong, or his system.
_OUR_ADDRESS = frozenset({"5.1.7", "5.1.8"})

# A server says no more than that it refuses, or the mailbox is full.
_VAGUE = frozenset({"5.0.0", "5.1.0", "5.2.0", "5.2.2"})


def found(answer: str) -> str:
    """The first enhanced code in an answer; '' without one."""
    match = _CODE.search(answer)
    return match[1] if match else ""


def is_bad_address(answer: str) -> bool:
    """Whether the address does not work and never will: nothing more is sent to it."""
    return found(answer) in BAD_ADDRESS


def is_about_us(answer: str) -> bool:
    """Whether the sender was refused, by his address, or by policy and security (5.7.x), and not the address."""
    code = found(answer)
    return code in _OUR_ADDRESS or code.startswith("5.7.")


def is_soft(answer: str) -> bool:
    """Whether it may work later: class 4, and where the code does not say that the address is bad, or there is none."""
    code = found(answer)
    return not code or code.startswith("4.") or code in _VAGUE
