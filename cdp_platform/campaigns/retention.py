"""Rows of this room that are kept for a time."""

from collections.abc import Sequence

from cdp_platform.ops.retention import Kept
from cdp_platform.settings import RetentionSettings
from cdp_platform.warehouse.statements import statement


def kept(settings: RetentionSettings) -> Sequence[Kept]:
    """Audiences and deliveries of events that ended, and what was reported of them.

    Events, consent, suppression and the effect of events stay. So do unresolved deliveries with their audiences, and
    the deliveries of confirmations, which go to an address once for ever.
    """
    days = settings.delivery_retention_days
    return (
        Kept("campaigns.delivery_outcome", days, statement("campaigns", "old_outcomes")),
        Kept("campaigns.delivery_log", days, statement("campaigns", "old_deliveries")),
        Kept("campaigns.segment_snapshot_member", days, statement("campaigns", "old_members")),
        Kept("campaigns.segment_snapshot", days, statement("campaigns", "old_snapshots")),
    )
