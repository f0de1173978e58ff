"""Reading JSON-LD as registries and feeds really write it: compacted, with the terms of schema.org and `cmp:`.

No ``@context`` is ever fetched. What a context says by name is taken as text; one that gives a term that is read here
another meaning is refused, because its documents would be misread.

What belongs here: bytes to JSON values, contexts, identifiers, and the plain values that terms have. What each kind of
document means is in `organizations`, `indexes` and `items`.
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from cdp_platform.catalog.errors import ValidationError
from cdp_platform.warehouse.rejected import RejectedDocumentError

Document = dict[str, Any]

# Deeper than any catalogue, and less deep than what any parser or PostgreSQL refuses.
_MAX_DEPTH = 200
_MAX_PATH = 200
# PostgreSQL's own limit for numbers in JSON is far beyond.
_MAX_EXPONENT = 1000
_TOO_DEEP = "(nested too deep, left out)"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)

# A double keeps 15 digits; a price with more has to be read as a decimal from the beginning.
_LONG_PRICE = re.compile(rb'rice"\s*:\s*-?\d[\d.eE+-]{15}')

_SCHEMA_ORG = re.compile(r"(?:schema:|https?://(?:www\.)?schema\.org/?#?)")
_PREFIX = re.compile(r"schema:|cmp:|https?://(?:www\.)?schema\.org/|https?://schema\.commercemesh\.(?:ai|org)/ns#")
_VOCABULARIES = {"schema": _SCHEMA_ORG, "cmp": re.compile(r"https?://schema\.commercemesh\.(?:ai|org)\b.*")}
_TERMS = frozenset(
    "additionalProperty availability brand category cmp:brandId cmp:category cmp:media cmp:productFeed contentUrl"
    " description gtin hasVariant identifier image inventoryLevel isVariantOf item itemListElement logo lowPrice mpn"
    " name offers price priceCurrency priceSpecification priceValidUntil productGroupID propertyID sameAs seller sku"
    " url value variesBy".split()
)

_URN = re.compile(r"urn:cmp:(orgid|org|brandid|brand|productgroup|product|sku):(.+)", re.IGNORECASE)
_FAMILIES = {"orgid": "org", "brandid": "brand"}
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f<>\"{}|\\^`]+")
# An entry of a B-tree has room for 2,700 bytes, and a key holds several of these.
_MAX_ID_BYTES = 400
# Feeds write the same few types again and again, and every item's id is asked for more than once.
_MOST_REMEMBERED = 10_000


def parse(content: bytes, what: str) -> Any:
    """The JSON value of a document.

    Numbers are floats as long as these give back the literal exactly; where a price has more digits than that, all
    numbers of the document are decimals of just the digits that it has. Values nested too deep are replaced by a mark
    that `canonical` refuses, so that only their item is lost.

    Raises:
        ValidationError: it is not JSON.
    """
    if not _LONG_PRICE.search(content):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            # It may be one item that is too deep, out of range or no Unicode: the slow way finds which.
            pass
    try:
        try:
            return _exact_json(content)
        except RecursionError:
            return _exact_json(_cut_depth(content))
    except (ValueError, RecursionError) as error:
        at = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValidationError(
            f"{what} is not JSON{at}, as if it were cut short or another kind of file. Nothing was taken of it; "
            "whoever publishes it has to mend it."
        ) from None


def check_context(document: Any, path: str = "$") -> None:
    """Refuse a document whose ``@context`` gives terms that are read here another meaning.

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
        RejectedDocumentError: it holds what PostgreSQL cannot store.
    """
    try:
        content = orjson.dumps(document, default=_literal, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if path := _first_path(document, _is_not_utf8):
            raise RejectedDocumentError("lone_surrogate", path, "a string is not valid Unicode") from None
        if path := _first_path(document, _is_beyond_numbers):
            raise RejectedDocumentError("number_out_of_range", path, "a number is beyond anything usual") from None
        raise RejectedDocumentError("nested_too_deep", "$", f"it is nested deeper than {_MAX_DEPTH} levels") from None
    if b"\\u0000" in content and (
        path := _first_path(document, lambda value: isinstance(value, str) and "\0" in value)
    ):
        raise RejectedDocumentError("nul_character", path, "a string holds a NUL character")
    if _TOO_DEEP.encode() in content and (path := _first_path(document, lambda value: value == _TOO_DEEP)):
        raise RejectedDocumentError("nested_too_deep", path, f"it is nested deeper than {_MAX_DEPTH} levels")
    if b'"@context"' in content:
        for path, value in _walk(document):
            check_context(value, path)
    return content


def fingerprint(content: bytes, rules: bytes, beside: bytes = b"") -> bytes:
    """The 16-byte hash that tells whether a document has to be understood again.

    Args:
        content: canonical bytes of the document.
        rules: at most 64 bytes; documents that are the same under other rules have another hash.
        beside: what else is understood with it.
    """
    return blake2b(content + beside, digest_size=16, key=rules).digest()


def printable(document: Any) -> Document:
    """The document as the standard library's JSON can write it, to be kept with a rejection."""
    try:
        found = json.loads(json.dumps(document, default=str))
    except RecursionError:
        found = {name: value for name, value in document.items() if isinstance(value, str)}
    return found if isinstance(found, dict) else {"value": found}


def types(document: Document) -> set[str]:
    """What a document says that it is, without prefixes."""
    stated = document.get("@type")
    return {_without_prefix(each) for each in many(stated) if isinstance(each, str)}


def many(value: Any) -> list[Any]:
    """What JSON-LD writes as nothing, one value or a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def text(document: Document, name: str, path: str = "$") -> str | None:
    """A string without white space around it; a number as it prints. None where there is none.

    Raises:
        RejectedDocumentError: it is something else.
    """
    value = document.get(name)
    if isinstance(value, dict):
        value = value.get("@value", value)
    if isinstance(value, str):
        return value.strip() or None
    if value is None:
        return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise RejectedDocumentError("not_a_text", f"{path}.{name}", f"{name} is not a text")


def link(value: Any, path: str) -> str | None:
    """The address of a thing that is given as text or as an object with one."""
    if isinstance(value, dict):
        return text(value, "url", path) or text(value, "contentUrl", path) or text(value, "@id", path)
    return text({"url": value}, "url", path.rpartition(".")[0])


def identifier(document: Document, *property_ids: str) -> str | None:
    """The URN of a document: its ``identifier`` of one of these ids, else a property of that name, else ``@id``."""
    names = {name.casefold() for name in property_ids}
    for each in many(document.get("identifier")):
        if isinstance(each, str):
            stated, value = property_ids[0], each
        elif isinstance(each, dict):
            stated, value = each.get("propertyID"), each.get("value")
        else:
            continue
        named = stated.strip().casefold() if isinstance(stated, str) else ""
        fits = not named or named in names
        if fits and isinstance(value, str) and (urn := as_urn(value)):
            return urn
    for value in (*(document.get(name) for name in property_ids), document.get("@id")):
        if isinstance(value, str) and (urn := as_urn(value)):
            return urn
    return None


def as_urn(value: str) -> str | None:
    """A URN in its one spelling: ``urn:cmp:org:`` also where it is written ``urn:cmp:orgid:``; None if it is none."""
    value = value.strip()
    return _key(value) if value[:4].casefold() == "urn:" else None


def item_id(document: Document, path: str = "$") -> str:
    """The ``@id`` of an item, in its one spelling.

    Raises:
        RejectedDocumentError: it has none, or one that is no absolute IRI.
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
    """An IRI in its one spelling; None if it is none, or too long for a key."""
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


def _is_usual(term: str, meaning: Any) -> bool:
    if term == "@vocab":
        return isinstance(meaning, str) and bool(_SCHEMA_ORG.fullmatch(meaning))
    if term in _VOCABULARIES:
        return isinstance(meaning, str) and bool(_VOCABULARIES[term].fullmatch(meaning))
    target = meaning.get("@id", term) if isinstance(meaning, dict) else meaning
    if term not in _TERMS:
        # Of other terms only those matter that stand for a keyword, or for one that is read here.
        return not isinstance(target, str) or term.startswith("@") or not (target.startswith("@") or _means(target))
    extras = meaning.keys() - {"@id", "@type", "@container"} if isinstance(meaning, dict) else set()
    container = meaning.get("@container") if isinstance(meaning, dict) else None
    return (
        isinstance(target, str)
        and _means(target) == term.removeprefix("cmp:")
        and not extras
        and container
        in {
            None,
            "@set",
            "@list",
        }
    )


def _means(target: str) -> str | None:
    """The term that is read here which an IRI stands for."""
    name = _PREFIX.sub("", target, count=1)
    return name if name in _TERMS or f"cmp:{name}" in _TERMS else None


def _walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Every value within a document, and every name within its objects, with their JSON paths."""
    waiting = [("$", document)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            for name, item in value.items():
                yield path, name
                waiting.append((f"{path}.{name}", item))
        elif isinstance(value, list):
            waiting += [(f"{path}[{at}]", item) for at, item in enumerate(value)]


def _first_path(document: Any, is_bad: Callable[[Any], bool]) -> str:
    """JSON path of a value that is bad, or of an object that has a bad name; '' when all are good."""
    # A path is printed and stored.
    found = next((path for path, value in _walk(document) if is_bad(value)), "")
    return found.encode(errors="replace").decode().replace("\0", "?")[:_MAX_PATH]


def _is_not_utf8(value: Any) -> bool:
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_beyond_numbers(value: Any) -> bool:
    return isinstance(value, Decimal) and abs(value.adjusted()) > _MAX_EXPONENT


def _exact_json(content: bytes) -> Any:
    return json.loads(
        content.decode("utf-8-sig"), parse_float=_decimal, parse_int=_decimal, parse_constant=_no_constant
    )


def _decimal(literal: str) -> int | Decimal:
    if len(literal) <= 18 and literal.lstrip("-").isdecimal():
        return int(literal)
    try:
        return Decimal(literal)
    except ArithmeticError:
        # An exponent that not even decimals have: any value that is refused will do.
        return Decimal(f"1e{_MAX_EXPONENT + 1}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _literal(value: Any) -> Any:
    """A decimal as the number that it is, by the same digits whether it was read as a float or not."""
    if not isinstance(value, Decimal) or _is_beyond_numbers(value):
        raise TypeError(type(value).__name__)
    as_float = float(value)
    if Decimal(repr(as_float)) == value:
        return as_float
    return orjson.Fragment(str(value))


def _cut_depth(content: bytes) -> bytes:
    """JSON in which every value nested too deep is replaced by a mark."""
    kept, depth, done = [], 0, 0
    for token in _TOKEN.finditer(content):
        what = token[0]
        if what in b"[{":
            depth += 1
            if depth == _MAX_DEPTH:
                kept.append(content[done : token.start()])
        elif what in b"]}":
            if depth == _MAX_DEPTH:
                kept.append(f'"{_TOO_DEEP}"'.encode())
                done = token.end()
            depth -= 1
    return b"".join([*kept, content[done:]])
