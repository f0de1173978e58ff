"""Documents as LEO CDP has them, by number: the same number always gives the same document.

About 900 bytes each as JSON. Keys, contacts and orders are all distinct, `updatedAt` ascends with the number, and keys
are in no order, as hashes are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

PROFILES = "cdp_profile"
CONVERSIONS = "cdp_profile2conversion"

_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
# 400,000 documents take five months at this pace, so no stamp lies in the future.
_STEP = timedelta(milliseconds=31_337)
_FIRST_NAMES = "An Binh Chi Dung Giang Hanh Khanh Lan Minh Nam Oanh Phuong Quang Son Thao Uyen Vy".split()
_LAST_NAMES = "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ".split()
_CITIES = ["Ho Chi Minh City", "Hanoi", "Da Nang", "Can Tho", "Hai Phong", "Nha Trang", "Hue"]
_STREETS = ["Lê Lợi", "Nguyễn Huệ", "Trần Hưng Đạo", "Hai Bà Trưng", "Điện Biên Phủ"]
_KEYWORDS = "dividends fashion coffee travel running gardening photography cooking music cinema".split()
_PRODUCTS = "iphone laptop headphones sneakers backpack watch camera bicycle".split()
_SEGMENTS = [
    "Happy Customers",
    "First Purchase",
    "At Risk",
    "Newsletter Readers",
    "Weekend Shoppers",
    "High Value",
    "Lapsed",
]
_EVENTS = ["purchase", "first-purchase", "made-payment", "subscribe", "booking"]
# Pages of a web site: many profiles have seen the same ones.
_TOUCHPOINTS = 2_000


def key(kind: str, number: int) -> str:
    """The `_key` of the document of this number: 22 characters in no order."""
    return blake2b(f"{kind} {number}".encode(), digest_size=11).hexdigest()


def document(collection: str, number: int) -> dict[str, Any]:
    """One profile or conversion edge."""
    return {PROFILES: _profile, CONVERSIONS: _conversion}[collection](number)


def touchpoint(touchpoint_key: str) -> dict[str, Any]:
    """What the platform asks of a touchpoint."""
    url = f"https://shop.example.com/{touchpoint_key}"
    return {"id": touchpoint_key, "hostname": "shop.example.com", "name": "Shop", "url": url, "parentId": ""}


def _stamp(number: int, *, days_before: int = 0) -> str:
    moment = _BEGINNING + number * _STEP - timedelta(days=days_before)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of(values: Sequence[str], number: int, *, salt: int = 1) -> str:
    return values[number * salt % len(values)]


def _profile(number: int) -> dict[str, Any]:
    profile_key = key("profile", number)
    email, phone = f"customer.{number}@example.com", f"+849{number % 100_000_000:08}"
    segments = [number % len(_SEGMENTS), (number + 3) % len(_SEGMENTS)]
    return {
        "_key": profile_key,
        "_id": f"{PROFILES}/{profile_key}",
        "_rev": f"_h{number:09x}---",
        "type": 2,
        "status": 1,
        "identities": [f"email:{email}", f"phone:{phone}"],
        "primaryEmail": email,
        "primaryPhone": phone,
        "firstName": _of(_FIRST_NAMES, number),
        "lastName": _of(_LAST_NAMES, number, salt=5),
        "gender": number % 2,
        "age": 18 + number % 60,
        "livingLocation": f"{number % 400} {_of(_STREETS, number)}",
        "livingCity": _of(_CITIES, number),
        "livingCountry": "Vietnam",
        "dataLabels": ["VIP"] if number % 10 == 0 else [],
        "contentKeywords": [_of(_KEYWORDS, number), _of(_KEYWORDS, number, salt=3)],
        "productKeywords": [_of(_PRODUCTS, number)],
        "mediaChannels": ["EMAIL", "ZALO"],
        "inSegments": [
            {"id": key("segment", each), "name": _SEGMENTS[each], "type": "", "indexScore": each} for each in segments
        ],
        "eventStatistics": {"page-view": number % 500, "purchase": number % 7},
        "topEngagedTouchpointIds": [key("touchpoint", number * 7 % _TOUCHPOINTS)],
        "receiveEmail": 1,
        "extAttributes": {},
        "createdAt": _stamp(number, days_before=30 + number % 700),
        "updatedAt": _stamp(number),
    }


def _conversion(number: int) -> dict[str, Any]:
    edge_key = key("conversion", number)
    bought_at = _stamp(number)
    return {
        "_key": edge_key,
        "_id": f"{CONVERSIONS}/{edge_key}",
        "_rev": f"_h{number:09x}---",
        # Orders of two lines, three orders each.
        "_from": f"{PROFILES}/{key('profile', number // 6)}",
        "_to": f"cdp_productitem/{key('product', number % 5_000)}",
        "eventMetricId": _of(_EVENTS, number),
        "eventScore": 100,
        "totalEvent": 1 + number % 4,
        "quantity": 1 + number % 3,
        "transactionId": f"ORD-2025-{number // 2:08}",
        "transactionValue": 1_000 * (1 + number * 7 % 20_000) + 0.5 * (number % 2),
        "currencyCode": "VND",
        "segmentIds": [key("segment", (number + each) % 40) for each in range(7)],
        "assetGroupIds": [key("asset-group", (number + each) % 60) for each in range(7)],
        "indexScore": number % 100,
        "targetMediaUnitId": key("media-unit", number % 300),
        "createdAt": bought_at,
        "updatedAt": bought_at,
    }
