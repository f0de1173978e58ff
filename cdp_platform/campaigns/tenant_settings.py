"""A tenant's settings in this room."""

from datetime import time
from typing import Annotated

from pydantic import Field

from cdp_platform.ops.tenants import RoomSettings


class CampaignSettings(RoomSettings):
    """Settings of a tenant that say to whom, how often and when it may send messages.

    The defaults of caps and quiet hours are those of Vietnam's Decree 91/2020/ND-CP on unwanted messages.

    Attributes:
        trust_cdp_consent: a 1 of the CDP counts as consent. The CDP sets it by itself when an address is entered.
        cap_messages: most messages to a person in the window, through all channels together.
        cap_by_channel: most messages to a person in the window through a channel, where that is less.
        cap_hours: length of the window, in hours.
        quiet_from: local time of a person from which nothing is sent. Equal to ``quiet_until``: no quiet hours.
        quiet_until: local time until which nothing is sent.
        holdout_share: share of all people who get no message, so that the effect of all messages can be measured.
        postal_address: the sender's, which stands in the foot of each e-mail.
    """

    trust_cdp_consent: bool = False
    cap_messages: int = Field(default=3, ge=1)
    cap_by_channel: dict[str, Annotated[int, Field(ge=1)]] = Field(default={})
    cap_hours: int = Field(default=24, ge=1, le=24 * 366)
    quiet_from: time = time(22)
    quiet_until: time = time(7)
    holdout_share: float = Field(default=0, ge=0, lt=1)
    postal_address: str = ""
