"""Builders of the metadata that every room puts on its assets, for plots and links to tables."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from cdp_platform.warehouse.columns import columns_of


def table(name: str) -> dict[str, Any]:
    """Definition metadata of an asset that is a table: its name, and what each column holds.

    Args:
        name: with its schema, such as ``customers.cdp_profiles``.
    """
    columns = [
        dg.TableColumn(
            column.name,
            column.type,
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in columns_of(name)
    ]
    return {"dagster/table_name": name, "dagster/column_schema": dg.TableSchema(columns=columns)}


def counts(caption: str, figures: Mapping[str, int]) -> dg.MetadataValue:
    """A small table of counts by name, in markdown."""
    lines = [f"| {caption} | count |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in figures.items())]
    return dg.MetadataValue.md("\n".join(lines) if figures else "none")
