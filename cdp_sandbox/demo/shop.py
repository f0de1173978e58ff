"""What the customers of an invented tenant meet: its product items, its touchpoints and its segments.

Here belong the documents of which a tenant has a handful. Customers and their purchases are made in `retail.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdp_sandbox.demo.markets import Good, Market
from cdp_sandbox.demo.model import Document, key_of, stamp


@dataclass(frozen=True)
class Facts:
    """What is known of a customer when its segments are decided.

    Attributes:
        orders: Number of orders ever.
        last_order: When the last one was, or None.
        main_currency: All of its orders are in the currency of the tenant.
        city: Where the customer lives; empty when unknown.
        newsletter: The customer agreed to e-mail.
        keywords: Keywords of the goods bought.
    """

    orders: int
    last_order: datetime | None
    main_currency: bool
    city: str
    newsletter: bool
    keywords: frozenset[str]


@dataclass(frozen=True)
class SegmentRule:
    """A segment: its name, the rule as LEO CDP stores it, and the same rule over a customer's facts."""

    name: str
    rule: Document
    holds: Callable[[Facts, datetime], bool]


def product_key(market: Market, good: Good) -> str:
    """Return the key of a good's product item."""
    return key_of(market.tenant.id, "product", good.title)


def products(market: Market, reference: datetime) -> list[Document]:
    """Build one product item per good."""
    return [
        {
            "_key": product_key(market, good),
            "title": good.title,
            "productId": f"SKU-{number:04}",
            "productIdType": "item_ID",
            "fullUrl": f"https://shop.example.com/{market.tenant.id}/p/{number:04}",
            "assetGroupIds": [good.group],
            "keywords": [good.keyword],
            "originalPrice": good.price,
            "salePrice": good.price,
            "priceCurrency": market.tenant.settings["currency"],
            "status": 1,
            "createdAt": stamp(reference - timedelta(days=900 - number)),
            "updatedAt": stamp(reference - timedelta(days=number + 1)),
        }
        for number, good in enumerate(market.goods, start=1)
    ]


def touchpoints(market: Market, reference: datetime) -> list[Document]:
    """Build a web page per good and one shop per place; some lack a name or a host, as in real databases."""
    pages = [
        {"name": good.title, "type": 1, "url": f"https://shop.example.com/{market.tenant.id}/p/{number:04}"}
        for number, good in enumerate(market.goods, start=1)
    ]
    shops = [
        {"name": f"{market.tenant.name}, {place.streets[0]}, {place.city}", "type": 5, "url": ""}
        for place in market.places
    ]
    return [
        {
            "_key": key_of(market.tenant.id, "touchpoint", number),
            **touchpoint,
            "name": None if number % 11 == 5 else touchpoint["name"],
            "hostname": "shop.example.com" if touchpoint["url"] and number % 13 else None,
            "parentId": "",
            "latitude": 0,
            "longitude": 0,
            "status": 1,
            "createdAt": stamp(reference - timedelta(days=800 - number)),
            "updatedAt": stamp(reference - timedelta(days=800 - number)),
        }
        for number, touchpoint in enumerate(pages + shops)
    ]


def segment_rules(market: Market) -> list[SegmentRule]:
    """Return the segments of a market and who belongs in them."""
    city = market.places[0].city

    def rule(field: str, operator: str, value: object) -> Document:
        return {"condition": "AND", "rules": [{"id": field, "field": field, "operator": operator, "value": value}]}

    return [
        SegmentRule("Repeat Buyers", rule("totalPurchases", "greater_or_equal", 3), lambda c, _: c.orders >= 3),
        SegmentRule(
            "New Customers",
            rule("daysSinceFirstPurchase", "less", 60),
            lambda c, now: c.orders == 1 and c.last_order is not None and now - c.last_order < timedelta(days=60),
        ),
        SegmentRule(
            "Lapsed Customers",
            rule("daysSinceLastPurchase", "greater", 180),
            lambda c, now: c.last_order is not None and now - c.last_order > timedelta(days=180),
        ),
        SegmentRule("Never Bought", rule("totalPurchases", "equal", 0), lambda c, _: c.orders == 0),
        SegmentRule("Newsletter", rule("receiveEmail", "equal", 1), lambda c, _: c.newsletter),
        SegmentRule(f"Lives in {city}", rule("livingCity", "equal", city), lambda c, _: c.city == city),
        SegmentRule(
            "Coffee Lovers", rule("productKeywords", "contains", "coffee"), lambda c, _: "coffee" in c.keywords
        ),
        SegmentRule(
            "Pays in Another Currency", rule("currencyCode", "not_equal", ""), lambda c, _: not c.main_currency
        ),
    ]


def segment_key(market: Market, name: str) -> str:
    """Return the key of a segment."""
    return key_of(market.tenant.id, "segment", name)


def segments(market: Market, reference: datetime, profiles: list[Document]) -> list[Document]:
    """Build the segments with the number of active profiles that carry them, and one deleted segment."""
    rules = segment_rules(market)
    members = {rule.name: 0 for rule in rules}
    for profile in profiles:
        # A broken profile has something else there, which LEO CDP would not count either.
        if profile["status"] == 1 and isinstance(profile["inSegments"], list):
            for segment in profile["inSegments"]:
                members[segment["name"]] += 1
    living = [
        _segment(market, reference, number, rule.name)
        | {"jsonQueryRules": json.dumps(rule.rule, ensure_ascii=False), "totalCount": members[rule.name]}
        for number, rule in enumerate(rules, start=1)
    ]
    return [*living, _segment(market, reference, len(rules) + 1, "Spring Sale 2024") | {"status": -4}]


def _segment(market: Market, reference: datetime, number: int, name: str) -> Document:
    return {
        "_key": segment_key(market, name),
        "name": name,
        "description": "",
        "type": 0,
        # 2 is a segment that a campaign has activated; it is as alive as 1.
        "status": 2 if number == 2 else 1,
        "realtimeQuery": False,
        "autoUpdateProfiles": True,
        "jsonQueryRules": "{}",
        "customQueryFilter": "",
        "queryHashedId": key_of(market.tenant.id, "query", name),
        "selectedFields": ["_key", "primaryEmail", "primaryPhone", "inSegments"],
        "totalCount": 0,
        "indexScore": number,
        "forDeepAnalytics": True,
        "managedBySystem": False,
        "ownerUsername": "demo",
        "authorizedEditors": [],
        "authorizedViewers": [],
        "createdAt": stamp(reference - timedelta(days=400 - number)),
        "updatedAt": stamp(reference - timedelta(days=30, minutes=number)),
    }
