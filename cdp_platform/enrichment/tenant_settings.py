"""A tenant's settings in this room."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from cdp_platform.ops.tenants import RoomSettings

# Stored as a text, since a number of JSON is not exact. The word `none` takes a limit away.
_Limit = Annotated[
    Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None,
    BeforeValidator(lambda value: None if value == "none" else value),
    PlainSerializer(lambda value: None if value is None else str(value)),
]


class EnrichmentTenantSettings(RoomSettings):
    """The life of a tenant's answers, and the most that its searches may use.

    Attributes:
        enrichment_match_days: days after which a person who was found is asked about again.
        enrichment_no_match_days: days after which a person who was not found is asked about again.
        enrichment_credit_limit: most credits of all its searches together; None: no limit.
        enrichment_daily_credits: most credits per day (UTC); ``ENRICHMENT_DAILY_CREDITS`` if None.
        enrichment_daily_budget: most that they may cost per day (UTC), in ``APOLLO_CREDIT_CURRENCY``;
            ``ENRICHMENT_DAILY_BUDGET`` if None.
    """

    enrichment_match_days: int = Field(default=90, ge=1)
    enrichment_no_match_days: int = Field(default=30, ge=1)
    enrichment_credit_limit: _Limit = None
    enrichment_daily_credits: _Limit = None
    enrichment_daily_budget: _Limit = None
