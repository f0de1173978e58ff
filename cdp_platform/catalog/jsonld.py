"""Reads JSON-LD as registries and feeds write it: compacted, with the terms of schema.org and `cmp:`.

No ``@context`` is fetched. A context that gives another meaning to a term that is read here is refused, because its
documents would be misread.

Here are contexts, terms, identifiers, and the plain values of terms. `json_values` turns bytes into JSON values;
`organizations`, `indexes` and `items` know the meaning of each kind of document.
"""

import html
import json
import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from cdp_platform.catalog import json_values
from cdp_platform.catalog.json_values import digits, exact
from cdp_platform.json_documents import walk
from cdp_platform.ops.rejected import RejectedDocumentError

Document = dict[str, Any]

# A constant, because `dict | list` in an expression makes a new object each time.
_WITH_PARTS = (dict, list)

_SCHEMA_ORG = re.compile(r"(?:schema:|https?://(?:www\.)?schema\.org/?#?)")
_PREFIX = re.compile(r"schema:|cmp:|https?://(?:www\.)?schema\.org/|https?://schema\.commercemesh\.(?:ai|org)/ns#")
_VOCABULARIES = {"schema": _SCHEMA_ORG, "cmp": re.compile(r"https?://schema\.commercemesh\.(?:ai|org)\b.*")}
_TERMS = frozenset(
    "additionalProperty availability billingDuration brand businessFunction category cmp:brandId cmp:category cmp:media"
    " cmp:productFeed color contentUrl depth description eligibleCustomerType eligibleQuantity"
    " eligibleTransactionVolume gtin gtin12 gtin13 gtin14 gtin8 hasVariant height highPrice identifier image"
    " inventoryLevel isVariantOf item itemListElement logo lowPrice material maxPrice minPrice mpn name offerCount"
    " offers pattern price priceComponent priceComponentType priceCurrency priceSpecification priceType priceValidUntil"
    " productGroupID propertyID referenceQuantity sameAs seller size sku url validForMemberTier validFrom validThrough"
    " value valueAddedTaxIncluded variesBy weight width".split()
)

# Containers with which a term means the same. A tuple, because a context can have a list or an object here.
_LISTS = ("@set", "@list")

# A term of schema.org or cmp with its prefix, or as an address.
_LONG_TERM = re.compile(
    r"(?:schema:|https?://(?:www\.)?schema\.org/#?)(?P<schema>\w+)"
    r"|https?://schema\.commercemesh\.(?:ai|org)/ns#(?P<cmp>\w+)"
)
# A file without any of these has no long form. ``\\u00`` may be an escape within one of them.
_LONG_MARKS = (b'@value"', b'@list"', b'@set"', b"\\u00")
_LONG_NAME = re.compile(rb'schema[.:/\\][^"]*"\s*:')

# Invisible characters: white space, controls, joiners, direction marks, and blanks that Unicode counts as letters.
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
_INVISIBLE = _BLANKS + "".join(
    chr(code)
    for first, last in (
        *((0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x61C, 0x61C), (0x1680, 0x1680), (0x180E, 0x180E)),
        *((0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB)),
    )
    for code in range(first, last + 1)
)
# An entity ends with a semicolon: ``&copy`` in an address or a name is none.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Texts of feeds are escaped at most twice.
_ESCAPED_TIMES = 2

_URN = re.compile(r"urn:cmp:(orgid|org|brandid|brand|productgroup|product|sku):(.+)", re.IGNORECASE)
_FAMILIES = {"orgid": "org", "brandid": "brand"}
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f<>\"{}|\\^`]+")
# An entry of a B-tree index has room for 2,700 bytes, and a key has several ids.
_MAX_ID_BYTES = 400
# Feeds repeat the same few types, and every item's id is read more than once.
_MOST_REMEMBERED = 10_000


def parse(content: bytes, what: str) -> Any:
    """The JSON value of a document, with JSON-LD's long forms replaced by short ones.

    ``schema:name`` and ``https://schema.org/name`` are ``name``; ``{"@list": [...]}`` and ``{"@set": [...]}`` are their
    lists; ``{"@value": ...}`` without a language is its value.

    Raises:
        ValidationError: it is not JSON.
    """
    has_long_forms = any(mark in content for mark in _LONG_MARKS) or _LONG_NAME.search(content) is not None
    return json_values.parse(content, what, then=_short if has_long_forms else lambda value: value)


def check_context(document: Any, path: str = "$") -> None:
    """Refuse a document whose ``@context`` gives another meaning to terms that are read here.

    Raises:
        RejectedDocumentError: with the code ``context_remaps_terms``.
    """
    if not isinstance(document, dict):
        return
    context = document.get("@context")
    for each in context if isinstance(context, list) else [context]:
        if isinstance(each, dict):
            for term, meaning in each.items():
                if not _is_usual(term, meaning):
                    raise RejectedDocumentError(
                        "context_remaps_terms", f"{path}['@context']", "the @context gives terms an unusual meaning"
                    )


def canonical(document: Any) -> bytes:
    """A document, or a part of one, as JSON with sorted keys: equal documents give equal bytes.

    Raises:
        RejectedDocumentError: it holds something that PostgreSQL cannot store, or a context that changes terms.
    """
    content = json_values.canonical(document)
    if b'"@context"' in content:
        for path, value in walk(document):
            check_context(value, path)
    return content


def fingerprint(content: bytes, rules: bytes, beside: bytes = b"") -> bytes:
    """The 16-byte hash of a document: if it is the stored one, the document need not be read again.

    Args:
        content: canonical bytes of the document.
        rules: at most 64 bytes; under other rules the same document has another hash.
        beside: further bytes that its rows depend on.
    """
    return blake2b(content + beside, digest_size=16, key=rules).digest()


def printable(document: Any) -> Document:
    """The document in a form that the standard library's JSON can write, for a rejected record."""
    try:
        found = json.loads(json.dumps(document, default=str))
    except RecursionError:
        found = {name: value for name, value in document.items() if isinstance(value, str)}
    return found if isinstance(found, dict) else {"value": found}


def types(document: Document) -> set[str]:
    """The types of a document, without prefixes."""
    stated = document.get("@type")
    return {_without_prefix(each) for each in many(stated) if isinstance(each, str)}


def many(value: Any) -> list[Any]:
    """The values of a term, which JSON-LD writes as nothing, one value or a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def single(value: Any) -> Any:
    """The value of a term that is given as a list of one value, or as one text in several languages.

    The value without a language is taken, or the first if all have one. A list of several values stays a list.
    """
    while isinstance(value, _WITH_PARTS):
        if isinstance(value, dict):
            if "@value" not in value:
                return value
            value = value["@value"]
        elif len(value) == 1:
            value = value[0]
        elif any(isinstance(each, dict) and "@language" in each for each in value):
            plain = [each for each in value if not (isinstance(each, dict) and "@language" in each)]
            if len(plain) > 1:
                return value
            value = (plain or value)[0]
        else:
            return value
    return value


def text(document: Document, name: str, path: str = "$") -> str | None:
    """A string without white space and invisible characters around it, or the plain digits of a number.

    None if there is no value, or no visible character in it.

    Raises:
        RejectedDocumentError: it is another kind of value.
    """
    value = document.get(name)
    if value is None:
        return None
    return clean(value) if isinstance(value, str) else as_text(value, f"{path}.{name}")


def label(document: Document, name: str, path: str = "$") -> str | None:
    """A text for people: `text` with HTML entities resolved."""
    found = text(document, name, path)
    return unescaped(found) if found and "&" in found else found


def as_text(value: Any, path: str) -> str | None:
    """The text of a value, as `text`."""
    value = single(value)
    if isinstance(value, str):
        return clean(value)
    if value is None or (isinstance(value, list) and not value):
        return None
    number = exact(value)
    if number is None:
        raise RejectedDocumentError("not_a_text", path, f"{path.rpartition('.')[2]} is not a text")
    return digits(number)


def clean(value: str) -> str | None:
    """A string without invisible characters around it; None if no other is left."""
    found = value.strip()
    if found.isascii() and found.isprintable():
        return found or None
    found = found.strip(_INVISIBLE)
    return found if any(map(_is_visible, found)) else None


def unescaped(value: str) -> str | None:
    """A string with its HTML entities resolved, such as ``Home &gt; Kitchen``; None if nothing visible is left."""
    for _ in range(_ESCAPED_TIMES):
        value = _ENTITY.sub(lambda entity: html.unescape(entity[0]), value)
    return clean(value)


def link(value: Any, path: str) -> str | None:
    """The address of a thing that is given as a text or as an object with an address."""
    if isinstance(value, str):
        return clean(value)
    value = single(value)
    if isinstance(value, dict):
        return text(value, "url", path) or text(value, "contentUrl", path) or text(value, "@id", path)
    return as_text(value, path)


def identifier(document: Document, *property_ids: str) -> str | None:
    """The URN of a document: its ``identifier`` with one of these ids, else a property of that name, else ``@id``."""
    names = {name.casefold() for name in property_ids}
    for each in many(document.get("identifier")):
        if isinstance(each, str):
            stated, value = property_ids[0], each
        elif isinstance(each, dict):
            stated, value = each.get("propertyID"), each.get("value")
        else:
            continue
        named = _short_term(stated.strip()).casefold() if isinstance(stated, str) else ""
        fits = not named or named in names
        if fits and isinstance(value, str) and (urn := as_urn(value)):
            return urn
    for value in (*(document.get(name) for name in property_ids), document.get("@id")):
        if isinstance(value, str) and (urn := as_urn(value)):
            return urn
    return None


def as_urn(value: str) -> str | None:
    """A URN in one spelling: ``urn:cmp:orgid:`` becomes ``urn:cmp:org:``; None if it is no URN."""
    value = value.strip()
    return _key(value) if value[:4].casefold() == "urn:" else None


def item_id(document: Document, path: str = "$") -> str:
    """The ``@id`` of an item in one spelling.

    Raises:
        RejectedDocumentError: it has none, or it is no absolute IRI.
    """
    value = text(document, "@id", path)
    if value is None:
        raise RejectedDocumentError("id_missing", f"{path}['@id']", "it has no @id")
    key = _key(value)
    if key is None:
        raise RejectedDocumentError("id_not_an_iri", f"{path}['@id']", "its @id is no URN or absolute address")
    return key


@lru_cache(maxsize=_MOST_REMEMBERED)
def _key(value: str) -> str | None:
    """An IRI in one spelling; None if it is no IRI, or too long for a key."""
    if not _IRI.fullmatch(value) or len(value.encode()) > _MAX_ID_BYTES:
        return None
    known = _URN.fullmatch(value)
    if known is None:
        return value
    family = known[1].lower()
    return f"urn:cmp:{_FAMILIES.get(family, family)}:{known[2].lower()}"


@lru_cache(maxsize=_MOST_REMEMBERED)
def _without_prefix(term: str) -> str:
    return _PREFIX.sub("", term, count=1)


def _short(value: Any) -> Any:
    if isinstance(value, list):
        listed = []
        for each in value:
            found = _short(each)
            # A list that is written as an object becomes part of the list around it.
            listed += found if isinstance(found, list) and isinstance(each, dict) else [found]
        return listed
    if not isinstance(value, dict):
        return value
    for container in ("@list", "@set"):
        if container in value:
            return _short(many(value[container]))
    if "@value" in value and "@language" not in value:
        return value["@value"]
    short: Document = {}
    for name, stated in value.items():
        term = _short_term(name)
        found = stated if term == "@context" else _short(stated)
        short[term] = many(short[term]) + many(found) if term in short and short[term] != found else found
    return short


@lru_cache(maxsize=_MOST_REMEMBERED)
def _short_term(name: str) -> str:
    term = _LONG_TERM.fullmatch(name)
    if term is None:
        return name
    return term["schema"] or f"cmp:{term['cmp']}"


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CMZ" and character not in _BLANKS


def _is_usual(term: str, meaning: Any) -> bool:
    if term == "@vocab":
        return isinstance(meaning, str) and bool(_SCHEMA_ORG.fullmatch(meaning))
    if term in _VOCABULARIES:
        return isinstance(meaning, str) and bool(_VOCABULARIES[term].fullmatch(meaning))
    target = meaning.get("@id", term) if isinstance(meaning, dict) else meaning
    if term not in _TERMS:
        # Another term is a problem only if it stands for a keyword, or for a term that is read here.
        return not isinstance(target, str) or term.startswith("@") or not (target.startswith("@") or _means(target))
    extras = meaning.keys() - {"@id", "@type", "@container"} if isinstance(meaning, dict) else set()
    container = meaning.get("@container") if isinstance(meaning, dict) else None
    if extras or any(each not in _LISTS for each in many(container)):
        return False
    return isinstance(target, str) and _means(target) == term.removeprefix("cmp:")


def _means(target: str) -> str | None:
    """The term that an IRI stands for, if it is read here."""
    name = _PREFIX.sub("", target, count=1)
    return name if name in _TERMS or f"cmp:{name}" in _TERMS else None
