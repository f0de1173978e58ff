"""The brand of an item. A feed may only have items of the brands that the registry gives its organization."""

import unicodedata
from collections.abc import Mapping
from hashlib import blake2b

import orjson

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.jsonld import Document, label, many
from cdp_platform.ops.rejected import RejectedDocumentError

# Increase it when the same item is to become another row; the next round then reads every item again.
VERSION = 2

_MOST_REMEMBERED = 10_000


class Brands:
    """The brands that the registry gives the organization of a feed.

    Attributes:
        rules: hash of these brands and of the version of the mapping; with other rules, items become other rows.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        """From names by URN."""
        self._names = dict(names)
        self._urns = {_folded(name): urn for urn, name in sorted(names.items(), reverse=True)}
        # A feed repeats the same few brands.
        self._found: dict[str, str] = {}
        self.rules = blake2b(orjson.dumps([VERSION, sorted(self._names.items())])).digest()

    def of(self, item: Document, path: str) -> tuple[str, str] | None:
        """URN and name of an item's brand, which the item gives by URN or by the name in the registry.

        None if it names no brand; it may then have its group's.

        Raises:
            RejectedDocumentError: it names several brands, or one that is not the organization's.
        """
        where = f"{path}.brand"
        named = [each for each in many(item.get("brand")) if each]
        if len(named) > 1:
            raise RejectedDocumentError("several_brands", where, "it has several brands")
        stated = named[0] if named else None
        if isinstance(stated, str):
            stated = {"@id": stated} if jsonld.as_urn(stated) else {"name": stated}
        if not isinstance(stated, dict):
            return None
        written = repr(stated)
        urn = self._found.get(written)
        if urn is None:
            urn = self._urn(stated, where)
            if urn is None:
                return None
            if len(self._found) < _MOST_REMEMBERED:
                self._found[written] = urn
        return urn, self._names[urn]

    def _urn(self, stated: Document, where: str) -> str | None:
        if urn := jsonld.identifier(stated, "cmp:brandId"):
            if urn not in self._names:
                raise RejectedDocumentError(
                    "brand_not_owned", where, "the registry does not give this brand to the feed's organization"
                )
            return urn
        name = label(stated, "name", where)
        if name is None:
            return None
        urn = self._urns.get(_folded(name))
        if urn is None:
            raise RejectedDocumentError("brand_unknown", where, "the organization has no brand of this name")
        return urn


def missing(path: str) -> RejectedDocumentError:
    """The error for an item that names no brand and has no group to inherit one from."""
    return RejectedDocumentError("brand_missing", f"{path}.brand", "it has no brand")


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()
