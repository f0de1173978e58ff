"""How a document of ``cdp_segment`` becomes a row of ``customers.cdp_segments``.

Grain: one row per segment and tenant. A segment that the CDP removed has a closed row with the reason. Who is in a
segment stands with the profiles (``cdp_profiles.segments``), as the CDP has it.
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from cdp_platform.customers import documents as read
from cdp_platform.customers.documents import Document
from cdp_platform.customers.plain_mapper import PlainMapper
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse.load import Target

COLLECTION = "cdp_segment"

# Raise it when the same document gives another row: the next sync then reads everything again.
VERSION = 1

# Time of closing of a segment that has no date at all.
_EPOCH = datetime.fromtimestamp(0, UTC)
# Status of LEO CDP's class Segment; a segment of status 0 is asked on demand, and counts.
_CLOSING_STATUS = {-1: "invalid", -4: "removed", -44: "dead"}

TARGET = Target(
    schema="customers",
    table="cdp_segments",
    key="segment_id",
    columns=(
        ("tenant_id", "text"),
        ("segment_id", "text"),
        ("name", "text"),
        ("description", "text"),
        ("segment_type", "int4"),
        ("status_code", "int4"),
        ("closed_reason", "text"),
        ("closed_at", "timestamptz"),
        ("json_query_rules", "text"),
        ("custom_query_filter", "text"),
        ("total_count", "int8"),
        ("index_score", "int4"),
        ("managed_by_system", "bool"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("revision", "text"),
        ("document", "jsonb"),
        ("document_hash", "bytea"),
    ),
)


class SegmentMapper(PlainMapper):
    """Maps the segments of one tenant."""

    collection = COLLECTION
    target = TARGET
    version = VERSION

    def persons(self, document: Document) -> list[str]:
        """None, as the document describes a group."""
        return []

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row, in the order of ``TARGET.columns``.

        Raises:
            RejectedDocumentError: a field has a wrong type or value.
        """
        status_code = read.integer(document, "status")
        closed_reason = _CLOSING_STATUS.get(status_code, "invalid") if status_code and status_code < 0 else None
        created_at = read.timestamp(document, "createdAt")
        updated_at = read.timestamp(document, "updatedAt")
        return (
            self._tenant_id,
            read.key(document),
            read.text(document, "name"),
            read.text(document, "description"),
            read.integer(document, "type"),
            status_code,
            closed_reason,
            (updated_at or created_at or _EPOCH) if closed_reason else None,
            _rules(document),
            read.text(document, "customQueryFilter"),
            read.integer(document, "totalCount", bits=64),
            read.integer(document, "indexScore"),
            _flag(document, "managedBySystem"),
            created_at,
            updated_at,
            read.text(document, "_rev"),
            orjson.Fragment(content),
            digest,
        )


def _rules(document: Document) -> str | None:
    """The tree as JSON text, which the CDP writes; an object is taken as well."""
    value = document.get("jsonQueryRules")
    return orjson.dumps(value).decode() if isinstance(value, dict) else read.text(document, "jsonQueryRules")


def _flag(document: Document, name: str) -> bool | None:
    value = document.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise RejectedDocumentError("not_a_flag", f"$.{name}", f"{name} is neither true nor false")
