"""Contacts as they are shown before they are paid for: enough to see that a list is right, too little to use it.

What would say who somebody is, or where they work, is cut to its first letters. The dots are always three, so that they
do not tell how long the rest is.
"""

from collections.abc import Mapping

_REST = "•••"
# With fewer digits than this, five of them would be most of the number.
_FEWEST_DIGITS = 8
_FIRST, _LAST = 3, 2


def email(address: str) -> str:
    """``j•••@s•••.com`` of jane@shop.com."""
    local, _, domain = address.rpartition("@")
    name, _, top = domain.rpartition(".")
    return f"{local[:1]}{_REST}@{name[:1]}{_REST}.{top}"


def phone(number: str) -> str:
    """The first three and last two digits: ``849•••67`` of +84 90 123 45 67."""
    digits = "".join(filter(str.isdecimal, number))
    return _REST if len(digits) < _FEWEST_DIGITS else f"{digits[:_FIRST]}{_REST}{digits[-_LAST:]}"


def name(fields: Mapping[str, str]) -> str:
    """The initials of a name, at most two: ``J. D.`` of Jane van Doe; empty without a name."""
    parts = [fields[field] for field in ("first_name", "last_name") if field in fields]
    words = parts or fields.get("name", "").split()
    return " ".join(f"{word[0].upper()}." for word in (words if len(words) < 2 else (words[0], words[-1])))


def company(text: str) -> str:
    """The first letter of a company's name: ``A•••``."""
    return f"{text[:1]}{_REST}"
