"""A tenant's settings in this room."""

from pydantic import field_validator

from cdp_platform.ops.tenants import RoomSettings


class CustomerSettings(RoomSettings):
    """How a tenant's customers are read.

    Attributes:
        phone_region: ISO 3166 region that a phone number without country code belongs to, such as ``VN``.
        shared_database: the ArangoDB database holds documents of several tenants; only those whose ``tenant_id``
            is this tenant are read.
    """

    phone_region: str = "VN"
    shared_database: bool = False

    @field_validator("phone_region")
    @classmethod
    def _a_region_that_phonenumbers_knows(cls, value: str) -> str:
        from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415 (heavy; definitions load without it)

        if value not in SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is no ISO 3166 region with phone numbers; use one like VN or US")
        return value
