"""Columns of documents in the form that LEO CDP writes: decoded to structs in C, and converted a column at a time.

The mappers' ``row`` takes every form that a field may have, and says why a document is rejected. The columns made here
hold the same, in a fraction of the time, for documents in the plain form. Other documents are not taken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import orjson

from cdp_platform.moments import moment
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse.load import jsonb

# `documents.canonical` refuses a document that is nested deeper. Its JSON has a bracket for each level at least.
_MOST_BRACKETS = 254

Column = list[Any]
"""The values of a column, in the order of the documents."""


class OtherFormError(Exception):
    """Values of a column are not in the plain form.

    Attributes:
        places: of their documents.
    """

    def __init__(self, places: set[int]) -> None:
        super().__init__()
        self.places = places


@dataclass(frozen=True)
class Kind:
    """What an attribute holds in the plain form, and how it becomes a column.

    Attributes:
        form: the type that msgspec checks.
        column: makes the column of the attribute's values.
        nothing: the value of the column where the attribute is absent or null.
        required: whether an attribute that is absent keeps a document from being in the plain form.
    """

    form: Any
    column: Callable[[Sequence[Any]], Column] = list
    nothing: bytes | None = None
    required: bool = False


class Form:
    """The plain form of a collection's documents: the attribute and kind of each column.

    Attributes:
        attributes: the names of the attributes.
    """

    def __init__(self, fields: Mapping[str, tuple[str, Kind]]) -> None:
        self.attributes = [attribute for attribute, _ in fields.values()]
        self._kinds = {column: kind for column, (_, kind) in fields.items()}
        struct = msgspec.defstruct(
            "PlainDocument",
            [
                (column, kind.form, msgspec.field(name=attribute, default=msgspec.NODEFAULT if kind.required else None))
                for column, (attribute, kind) in fields.items()
            ],
            gc=False,
            kw_only=True,
        )
        self._decoder = msgspec.json.Decoder(struct)

    def taken(self, sources: Sequence[bytes]) -> tuple[list[int], dict[str, Column]]:
        """The places of the documents in the plain form, and their columns."""
        places, structs = self._decoded(sources)
        while structs:
            attributes = zip(*map(msgspec.structs.astuple, structs), strict=True)
            try:
                return places, {
                    # Most attributes are in no document of a batch.
                    column: [kind.nothing] * len(values) if values.count(None) == len(values) else kind.column(values)
                    for (column, kind), values in zip(self._kinds.items(), attributes, strict=True)
                }
            except OtherFormError as other:
                places = [place for at, place in enumerate(places) if at not in other.places]
                structs = [struct for at, struct in enumerate(structs) if at not in other.places]
        return [], {column: [] for column in self._kinds}

    def _decoded(self, sources: Sequence[bytes]) -> tuple[list[int], list[msgspec.Struct]]:
        places: list[int] = []
        structs: list[msgspec.Struct] = []
        for place, source in enumerate(sources):
            # PostgreSQL stores no NUL and no half of a surrogate pair; both come as escapes.
            if b"\\" in source and b"\\u" in source:
                continue
            if source.count(b"{") + source.count(b"[") > _MOST_BRACKETS:
                continue
            try:
                structs.append(self._decoder.decode(source))
            except (msgspec.MsgspecError, RecursionError):
                continue
            places.append(place)
        return places, structs


def each(values: Sequence[Any], convert: Callable[[Any], Any]) -> Column:
    """The column of values that are converted as a mapper's ``row`` does.

    Raises:
        OtherFormError: with the places of values that are rejected there.
    """
    try:
        return [convert(value) for value in values]
    except RejectedDocumentError:
        raise OtherFormError({at for at, value in enumerate(values) if _is_refused(convert, value)}) from None


def _is_refused(convert: Callable[[Any], Any], value: Any) -> bool:
    try:
        convert(value)
    except (RejectedDocumentError, TypeError):
        return True
    return False


def _or_null(values: Sequence[Any]) -> Column:
    return [value or None for value in values] if "" in values else list(values)


def _moments(values: Sequence[Any]) -> Column:
    found = [moment(value) if value else None for value in values]
    if unread := {at for at, value in enumerate(values) if value and found[at] is None}:
        raise OtherFormError(unread)
    return found


def _amounts(values: Sequence[Any]) -> Column:
    return [Decimal(repr(value)) if type(value) is float else value for value in values]


def _consents(values: Sequence[Any]) -> Column:
    return [None if value is None or value == 0 or value > 1 else value == 1 for value in values]


def _json(form: Any, nothing: bytes | None) -> Kind:
    def column(values: Sequence[Any]) -> Column:
        try:
            return [b"\x01" + orjson.dumps(value) if value else nothing for value in values]
        except TypeError:
            # A whole number of more than 64 bits.
            raise OtherFormError({at for at, value in enumerate(values) if _is_refused(orjson.dumps, value)}) from None

    return Kind(form | None, column, nothing)


def _references(values: Sequence[Any]) -> Column:
    return [b"\x01" + msgspec.json.encode(value) if value else EMPTY_LIST for value in values]


EMPTY_LIST, EMPTY_OBJECT = jsonb([]), jsonb({})

_TEXT = Annotated[str, msgspec.Meta(min_length=1)]
_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

KEY = Kind(_TEXT, required=True)
TEXT = Kind(str | None, _or_null)
TEXTS = _json(list[_TEXT], EMPTY_LIST)
ANY_TEXTS = Kind(list[_TEXT] | None)
INT32 = Kind(_INT32 | None)
INT64 = Kind(_INT64 | None)
NUMBER = Kind(_INT64 | float | None, lambda values: [value if value is None else float(value) for value in values])
AMOUNT = Kind(_INT64 | float | None, _amounts)
MOMENT = Kind(str | None, _moments)
CONSENT = Kind(_INT32 | None, _consents)
OBJECT = _json(dict[str, Any], EMPTY_OBJECT)
OBJECT_OR_NULL = _json(dict[str, Any], None)
OBJECTS = _json(list[dict[str, Any]], EMPTY_LIST)


def references(**attributes: Any) -> Kind:
    """A list of the CDP's RefKeys: ``id``, and these attributes with their types."""
    fields = [("id", _TEXT), *((name, form | None, None) for name, form in attributes.items())]
    reference: Any = msgspec.defstruct("Reference", fields, gc=False)
    return Kind(list[reference] | None, _references, EMPTY_LIST)


NAMED, JOURNEYS = references(name=str), references(name=str, funnelIndex=_INT32)
