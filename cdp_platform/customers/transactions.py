"""How an edge of ``cdp_profile2conversion`` becomes a row of ``customers.transactions``.

Grain: one row per edge, that is per product line of an order; the lines of one order share ``order_id``. Amounts are
exact decimals with their currency. If the source has no currency, none is assumed.
"""

from typing import Any

import orjson

from cdp_platform import currencies, settings
from cdp_platform.customers import documents as read
from cdp_platform.customers.documents import Document
from cdp_platform.customers.plain_mapper import PlainMapper
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.load import Target

COLLECTION = "cdp_profile2conversion"

# Raise it when the same document gives another row: the next sync then reads everything again.
VERSION = 2

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

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row, in the order of ``TARGET.columns``.

        Raises:
            RejectedDocumentError: a field has a wrong type or value.
        """
        _, profile_id = _vertex(document, "_from", self._profiles)
        product_id = _vertex(document, "_to")[1] if document.get("_to") else None
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


def _vertex(document: Document, name: str, collection: str | None = None) -> tuple[str, str]:
    value = document.get(name)
    found, _, key = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not key or (collection and found != collection):
        raise RejectedDocumentError(
            "not_a_vertex", f"$.{name}", f"{name} does not name a document of {collection or 'a collection'}"
        )
    return found, key


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
