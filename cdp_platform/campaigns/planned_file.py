"""The YAML file of `cdp campaign apply`: campaigns, templates, segments and events, as a person writes them.

Unknown fields are errors. A moment without an offset is in the tenant's time zone. The start of an event with
``local_time`` has no offset at all: it is a clock time, wherever the person is.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdp_platform.configuration_file import wrong

# The same patterns as in the tables.
_Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
_Words = Annotated[str, Field(min_length=1, max_length=1_000)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedCampaign(_Entry):
    """One row of ``campaigns.campaign``."""

    code: _Code
    name: _Words
    objective: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def columns(self, zone: ZoneInfo) -> dict[str, Any]:
        """The row, by column."""
        start, end = (None if each is None else _moment(each, zone) for each in (self.start, self.end))
        return {"code": self.code, "name": self.name, "objective": self.objective, "start_at": start, "end_at": end}


class PlannedTemplate(_Entry):
    """A version of a template. Content is given here, or as a file whose path begins at the folder of this one."""

    template: _Code
    channel_kind: Literal["email", "webhook"]
    subject: str | None = None
    text: str | None = None
    text_file: str | None = None
    html: str | None = None
    html_file: str | None = None
    approve: bool = False

    @model_validator(mode="after")
    def _once(self) -> Self:
        for name in ("text", "html"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise wrong(f"{name}_file", f"is given beside {name}. Leave one out")
        return self


class PlannedSegment(_Entry):
    """A segment by rules, or one of people who are like those of another segment."""

    segment: _EventId
    name: _Words
    rules: dict[str, Any] | None = None
    like: str | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.rules is None) == (self.like is None):
            raise wrong("rules", "or like has to be given: the rules, or the segment that its people are to be like")
        return self


class PlannedEvent(_Entry):
    """One row of ``campaigns.marketing_event``; ``grace_minutes`` is its column ``grace``."""

    event: _EventId
    campaign: _Code
    name: _Words
    description: str | None = None
    type: Literal["message", "confirmation"] = "message"
    channel: str
    segment: str
    template: _Code
    start: datetime
    end: datetime
    grace_minutes: float = Field(default=60, ge=0, le=60 * 24 * 31)
    local_time: bool = False
    rate_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    holdout_share: Decimal = Field(default=Decimal(0), ge=0, lt=1)

    @model_validator(mode="after")
    def _clock_time(self) -> Self:
        if self.local_time and self.start.tzinfo is not None:
            raise wrong("start", "is the clock time of each person, by local_time. Leave its offset out")
        return self

    def columns(self, zone: ZoneInfo, channel: str) -> dict[str, Any]:
        """The row, by column.

        Args:
            zone: the tenant's time zone.
            channel: name of the channel, where the file has an alias.
        """
        return {
            "event_id": self.event,
            "campaign_code": self.campaign,
            "name": self.name,
            "description": self.description,
            "type": self.type,
            "channel": channel,
            "segment_id": self.segment,
            "template": self.template,
            "start_at": self.start.replace(tzinfo=UTC) if self.local_time else _moment(self.start, zone),
            "end_at": _moment(self.end, zone),
            "grace": timedelta(minutes=self.grace_minutes),
            "local_time": self.local_time,
            "rate_per_minute": self.rate_per_minute,
            "holdout_share": self.holdout_share,
        }


class PlannedFile(_Entry):
    """The whole file."""

    campaigns: tuple[PlannedCampaign, ...] = ()
    templates: tuple[PlannedTemplate, ...] = ()
    segments: tuple[PlannedSegment, ...] = ()
    events: tuple[PlannedEvent, ...] = ()


def _moment(value: datetime, zone: ZoneInfo) -> datetime:
    return (value if value.tzinfo is not None else value.replace(tzinfo=zone)).astimezone(UTC)
