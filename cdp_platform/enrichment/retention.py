"""Rows of this room that are kept for a time."""

from collections.abc import Sequence

from cdp_platform.ops.retention import Kept
from cdp_platform.settings import RetentionSettings
from cdp_platform.warehouse.statements import statement


def kept(settings: RetentionSettings) -> Sequence[Kept]:
    """Contacts of searches that ended or were never paid, answers past their life, deliveries, payments, and calls.

    Fields go with their contacts. Searches stay, with the counts and the money of their calls. Calls are kept as long
    as the daily spend, which is the other record of the same money.
    """
    days = settings.enrichment_retention_days
    return (
        Kept("enrichment.contact", days, statement("enrichment", "old_contacts")),
        Kept("enrichment.answer", days, statement("enrichment", "old_answers")),
        Kept("enrichment.phone_delivery", days, statement("enrichment", "old_deliveries")),
        Kept("enrichment.payment_event", days, statement("enrichment", "old_payments")),
        # After answers and deliveries, which refer to them.
        Kept("enrichment.provider_call", settings.usage_retention_days, statement("enrichment", "old_calls")),
        Kept("enrichment.spend", settings.usage_retention_days, statement("enrichment", "old_spend")),
    )
