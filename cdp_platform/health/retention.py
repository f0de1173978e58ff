"""The rows of all rooms that are kept for a time."""

from cdp_platform import settings
from cdp_platform.campaigns import retention as campaigns
from cdp_platform.embeddings import retention as embeddings
from cdp_platform.ops import retention as ops
from cdp_platform.ops.retention import Kept
from cdp_platform.referrals import retention as referrals


def kept() -> list[Kept]:
    """The rows and how long they are kept, as the environment says.

    Raises:
        ConfigurationError: a variable is wrong; names each that is.
    """
    days = settings.retention()
    return [*ops.shared(days), *embeddings.kept(days), *referrals.kept(days), *campaigns.kept(days)]
