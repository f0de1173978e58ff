"""The rows of all rooms that are kept for a time."""

from cdp_platform import settings
from cdp_platform.campaigns import retention as campaigns
from cdp_platform.embeddings import retention as embeddings
from cdp_platform.enrichment import retention as enrichment
from cdp_platform.ops import retention as ops
from cdp_platform.ops.retention import Kept
from cdp_platform.referrals import retention as referrals


def kept() -> list[Kept]:
    """The rows and how long they are kept, as the environment says.

    Raises:
        ConfigurationError: a variable is wrong; names each that is.
    """
    days = settings.retention()
    rooms = (embeddings, referrals, campaigns, enrichment)
    return [*ops.shared(days), *(each for room in rooms for each in room.kept(days))]
