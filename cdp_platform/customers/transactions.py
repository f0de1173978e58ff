"""How an edge of ``cdp_profile2conversion`` becomes a row of ``customers.transactions``.

Grain: one row per edge, that is per product line of an order; the lines of one order share ``order_id``. Amounts are
exact decimals with their currency. If the source has no currency, none is assumed.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import orjson

from cdp_platform import currencies, settings
from cdp_platform.customers import documents as read
from cdp_platform.customers import typed
from cdp_platform.customers.documents import Document
from cdp_platform.customers.plain_mapper import PlainMapper
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.load import Target

COLLECTION = "cdp_profile2conversion"

# Raise it when the same document gives another row: the next sync then reads everything again.
VERSION = 3

TARGET = Target(
    schema="customers",
    table="transactions",
    key="line_id",
    columns=(
        ("tenant_id", "text"),
        ("line_id", "text"),
        ("order_id", "text"),
        ("profile_id", "text"),
        ("product_id", "text"),
        ("event_name", "text"),
        ("amount", "numeric"),
        ("currency", "text"),
        ("quantity", "numeric"),
        ("event_score", "float8"),
        ("total_event", "int8"),
        ("segment_ids", "jsonb"),
        ("asset_group_ids", "jsonb"),
        ("touchpoint_id", "text"),
        ("occurred_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("closed_reason", "text"),
        ("closed_at", "timestamptz"),
        ("revision", "text"),
        ("document", "jsonb"),
        ("document_hash", "bytea"),
    ),
    empty={"segment_ids": "[]", "asset_group_ids": "[]"},
)


@cache
def form(profile_collection: str) -> typed.Form:
    """Conversions as LEO CDP writes them."""
    return typed.Form(
        {
            "line_id": ("_key", typed.KEY),
            "profile_id": ("_from", typed.Kind(str, partial(_profile_ids, profile_collection), required=True)),
            "product_id": ("_to", typed.Kind(str | None, _product_ids)),
            "revision": ("_rev", typed.TEXT),
            "event_name": ("eventMetricId", typed.TEXT),
            "event_score": ("eventScore", typed.NUMBER),
            "total_event": ("totalEvent", typed.INT64),
            "quantity": ("quantity", typed.AMOUNT),
            "order_id": ("transactionId", typed.TEXT),
            "amount": ("transactionValue", typed.AMOUNT),
            "currency": ("currencyCode", typed.Kind(str | None, _currencies)),
            "segment_ids": ("segmentIds", typed.TEXTS),
            "asset_group_ids": ("assetGroupIds", typed.TEXTS),
            "touchpoint_id": ("targetMediaUnitId", typed.TEXT),
            "occurred_at": ("createdAt", typed.MOMENT),
            "updated_at": ("updatedAt", typed.MOMENT),
        }
    )


class TransactionMapper(PlainMapper):
    """Maps the conversion edges of one tenant."""

    collection = COLLECTION
    target = TARGET
    version = VERSION

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(tenant)
        self._profiles = settings.collections().profile_collection

    def persons(self, document: Document) -> list[str]:
        """The profile that bought."""
        collection, _, profile_id = str(document.get("_from")).partition("/")
        return [profile_id] if collection == self._profiles and read.is_key(profile_id) else []

    def columns(
        self, sources: Sequence[bytes], contents: Sequence[bytes], digests: Sequence[bytes]
    ) -> tuple[list[int], dict[str, typed.Column]]:
        """The columns of ``TARGET`` for the documents in the plain form, and the places of these documents."""
        places, columns = form(self._profiles).taken(sources)
        nothing = [None] * len(places)
        return places, columns | {
            "tenant_id": [self._tenant_id] * len(places),
            "closed_reason": nothing,
            "closed_at": nothing.copy(),
            "document": [b"\x01" + contents[place] for place in places],
            "document_hash": [digests[place] for place in places],
        }

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row, in the order of ``TARGET.columns``.

        Raises:
            RejectedDocumentError: a field has a wrong type or value.
        """
        profile_id = _vertex_key(document.get("_from"), "_from", self._profiles)
        product_id = _vertex_key(document["_to"], "_to") if document.get("_to") else None
        return (
            self._tenant_id,
            read.key(document),
            read.text(document, "transactionId"),
            profile_id,
            product_id,
            read.text(document, "eventMetricId"),
            read.decimal(document, "transactionValue"),
            _currency(document),
            read.decimal(document, "quantity"),
            read.number(document, "eventScore"),
            read.integer(document, "totalEvent", bits=64),
            read.texts(document, "segmentIds"),
            read.texts(document, "assetGroupIds"),
            read.text(document, "targetMediaUnitId"),
            read.timestamp(document, "createdAt"),
            read.timestamp(document, "updatedAt"),
            None,
            None,
            read.text(document, "_rev"),
            orjson.Fragment(content),
            digest,
        )


def _vertex_key(value: Any, name: str, collection: str | None = None) -> str:
    found, _, key = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not key or (collection and found != collection):
        raise RejectedDocumentError(
            "not_a_vertex", f"$.{name}", f"{name} does not name a document of {collection or 'a collection'}"
        )
    return key


def _currency(document: Document) -> str | None:
    value = read.text(document, "currencyCode")
    if value is None:
        return None
    code = value.strip().upper()
    # ISO 4217's code for no currency.
    if code == "XXX":
        return None
    if code not in currencies.money():
        raise RejectedDocumentError("not_a_currency", "$.currencyCode", "currencyCode is no currency of ISO 4217")
    return code


def _profile_ids(collection: str, values: Sequence[Any]) -> typed.Column:
    return typed.each(values, lambda value: _vertex_key(value, "_from", collection))


def _product_ids(values: Sequence[Any]) -> typed.Column:
    return typed.each(values, lambda value: _vertex_key(value, "_to") if value else None)


def _currencies(values: Sequence[Any]) -> typed.Column:
    # A tenant has few currencies.
    known = cache(lambda value: _currency({"currencyCode": value}))
    return typed.each(values, known)
