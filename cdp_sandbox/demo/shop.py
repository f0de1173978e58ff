"""What the customers of an invented tenant meet: its product items and its touchpoints.

Here belong the documents of which a tenant has a handful. Customers and their purchases are made in `retail.py`.
"""

from datetime import datetime, timedelta

from cdp_sandbox.demo.markets import Good, Market
from cdp_sandbox.demo.model import Document, key_of, stamp


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
