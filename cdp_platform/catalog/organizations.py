"""The content of a registry: organizations, their brands, and the addresses of their feeds."""

from dataclasses import dataclass, field
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.catalog.jsonld import Document, label, many, text, unescaped
from cdp_platform.ops.rejected import RejectedDocumentError


@dataclass(frozen=True)
class Brand:
    """A brand of an organization.

    Attributes:
        urn: ``urn:cmp:brand:...``, in whichever spelling the registry has it.
        document: as in the registry.
    """

    urn: str
    name: str
    logo: str | None
    document: Document = field(repr=False)


@dataclass(frozen=True)
class Organization:
    """An organization that sells.

    Attributes:
        urn: ``urn:cmp:org:...``, in whichever spelling the registry has it.
        same_as: addresses of the same organization elsewhere.
        categories: slugs.
        feed_url: address of the index of its product feed as in the registry, absolute or relative to it.
        brands: the brands that its feed may have items of.
        document: as in the registry, without its brands.
    """

    urn: str
    name: str
    description: str | None
    url: str | None
    logo: str | None
    same_as: list[str]
    categories: list[str]
    feed_url: str | None
    brands: list[Brand]
    document: Document = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """An entry of a registry that cannot be taken, and why."""

    key: str
    document: Document = field(repr=False)
    error: RejectedDocumentError


@dataclass(frozen=True)
class Registry:
    """All entries of a registry: organizations, and entries that cannot be taken."""

    organizations: list[Organization]
    refused: list[Refused]


def read_registry(content: bytes, what: str) -> Registry:
    """Read a registry: one organization, a list of them, or a graph.

    Args:
        content: of the document.
        what: name of the document in errors.

    Raises:
        InvalidDocumentError: it is no registry, or no organization in it can be taken.
    """
    document = jsonld.parse(content, what)
    try:
        jsonld.check_context(document)
    except RejectedDocumentError as error:
        raise InvalidDocumentError.of(what, error) from error
    graph = document.get("@graph", document) if isinstance(document, dict) else document
    if not isinstance(graph, dict | list):
        raise InvalidDocumentError(f"{what} is JSON, but neither an organization nor a list of them.")
    found: dict[str, Organization] = {}
    refused: list[Refused] = []
    for at, entry in enumerate(many(graph)):
        path = f"$[{at}]" if isinstance(graph, list) else "$"
        try:
            organization = _organization(entry, path, refused)
            if organization.urn in found:
                raise RejectedDocumentError("duplicate_organization", path, "an organization of this URN came before")
        except RejectedDocumentError as error:
            refused.append(Refused(f"organization {path}", jsonld.printable(entry), error))
        else:
            found[organization.urn] = organization
    if not found:
        why = f": {refused[0].error} ({refused[0].error.code} at {refused[0].error.path})" if refused else ""
        raise InvalidDocumentError(f"{what} holds no organization that can be taken{why}. Nothing was changed.")
    return Registry(list(found.values()), refused)


def _organization(entry: Any, path: str, refused: list[Refused]) -> Organization:
    if not isinstance(entry, dict) or "Organization" not in jsonld.types(entry):
        raise RejectedDocumentError("not_an_organization", f"{path}['@type']", "it is no Organization")
    jsonld.canonical(entry)
    urn = jsonld.identifier(entry, "cmp:orgId", "cmp:orgid")
    if urn is None:
        raise RejectedDocumentError("organization_id_missing", f"{path}.identifier", "it has no cmp:orgId with a URN")
    name = label(entry, "name", path)
    if name is None:
        raise RejectedDocumentError("name_missing", f"{path}.name", "it has no name")
    feed = entry.get("cmp:productFeed")
    return Organization(
        urn=urn,
        name=name,
        description=label(entry, "description", path),
        url=text(entry, "url", path),
        logo=jsonld.link(entry.get("logo"), f"{path}.logo"),
        same_as=[each.strip() for each in many(entry.get("sameAs")) if isinstance(each, str)],
        categories=_slugs(entry, path),
        feed_url=jsonld.link(feed, f"{path}.cmp:productFeed") if feed else None,
        brands=_brands(entry, urn, name, path, refused),
        document={term: value for term, value in entry.items() if term != "brand"},
    )


def _brands(entry: Document, organization: str, name: str, path: str, refused: list[Refused]) -> list[Brand]:
    stated = many(entry.get("brand"))
    if not stated:
        # The organization is its own brand.
        urn = jsonld.identifier({"cmp:brandId": entry.get("cmp:brandId")}, "cmp:brandId")
        return [Brand(urn, name, None, {"cmp:brandId": urn, "name": name})] if urn else []
    found: dict[str, Brand] = {}
    for at, each in enumerate(stated):
        where = f"{path}.brand[{at}]" if isinstance(entry.get("brand"), list) else f"{path}.brand"
        try:
            brand = _brand(each, entry if len(stated) == 1 else {}, where)
            if brand.urn in found:
                raise RejectedDocumentError("duplicate_brand", where, "a brand of this URN came before")
        except RejectedDocumentError as error:
            refused.append(Refused(f"{organization} {where}", jsonld.printable(each), error))
        else:
            found[brand.urn] = brand
    return list(found.values())


def _brand(brand: Any, alone_in: Document, path: str) -> Brand:
    if not isinstance(brand, dict):
        raise RejectedDocumentError("not_a_brand", path, "it is no object")
    urn = jsonld.identifier(brand, "cmp:brandId") or jsonld.identifier(
        {"cmp:brandId": alone_in.get("cmp:brandId")}, "cmp:brandId"
    )
    name = label(brand, "name", path)
    if urn is None:
        raise RejectedDocumentError("brand_id_missing", f"{path}.identifier", "it has no cmp:brandId with a URN")
    if name is None:
        raise RejectedDocumentError("name_missing", f"{path}.name", "it has no name")
    return Brand(urn, name, jsonld.link(brand.get("logo"), f"{path}.logo"), brand)


def _slugs(entry: Document, path: str) -> list[str]:
    found = []
    for at, each in enumerate(many(entry.get("cmp:category"))):
        if not isinstance(each, str):
            raise RejectedDocumentError("category_not_a_text", f"{path}.cmp:category[{at}]", "a category is no text")
        found.append(unescaped(each))
    return list(dict.fromkeys(filter(None, found)))
