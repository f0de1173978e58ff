"""The kinds of channels that there are; a new kind is a class of its own file and its name here."""

from typing import Annotated, TypeAlias

from pydantic import Field

from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.channels.webhook import WebhookChannel

AnyChannel: TypeAlias = Annotated[EmailChannel | WebhookChannel, Field(discriminator="kind")]
