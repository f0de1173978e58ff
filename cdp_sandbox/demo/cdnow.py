"""The CDNOW purchases in LEO CDP's shapes: 69,659 real purchases of 23,570 customers of a CD shop, 1997 and 1998.

Public research data, read from the data file that the package `lifetimes` ships; the package itself is never imported.
One line of the file is one purchase: customer, day, number of CDs, US dollars. Nothing is invented around it: the
profiles have a number and the day of their first and last purchase, and no name, address or segment.
"""

import importlib.metadata
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from cdp_sandbox.demo.model import (
    CDNOW,
    CONVERSIONS,
    PRODUCTS,
    PROFILES,
    SEGMENTS,
    TOUCHPOINTS,
    Collections,
    Document,
    Scale,
    conversion,
    key_of,
    stamp,
)

_CUSTOMERS: dict[Scale, int | None] = {"small": 150, "default": 2_000, "large": 20_000, "full": None}


def collections(scale: Scale) -> Collections:
    """Build the documents of the tenant.

    Args:
        scale: How many customers, from the first in the file on: 150, 2,000, 20,000, or `full` for all of them. Each
            has all of their purchases.
    """
    product = {
        "_key": key_of(CDNOW.id, "cd"),
        "title": "Compact disc",
        "productId": "cd",
        "productIdType": "item_ID",
        "priceCurrency": "USD",
        "status": 1,
        "createdAt": "1997-01-01T00:00:00.000Z",
        "updatedAt": "1997-01-01T00:00:00.000Z",
    }
    profiles: dict[str, Document] = {}
    edges = []
    seen: Counter[tuple[str, str]] = Counter()
    limit = _CUSTOMERS[scale]
    for customer, day, pieces, dollars in _lines():
        if customer not in profiles and len(profiles) == limit:
            break
        bought = datetime.strptime(day, "%Y%m%d").replace(hour=12, tzinfo=UTC)
        seen[customer, day] += 1
        key = key_of(CDNOW.id, customer)
        edges.append(
            conversion(
                profile=key,
                product=product["_key"],
                metric="purchase",
                transaction=f"CDNOW-{customer}-{day}-{seen[customer, day]}",
                value=float(dollars),
                currency="USD",
                quantity=int(pieces),
                created=bought,
            )
        )
        profile = profiles.setdefault(customer, _profile(key, customer, stamp(bought)))
        profile["updatedAt"] = max(profile["updatedAt"], stamp(bought))
    return {
        PROFILES: list(profiles.values()),
        CONVERSIONS: edges,
        PRODUCTS: [product],
        TOUCHPOINTS: [],
        SEGMENTS: [],
    }


def _profile(key: str, customer: str, created: str) -> Document:
    reference = f"CDNOW-{customer}"
    return {
        "_key": key,
        "type": 2,
        "status": 1,
        "rootProfileId": "",
        "crmRefId": reference,
        "identities": [f"crmRefId:{reference}"],
        "primaryEmail": "",
        "secondaryEmails": [],
        "primaryPhone": "",
        "secondaryPhones": [],
        "firstName": "",
        "middleName": "",
        "lastName": "",
        "gender": 7,
        "age": 0,
        "inSegments": [],
        "inJourneyMaps": [],
        "eventStatistics": {},
        "createdAt": created,
        "updatedAt": created,
    }


def _lines() -> list[list[str]]:
    """Return customer, day (YYYYMMDD), pieces and dollars of every purchase, sorted by customer and day in the file."""
    for file in importlib.metadata.files("lifetimes") or []:
        if file.name == "CDNOW_master.txt":
            text = Path(str(file.locate())).read_text()
            return [line.split() for line in text.splitlines()[1:] if line.strip()]
    raise FileNotFoundError("the package lifetimes has no CDNOW_master.txt: install cdp-sandbox again")
