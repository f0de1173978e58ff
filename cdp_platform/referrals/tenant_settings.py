"""A tenant's settings in this room."""

from cdp_platform.ops.tenants import RoomSettings


class ReferralSettings(RoomSettings):
    """The place of a tenant's worksheets, and the content that they show.

    Attributes:
        google_sheet_id: the spreadsheet that its worksheets are in; ``GOOGLE_SHEET_ID`` if empty.
        share_full_ip: worksheets show whole IP addresses, and not two octets of them.
    """

    google_sheet_id: str = ""
    share_full_ip: bool = False
