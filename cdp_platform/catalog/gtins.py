"""Global trade item numbers (GTIN) of items."""

import re

from cdp_platform.catalog.jsonld import Document, as_text, many
from cdp_platform.ops.rejected import RejectedDocumentError

TERMS = ("gtin", "gtin13", "gtin12", "gtin14", "gtin8")
_LENGTHS = frozenset({8, 12, 13, 14})
# A GS1 Digital Link has the number after the application identifier 01.
_DIGITAL_LINK = re.compile(r"https?://[^?#]*/(?:01|gtin)/(\d{8,14})(?:[/?#].*)?")
_NONE: frozenset[str] = frozenset()
_NOT_VALID = frozenset({"gtin_not_valid"})


def read_gtin(item: Document) -> tuple[str | None, frozenset[str]]:
    """The digits of an item's first valid number, and a remark if it states a number that is not valid.

    A number that is not valid does not reject the item, which is known by its @id and SKU.
    """
    found, remarks = None, _NONE
    for term in TERMS:
        if term not in item:
            continue
        stated = item[term]
        for each in stated if isinstance(stated, list) else many(stated):
            try:
                written = as_text(each, term)
            except RejectedDocumentError:
                written = ""
            if written is None:
                continue
            number = _digits(written)
            if not is_gtin(number):
                remarks = _NOT_VALID
            elif found is None:
                found = number
    return found, remarks


def is_gtin(number: str) -> bool:
    """Whether these are 8, 12, 13 or 14 digits, of which the last is GS1's check digit of the others."""
    if len(number) not in _LENGTHS or not (number.isascii() and number.isdecimal()) or not int(number):
        return False
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(number)))
    return total % 10 == 0


def _digits(written: str) -> str:
    link = _DIGITAL_LINK.fullmatch(written)
    return link[1] if link else re.sub(r"(?<=\d)[ -](?=\d)", "", written)
