"""Rows of this room that are kept for a time."""

from collections.abc import Sequence

from cdp_platform.ops.retention import Kept
from cdp_platform.settings import RetentionSettings
from cdp_platform.warehouse.statements import statement


def kept(settings: RetentionSettings) -> Sequence[Kept]:
    """What was sent to providers and spent there."""
    usage, spend = statement("embeddings", "old_usage"), statement("embeddings", "old_spend")
    return (
        Kept("embeddings.usage", settings.usage_retention_days, usage),
        Kept("embeddings.spend", settings.usage_retention_days, spend),
    )
