"""What all rooms keep for a time, together."""

from cdp_platform import settings
from cdp_platform.embeddings import retention as embeddings
from cdp_platform.ops import retention as ops
from cdp_platform.ops.retention import Kept
from cdp_platform.referrals import retention as referrals


def kept() -> list[Kept]:
    """What is kept how long, as the environment says; raises ConfigurationError naming each variable that is wrong."""
    days = settings.retention()
    return [*ops.shared(days), *embeddings.kept(days), *referrals.kept(days)]
