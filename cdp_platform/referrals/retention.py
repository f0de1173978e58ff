"""Rows of this room that are kept for a time."""

from collections.abc import Sequence

from cdp_platform.ops.retention import Kept
from cdp_platform.settings import RetentionSettings
from cdp_platform.warehouse.statements import statement


def kept(settings: RetentionSettings) -> Sequence[Kept]:
    """Exports of worksheets that a later one has taken the place of."""
    return (Kept("referrals.sheet_export", settings.export_retention_days, statement("referrals", "old_exports")),)
