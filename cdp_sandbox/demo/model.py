"""What the demo tenants share: who they are, how many documents there are, and LEO CDP's keys and time stamps.

Here belong facts that every generator needs. The documents themselves are made in `retail.py` and `cdnow.py`, and
written in `fill.py`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Document = dict[str, Any]
Collections = dict[str, list[Document]]
"""Documents by the collection they belong in."""

Scale = Literal["small", "default", "large", "full"]
"""How much: for tests, for a demo, ten times a demo, and a demo with the whole of CDNOW."""

PROFILES = "cdp_profile"
CONVERSIONS = "cdp_profile2conversion"
PRODUCTS = "cdp_productitem"
TOUCHPOINTS = "cdp_touchpoint"
SEGMENTS = "cdp_segment"
JOURNEY = "id_default_journey"
"""The journey map that every profile of LEO CDP is in."""

REFERENCE = datetime(2026, 11, 1, tzinfo=UTC)
"""The moment that stands for "now" in generated documents when nobody names one."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Two digits at a time, the lower first: keys are a good part of the time that the demo takes to be written.
_PAIRS = [low + high for high in _BASE62 for low in _BASE62]


@dataclass(frozen=True)
class DemoTenant:
    """A tenant of the demo.

    Attributes:
        id: Tenant id, also the partition key.
        name: What a person reads.
        database: Its ArangoDB database.
        settings: Its settings on the platform: the region in which phone numbers without a country code are read,
            the currency it mostly sells in, and the time zone of its days.
        spreadsheet: Where its worksheets of referrals are; empty where there are no referrals.
        remark: What has to be known of its data to judge a check that fails.
    """

    id: str
    name: str
    database: str
    settings: Mapping[str, str]
    spreadsheet: str = ""
    remark: str = ""

    @property
    def title(self) -> str:
        """The name with the remark, as the platform shows it wherever a check speaks of the tenant."""
        return f"{self.name} ({self.remark})" if self.remark else self.name


_BROKEN = "demo: some of its documents are broken on purpose"

SAIGON = DemoTenant(
    "saigon",
    "Saigon Retail",
    "leo_cdp_saigon",
    {"phone_region": "VN", "currency": "VND", "time_zone": "Asia/Ho_Chi_Minh"},
    spreadsheet="saigon-referrals",
    remark=_BROKEN,
)
HARBOUR = DemoTenant(
    "harbour",
    "Harbour Goods",
    "leo_cdp_harbour",
    {"phone_region": "US", "currency": "USD", "time_zone": "America/New_York"},
    spreadsheet="harbour-referrals",
    remark=_BROKEN,
)
CDNOW = DemoTenant(
    "cdnow", "CDNOW 1997-98", "cdnow", {"phone_region": "US", "currency": "USD", "time_zone": "America/New_York"}
)
TENANTS = (SAIGON, HARBOUR, CDNOW)

VALUED_AT = {"VND": (125_000, 12_500_000)}
"""What acquiring a customer costs, and the lifetime value of a happy one, where the platform has no default."""


def key_of(*parts: object) -> str:
    """Return a document key like LEO CDP's: 22 letters and digits, the same for the same parts."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:16])
    pairs = []
    for _ in range(11):
        number, pair = divmod(number, 62 * 62)
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


def conversion_key(edge: Document, created: datetime) -> str:
    """Return the key that LEO CDP gives to a conversion. The value is part of it, the profile's present key is not.

    Merging profiles re-points `_from` and keeps the key.
    """
    names = ("transactionValue", "eventMetricId", "_from", "_to", "transactionId")
    return key_of(*(edge[name] for name in names), int(created.timestamp() * 1000))


def stamp(moment: datetime) -> str:
    """Write a moment as LEO CDP does: ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def conversion(
    *,
    profile: str,
    product: str,
    metric: str,
    transaction: str,
    value: float,
    currency: str | None,
    quantity: int,
    created: datetime,
    groups: list[str] | None = None,
) -> Document:
    """Build the edge of one product line of one order, as it is when the event has been seen once.

    Args:
        profile: Key of the buyer's profile.
        product: Key of the product item.
        metric: What happened: `purchase`, `first-purchase` ...
        transaction: The order, shared by all of its lines; may be empty.
        value: Quantity times the price of one piece, in units of the currency.
        currency: ISO 4217 code, or None where the shop did not send it.
        quantity: Pieces.
        created: When it happened.
        groups: Ids of the product's asset groups.
    """
    edge: Document = {
        "_from": f"{PROFILES}/{profile}",
        "_to": f"{PRODUCTS}/{product}",
        "eventMetricId": metric,
        "eventScore": 100,
        "totalEvent": 0,
        "quantity": quantity,
        "transactionId": transaction,
        "transactionValue": value,
        "currencyCode": currency,
        "assetGroupIds": groups or [],
        "segmentIds": [],
        "indexScore": 0,
        "targetMediaUnitId": "",
        "createdAt": stamp(created),
        "updatedAt": stamp(created),
    }
    return {"_key": conversion_key(edge, created), **edge}
