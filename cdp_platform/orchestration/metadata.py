"""Builders of the metadata that every room puts on its assets: for looking, plotting and finding the table."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from cdp_platform.warehouse.load import Target


def table(target: Target) -> dict[str, Any]:
    """Definition metadata of an asset that is a table: its name and columns."""
    columns = [dg.TableColumn(name, kind) for name, kind in target.columns]
    return {"dagster/table_name": target.name, "dagster/column_schema": dg.TableSchema(columns=columns)}


def counts(caption: str, figures: Mapping[str, int]) -> dg.MetadataValue:
    """A small table of counts by name, in markdown."""
    lines = [f"| {caption} | count |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in figures.items())]
    return dg.MetadataValue.md("\n".join(lines) if figures else "none")
