"""The settings that a tenant may have differently, in every room."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops.tenants import RoomSettings, SharedSettings, problems_of, refused
from cdp_platform.referrals.tenant_settings import ReferralSettings

MODELS: tuple[type[RoomSettings], ...] = (
    *(SharedSettings, CustomerSettings, ReferralSettings, CampaignSettings, EnrichmentTenantSettings),
)


def checked(tenant_id: str, given: Mapping[str, Any]) -> list[RoomSettings]:
    """Settings by name as each room's model has them, for `tenants.add`.

    Raises:
        ConfigurationError: some are not usable or not known; names all of these, of every room.
    """
    names = {name for model in MODELS for name in model.model_fields}
    problems = [f"{name}: there is no such setting" for name in given if name not in names]
    found = []
    for model in MODELS:
        try:
            found.append(model.model_validate({name: given[name] for name in model.model_fields if name in given}))
        except ValidationError as error:
            problems += problems_of(error)
    if problems:
        raise refused(tenant_id, problems)
    return found
