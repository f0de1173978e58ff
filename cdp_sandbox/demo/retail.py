"""The invented tenants: customers of two retailers and what they bought, in the document shapes of LEO CDP.

Here belongs how customers behave: who buys, how often, in which currency, who was merged or removed, and which few
documents are broken on purpose. Names and prices are in `markets.py`, everything of which there is a handful in
`shop.py`.

Each customer is drawn from a generator of its own, seeded with the tenant and the customer's number. So a customer is
the same at every scale, and two runs give the same bytes. No clock is read: moments lie before the `reference`.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from cdp_sandbox.demo.markets import MARKETS, Good, Market, Place, plain
from cdp_sandbox.demo.model import (
    CONVERSIONS,
    JOURNEY,
    PRODUCTS,
    PROFILES,
    REFERENCE,
    SEGMENTS,
    TOUCHPOINTS,
    Collections,
    DemoTenant,
    Document,
    Scale,
    conversion,
    key_of,
    stamp,
)
from cdp_sandbox.demo.segments import enrol, segment_documents
from cdp_sandbox.demo.shop import product_key, products, touchpoints

_CUSTOMERS: dict[Scale, int] = {"small": 150, "default": 3_000, "large": 30_000, "full": 3_000}
_TITLES = ("Engineer", "Teacher", "Nurse", "Accountant", "Student", "Designer", "Investor", "Sales manager", "Chef")
_INTERESTS = ("travel", "cooking", "football", "dividends", "parenting", "music", "gaming", "gardening", "fitness")
_BAD_EMAILS = ("{name}@@example.com", "{name}(at)example.com", "{name}@", "none")
_BAD_PHONES = ("0123", "n/a", "+000 111", "12-34-56")

# Customers with a fate, by their number's remainder: some of each at every scale.
_MERGED, _INACTIVE, _REMOVED = 17, 23, 41  # of 50, of 50, of 100
_BROKEN_PROFILES = {11: "segments_not_a_list", 29: "created_at_not_a_date", 37: "nul_character"}  # of 600
_BROKEN_EDGES = {44: "amount_not_a_number", 58: "buyer_not_a_profile"}  # of 600


@dataclass
class _Customer:
    number: int
    rng: random.Random
    habit: str
    place: Place
    created: datetime
    profile: Document = field(default_factory=dict)
    edges: list[Document] = field(default_factory=list)
    goods: list[Good] = field(default_factory=list)
    merged: datetime | None = None


def collections(tenant: DemoTenant, scale: Scale, reference: datetime = REFERENCE) -> Collections:
    """Build the documents of an invented tenant.

    Args:
        tenant: `SAIGON` or `HARBOUR`.
        scale: How many customers: 150, 3,000 (`default` and `full`) or 30,000, with some 1.7 purchases each.
        reference: The moment that counts as now. All documents lie before it.
    """
    return _generate(tenant, scale, reference)[0]


def broken_documents(tenant: DemoTenant, scale: Scale, reference: datetime = REFERENCE) -> dict[str, list[str]]:
    """List the documents that are broken on purpose, in the way real ones are.

    Returns:
        By what is wrong, the documents as `collection/key`:

        - `amount_not_a_number`: a conversion's `transactionValue` is the text "n/a".
        - `buyer_not_a_profile`: a conversion's `_from` is in a collection that is not `cdp_profile`.
        - `created_at_not_a_date`: a profile's `createdAt` is the text "yesterday".
        - `nul_character`: a profile's `firstName` contains U+0000, which PostgreSQL cannot store.
        - `segments_not_a_list`: a profile's `inSegments` is an object.
    """
    return _generate(tenant, scale, reference)[1]


def _generate(tenant: DemoTenant, scale: Scale, reference: datetime) -> tuple[Collections, dict[str, list[str]]]:
    market = MARKETS[tenant.id]
    customers = [_customer(market, number, reference) for number in range(_CUSTOMERS[scale])]
    for former, merged in pairwise(customers):
        if merged.number % 50 == _MERGED:
            _merge(merged, former, reference)
    for customer in customers:
        _sum_up(market, customer, reference)
    profiles = [customer.profile for customer in customers]
    enrol(market, profiles)
    broken = _break(customers)
    made: Collections = {
        PROFILES: profiles,
        CONVERSIONS: [edge for customer in customers for edge in customer.edges],
        PRODUCTS: products(market, reference),
        TOUCHPOINTS: touchpoints(market, reference),
        SEGMENTS: segment_documents(market, reference, profiles),
    }
    return made, broken


def _customer(market: Market, number: int, reference: datetime) -> _Customer:
    """Draw one customer with its purchases."""
    rng = random.Random(f"{market.tenant.id}/{number}")
    habit = rng.choices(("visitor", "lead", "newcomer", "regular", "lapsed"), (18, 22, 22, 16, 22))[0]
    if number % 600 in _BROKEN_EDGES:
        habit = "regular"
    orders = _order_moments(rng, habit, reference)
    first = min(orders, default=reference - timedelta(days=rng.uniform(1, 700)))
    created = first - timedelta(days=rng.expovariate(1 / 30), seconds=rng.uniform(60, 3600))
    customer = _Customer(number, rng, habit, rng.choice(market.places), created)
    customer.profile = {"_key": key_of(market.tenant.id, "profile", number), **_person(market, customer)}
    _buy(market, customer, orders)
    return customer


def _order_moments(rng: random.Random, habit: str, reference: datetime) -> list[datetime]:
    days = {
        "newcomer": lambda: [rng.uniform(1, 85)],
        "regular": lambda: [rng.uniform(0.1, 25), *(rng.uniform(1, 360) for _ in range(rng.randint(1, 4)))],
        "lapsed": lambda: [rng.uniform(95, 700) for _ in range(rng.choice((1, 1, 2, 3)))],
    }.get(habit, list)()
    return sorted(reference - timedelta(days=ago) for ago in days)


def _buy(market: Market, customer: _Customer, orders: list[datetime]) -> None:
    """Turn each order into one edge per product line."""
    rng, main = customer.rng, market.tenant.settings["currency"]
    foreigner = rng.random() < 0.07
    # The last order of a few customers is paid in the currency that they do not otherwise use.
    travels = len(orders) > 1 and rng.random() < 0.1
    for number, moment in enumerate(orders):
        in_main = foreigner == (travels and number == len(orders) - 1)
        currency = main if in_main else market.other_currency
        metric = rng.choices(("purchase", "made-payment", "booking"), (90, 7, 3))[0]
        transaction = f"ORD-{moment:%Y%m%d}-{customer.number:05}{number}"
        if rng.random() < 0.03:
            transaction = ""
        for line, good in enumerate(rng.sample(market.goods, rng.choices((1, 2, 3, 4), (62, 24, 10, 4))[0])):
            quantity = rng.choices((1, 2, 3), (85, 12, 3))[0]
            # A gift on top of an order has a line of its own, and no price.
            price = 0 if line > 0 and rng.random() < 0.03 else market.price_in(currency, good)
            edge = conversion(
                profile=customer.profile["_key"],
                product=product_key(market, good),
                metric="first-purchase" if number == 0 else metric,
                transaction=transaction,
                value=round(price * quantity, 2),
                currency=None if rng.random() < 0.02 else currency,
                quantity=quantity,
                created=moment,
                groups=[good.group],
            )
            if rng.random() < 0.02:
                # The shop sent the event again: LEO CDP counts it on the same edge.
                edge.update(
                    eventScore=200, totalEvent=1, updatedAt=stamp(moment + timedelta(seconds=rng.uniform(1, 90)))
                )
            customer.edges.append(edge)
            customer.goods.append(good)


def _person(market: Market, customer: _Customer) -> Document:
    """Draw who a customer is: names, contacts, place and consent. A visitor has shown nothing of that yet."""
    rng, place, number = customer.rng, customer.place, customer.number
    known = customer.habit != "visitor"
    woman = rng.random() < 0.52
    first = rng.choice(market.women if woman else market.men)
    last = rng.choice(market.family_names)
    middle_names = market.middle_names[0 if woman else 1]
    mail_name = f"{plain(first)}.{plain(last)}{number}"
    email = f"{mail_name}@{rng.choice(('example.com', 'example.org', 'example.net'))}"
    phone = market.phone(rng, number, place)
    reference = f"CRM-{10_000 + number}"
    with_email, with_phone = (known and rng.random() < 0.92), (known and rng.random() < 0.85)
    bad_email, bad_phone = rng.random() < 0.015, rng.random() < 0.015
    identities = []
    if with_email:
        identities.append(f"email:{email}")
    if with_phone:
        identities.append(f"phone:{phone}")
    if known:
        identities.append(f"crmRefId:{reference}")
    spelling = phone if rng.random() < 0.5 else rng.choice(market.spellings(phone))
    primary_email = rng.choice(_BAD_EMAILS).format(name=mail_name) if bad_email else email
    primary_phone = rng.choice(_BAD_PHONES) if bad_phone else spelling
    other_phones = [rng.choice(market.spellings(market.phone(rng, number + 9_000, place)))]
    address = f"{rng.randint(1, 320)} {rng.choice(place.streets)}, {rng.choice(place.districts)}"
    return {
        "type": 2 if known else 0,
        "status": 1,
        "rootProfileId": "",
        "mergeCode": 0,
        "crmRefId": reference if known else "",
        "identities": identities,
        "visitorId": key_of("visitor", market.tenant.id, number),
        "visitorIds": [key_of("visitor", market.tenant.id, number)],
        "fingerprintId": key_of("fingerprint", market.tenant.id, number),
        "primaryEmail": primary_email if with_email else "",
        "secondaryEmails": [f"{mail_name}.work@example.org"] if with_email and rng.random() < 0.15 else [],
        "primaryPhone": primary_phone if with_phone else "",
        "secondaryPhones": other_phones if with_phone and rng.random() < 0.12 else [],
        "firstName": first if known else "",
        "middleName": rng.choice(middle_names) if known and middle_names else "",
        "lastName": last if known else "",
        "gender": (rng.choices((0 if woman else 1, 2, 7), (90, 2, 8))[0]) if known else 7,
        "age": rng.randint(18, 74) if known and rng.random() < 0.8 else 0,
        "primaryNationality": place.nationality if known else "",
        "livingLocation": address if known else "",
        "livingCity": place.city if known else "",
        "livingCountry": place.country if known else "",
        "jobTitles": [rng.choice(_TITLES)] if known and rng.random() < 0.6 else [],
        "contentKeywords": rng.sample(_INTERESTS, rng.randint(0, 3)),
        "mediaChannels": sorted(rng.sample(market.channels, rng.randint(1, 3)), key=market.channels.index),
        # 1 agreed, 0 no data, -1 refused. The CDP sets 1 for an address, a number and ads by itself.
        "receiveEmail": (1 if rng.random() < 0.7 else -1) if with_email else 0,
        "receiveSMS": (1 if rng.random() < 0.4 else -1) if with_phone else 0,
        "receiveWebPush": int(rng.random() < 0.25),
        "receiveAppPush": int(rng.random() < 0.2),
        "receiveAds": 1 if rng.random() < 0.5 else -1,
        "governmentIssuedIDs": [],
        "loyaltyIDs": [f"LOY-{number:06}"] if customer.habit == "regular" else [],
        "extAttributes": {},
    }


def _merge(merged: _Customer, root: _Customer, reference: datetime) -> None:
    """Make one customer a duplicate of another, as LEO CDP merges: edges move over and keep their keys."""
    span = reference - max(merged.created, root.created)
    moment = reference - span * merged.rng.uniform(0.05, 0.5)
    merged.profile.update(rootProfileId=root.profile["_key"], status=0, mergeCode=1)
    merged.merged = root.merged = moment
    for edge in merged.edges:
        edge["_from"] = f"{PROFILES}/{root.profile['_key']}"
        edge["updatedAt"] = max(edge["updatedAt"], stamp(moment))
    root.edges += merged.edges
    root.goods += merged.goods
    merged.edges, merged.goods = [], []


def _sum_up(market: Market, customer: _Customer, reference: datetime) -> None:
    """Fill in what LEO CDP derives from a customer's events, and decide status and time stamps."""
    rng, profile, edges = customer.rng, customer.profile, customer.edges
    if customer.number % 50 == _INACTIVE:
        profile["status"] = 0
    if customer.number % 100 == _REMOVED:
        profile["status"] = -4
    moments = sorted(edge["createdAt"] for edge in edges)
    last = datetime.fromisoformat(moments[-1]) if moments else None
    keywords = list(dict.fromkeys(good.keyword for good in customer.goods))
    main = market.tenant.settings["currency"]
    orders = len({(edge["transactionId"], edge["createdAt"]) for edge in edges})
    labels = ["VIP"] if orders >= 4 else []
    # Summed only in the tenant's currency: an amount in another one would be a different quantity.
    value = round(sum(edge["transactionValue"] for edge in edges if edge["currencyCode"] == main), 2)
    views = rng.randint(1, 40) * (1 + orders)
    seen = customer.created + (reference - customer.created) * (1 - rng.random() ** 2)
    updated = customer.merged or seen
    if last is not None:
        updated = max(updated, last)
    events = ["page-view", *sorted({edge["eventMetricId"] for edge in edges})]
    profile.update(
        {
            "dataLabels": labels,
            "dataLabelsAsStr": "; ".join(labels),
            "inCampaigns": [],
            "inAccounts": [],
            "inJourneyMaps": [_journey(orders, value, views)],
            "inJourneyMapsAsStr": "DEFAULT JOURNEY",
            "productKeywords": keywords,
            "behavioralEvents": events,
            "eventStatistics": {f"{JOURNEY}-page-view": views}
            | {f"{JOURNEY}-{name}": sum(edge["eventMetricId"] == name for edge in edges) for name in events[1:]},
            "topEngagedTouchpointIds": [
                key_of(market.tenant.id, "touchpoint", market.goods.index(good)) for good in customer.goods[:3]
            ],
            "totalLeadScore": 10 + views,
            "totalProspectScore": 10 * orders,
            "totalEngagementScore": views,
            "totalTransactionValue": value,
            "totalCLV": value,
            "totalCAC": 0,
            "rfmScore": min(100, 12 * orders),
            "churnScore": min(1.0, round((reference - last) / timedelta(days=730), 2)) if last else 0,
            "funnelStage": "customer" if edges else "lead" if profile["type"] == 2 else "visitor",
            "purchasedItems": [
                {"itemId": edge["_to"].removeprefix(f"{PRODUCTS}/"), "name": good.title, "quantity": edge["quantity"]}
                | {"salePrice": round(edge["transactionValue"] / edge["quantity"], 2), "currency": edge["currencyCode"]}
                for edge, good in list(zip(edges, customer.goods, strict=True))[-3:]
            ],
            "lastPurchaseEvent": {"name": edges[-1]["eventMetricId"], "at": moments[-1]} if edges else None,
            "createdAt": stamp(customer.created),
            "updatedByCrmAt": stamp(customer.created) if profile["crmRefId"] else None,
            "updatedAt": stamp(min(updated, reference - timedelta(seconds=1))),
        }
    )


def _journey(orders: int, value: float, views: int) -> Document:
    return {
        "id": JOURNEY,
        "name": "DEFAULT JOURNEY",
        "type": "",
        "indexScore": 1,
        "lastDataSynch": 0,
        "queryHashedId": "",
        "funnelIndex": min(5, 1 + orders),
        "scoreCX": {},
        "leadScore": 10 + views,
        "prospectScore": 10 * orders,
        "engagementScore": views,
        "transactionValue": value,
        "creditScore": 0,
        "loyaltyScore": min(100, 5 * orders),
        "acquisitionCost": 0,
        "lifetimeValue": value,
        "scoreCFS": 0,
        "scoreCES": 0,
        "scoreCSAT": 0,
        "scoreNPS": 0,
    }


def _break(customers: list[_Customer]) -> dict[str, list[str]]:
    """Break a few documents, and tell which. `broken_documents` says how."""
    broken: dict[str, list[str]] = {name: [] for name in (*_BROKEN_PROFILES.values(), *_BROKEN_EDGES.values())}
    for customer in customers:
        profile, remainder = customer.profile, customer.number % 600
        match _BROKEN_PROFILES.get(remainder):
            case "segments_not_a_list":
                profile["inSegments"] = {"id": "all", "name": "All customers"}
            case "created_at_not_a_date":
                profile["createdAt"] = "yesterday"
            case "nul_character":
                profile["firstName"] += "\x00"
            case None:
                pass
        if wrong := _BROKEN_PROFILES.get(remainder):
            broken[wrong].append(f"{PROFILES}/{profile['_key']}")
        if wrong := _BROKEN_EDGES.get(remainder):
            edge = customer.edges[0]
            if wrong == "amount_not_a_number":
                edge["transactionValue"] = "n/a"
            else:
                edge["_from"] = f"cdp_visitor/{profile['_key']}"
            broken[wrong].append(f"{CONVERSIONS}/{edge['_key']}")
    return broken
