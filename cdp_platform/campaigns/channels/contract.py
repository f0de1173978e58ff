"""How deliveries and channels talk to each other: a message, its answer, and who sends it.

A channel knows one protocol. It keeps no state between messages but its connections, and it decides nothing about a
person: `dispatch` turns its answers into states of deliveries.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """The meaning of an answer for the delivery."""

    ACCEPTED = "accepted"
    """The provider has it: confirmed."""
    NOT_TAKEN = "not_taken"
    """It certainly did not arrive: back to reserved, no attempt counted. Counts for the breaker."""
    REST = "rest"
    """The provider asks everybody to wait: back to reserved, no attempt counted, and the channel rests."""
    LATER = "later"
    """Not this person now: back to reserved, one attempt counted, with a growing wait."""
    FAILED = "failed"
    """Refused for good."""
    BAD_ADDRESS = "bad_address"
    """Refused for good because the address does not work: failed, and the address is suppressed."""
    OURS = "ours"
    """Refused for who we are: back to reserved, no attempt counted. Counts for the breaker, never against a person."""
    UNKNOWN = "unknown"
    """It may have been taken, and no answer came."""


@dataclass(frozen=True)
class Answer:
    """The provider's answer to one message.

    Attributes:
        verdict: what it means.
        code: the provider's code, such as ``250``, ``550 5.1.1`` or ``HTTP 503``.
        reason: in words without data of a person; for logs and the breaker.
        retry_after_seconds: how long the provider asks to wait, if it says so.
    """

    verdict: Verdict
    code: str = ""
    reason: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Outgoing:
    """One message, ready to be sent.

    Attributes:
        key: Message-ID and Idempotency-Key; the same for every attempt.
        address: e-mail address, phone number in E.164, or whatever the channel takes.
        content: bytes of the whole message: RFC 5322 for e-mail, JSON for a webhook.
    """

    key: str
    address: str
    content: bytes


class Sender(Protocol):
    """Open connections to one provider."""

    def send(self, batch: Sequence[Outgoing]) -> Sequence[Answer]:
        """Send these messages, over several connections at once; one answer each, in their order. Raises nothing."""
        ...


class Channel(Protocol):
    """One channel of channels.yaml.

    Attributes:
        name: as in channels.yaml; what consent, caps and suppression go by.
        kind: ``email`` or ``webhook``.
        to: which address of a person it uses: ``email`` or ``phone``.
        per_minute: most messages in a minute, for all processes; None without a limit.
        per_day: most messages in 24 hours.
        key_seconds: how long the provider honours a key; 0 if it does not. So long may an unknown message go again.
        can_answer: whether it can be asked what became of a key.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def to(self) -> str: ...  # noqa: D102
    @property
    def per_minute(self) -> int | None: ...  # noqa: D102
    @property
    def per_day(self) -> int | None: ...  # noqa: D102
    @property
    def key_seconds(self) -> float: ...  # noqa: D102
    @property
    def can_answer(self) -> bool: ...  # noqa: D102

    def open(self) -> AbstractContextManager[Sender]:
        """A sender, whose connections close at the end. Nothing is connected before the first message."""
        ...

    def ask(self, key: str) -> Answer | None:
        """The answer about a key, from a channel that can answer; None where it does not know the key.

        Raises:
            SourceError: it did not answer.
        """
        ...

    def look(self) -> str:
        """Whether it can be reached and signs in, for `cdp health`: what was found, in one line.

        Raises:
            PlatformError: it cannot be used; says what to do.
        """
        ...
