"""An entry of channels.yaml: the fields and duties that channels of every kind have."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cdp_platform.campaigns.channels.contract import Answer, Sender

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
PER_HOUR = 3600


@dataclass(frozen=True)
class Letter:
    """A message as it was rendered for one person.

    Attributes:
        key: the delivery's.
        address: the person's.
        subject: in one line; '' for channels without one.
        text: the text in pieces, those that are the same for everybody and those of the person in turn.
        html: the HTML, likewise; empty without.
        opt_out: the link that opts the address out, by one click too; '' of messages to people who run the platform.
    """

    key: str
    address: str
    subject: str
    text: Sequence[str]
    html: Sequence[str]
    opt_out: str


@dataclass(frozen=True)
class Occasion:
    """The event that messages belong to, for what a provider groups them by; nothing of a person."""

    tenant_id: str
    campaign_code: str
    event_id: str


Writer: TypeAlias = Callable[[Letter], bytes]
"""Makes the content of `Outgoing`."""


class ChannelEntry(BaseModel, ABC):
    """One channel, as `contract.Channel` wants it; its kind says which protocol it speaks.

    Attributes:
        name: what consent, caps and suppression go by.
        kind: which protocol it speaks.
        aliases: other names that events and files may use for it.
        to: which address of a person it uses.
        connections: most connections that one run has open at once.
        per_minute: most messages in a minute, of all processes together.
        per_day: most messages in 24 hours.
        key_hours: how long the provider honours a key, so that a message whose answer was lost may go again.
        outcome_secret: what the provider signs its reports with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    name: Name
    kind: str
    aliases: tuple[Name, ...] = ()
    to: Literal["email", "phone"]
    connections: int = Field(default=4, ge=1, le=64)
    per_minute: int | None = Field(default=None, ge=1)
    per_day: int | None = Field(default=None, ge=1)
    key_hours: float = Field(default=0, ge=0, le=24 * 30)
    outcome_secret: SecretStr = SecretStr("")

    @property
    def key_seconds(self) -> float:
        """How long the provider honours a key."""
        return self.key_hours * PER_HOUR

    @property
    def can_answer(self) -> bool:
        """Whether it can be asked what became of a key."""
        return False

    def beside(self, folder: Path) -> Self:
        """The same entry, whose relative paths start from the folder of channels.yaml."""
        return self

    @abstractmethod
    def writer(self, occasion: Occasion) -> Writer:
        """Writes the messages of one event; what is the same in all of them is made once."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Sender]:
        """See `contract.Channel.open`."""

    def ask(self, key: str) -> Answer | None:
        """See `contract.Channel.ask`."""
        raise NotImplementedError(f"a channel of this kind cannot be asked about {key}")

    @abstractmethod
    def look(self) -> str:
        """See `contract.Channel.look`."""
