"""Whose brand an item is: a feed may write into the brands that the registry gives its organization, and no others."""

from collections.abc import Mapping
from hashlib import blake2b

import orjson

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.jsonld import Document, text
from cdp_platform.warehouse.rejected import RejectedDocumentError

# Raised whenever the same item becomes another row; the next round then takes every item again.
VERSION = 1

_MOST_REMEMBERED = 10_000


class Brands:
    """The brands that a feed may write into: those that the registry gives its organization.

    Attributes:
        rules: what makes one item another row: these brands, and how items are understood.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        """Of names by URN."""
        self._names = dict(names)
        self._urns = {name.strip().casefold(): urn for urn, name in sorted(names.items(), reverse=True)}
        # A feed writes the same few brands again and again.
        self._found: dict[str, str] = {}
        self.rules = blake2b(orjson.dumps([VERSION, sorted(self._names.items())])).digest()

    def of(self, item: Document, path: str, parent: Document | None = None) -> tuple[str, str]:
        """URN and name of an item's brand: the one it names by URN, or else by the name in the registry.

        Raises:
            RejectedDocumentError: it names none, or one that is not the organization's.
        """
        stated = item.get("brand") or (parent or {}).get("brand")
        where = f"{path}.brand"
        if isinstance(stated, list) and len(stated) == 1:
            stated = stated[0]
        if isinstance(stated, str):
            stated = {"@id": stated} if jsonld.as_urn(stated) else {"name": stated}
        if not isinstance(stated, dict):
            raise RejectedDocumentError("brand_missing", where, "it has no brand, or several")
        written = repr(stated)
        urn = self._found.get(written)
        if urn is None:
            urn = self._urn(stated, where)
            if len(self._found) < _MOST_REMEMBERED:
                self._found[written] = urn
        return urn, self._names[urn]

    def _urn(self, stated: Document, where: str) -> str:
        if urn := jsonld.identifier(stated, "cmp:brandId"):
            if urn not in self._names:
                raise RejectedDocumentError(
                    "brand_not_owned", where, "the registry does not give this brand to the feed's organization"
                )
            return urn
        name = text(stated, "name", where)
        if name is None:
            raise RejectedDocumentError("brand_missing", where, "its brand has neither a URN nor a name")
        urn = self._urns.get(name.casefold())
        if urn is None:
            raise RejectedDocumentError("brand_unknown", where, "the organization has no brand of this name")
        return urn
