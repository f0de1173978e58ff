"""What the shops sell: two invented organizations, their brands, and some 2,800 products of theirs.

Here belong words, prices and how they become products. Which documents they are published in is in `documents.py`.

Everything follows from the generation, a number from 1: each one changes the price or stock of about one product in
fifty, takes one in a hundred away for good, and adds ten.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product as combinations

# Of the protocol: every URN is made in it, of a domain, a brand's name or a SKU.
_NAMESPACE = uuid.UUID("4c2d9653-e971-4093-8d5b-82da447c2e85")
_NEW_PER_GENERATION = 10
_CHANGED_IN = 50
_GONE_IN = 100
_OUT_OF_STOCK_IN = 8


@dataclass(frozen=True)
class Kind:
    """One sort of goods: each of its styles is a product, or a group of them if there are variants."""

    name: str
    category: str
    price: Decimal
    text: str


@dataclass(frozen=True)
class Brand:
    """A brand and what it sells.

    Attributes:
        variants: Values of each property in which the products of a group differ; none for products without group.
        nested: Its products are published inside their groups.
    """

    name: str
    kinds: tuple[Kind, ...]
    styles: tuple[str, ...]
    variants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    nested: bool = False


@dataclass(frozen=True)
class Organization:
    """A shop.

    Attributes:
        older: It publishes in the shapes of the protocol's first version.
        last_style: Names what comes new in a generation.
    """

    id: str
    name: str
    description: str
    domain: str
    currency: str
    category: str
    older: bool
    last_style: str
    brands: tuple[Brand, ...]

    def urn(self, kind: str, text: str = "") -> str:
        """Return the URN of something of this organization."""
        return f"urn:cmp:{kind}:{uuid.uuid5(_NAMESPACE, f'{self.domain}/{text}' if text else self.domain)}"


@dataclass(frozen=True)
class Product:
    """A product of one generation. The price is exact, in the currency of its organization."""

    sku: str
    name: str
    price: Decimal
    in_stock: bool
    variant: dict[str, str]


@dataclass(frozen=True)
class Group:
    """A style of a kind: a group of products, or (without `varies_by`) one product without a group."""

    id: str
    brand: Brand
    kind: Kind
    name: str
    description: str
    varies_by: tuple[str, ...]
    products: tuple[Product, ...]


def _kinds(category: str, lines: str) -> tuple[Kind, ...]:
    kinds = []
    for line in lines.strip().splitlines():
        name, below, price, text = (part.strip() for part in line.split("|"))
        kinds.append(Kind(name, f"{category} > {below}", Decimal(price), text))
    return tuple(kinds)


SAIGON = Organization(
    id="saigon",
    name="Phố Chợ Sài Gòn",
    description="Quần áo, cà phê và đồ bếp của các xưởng nhỏ ở miền Nam.",
    domain="saigon.example.com",
    currency="VND",
    category="thoi-trang",
    older=False,
    last_style="mùa mới",
    brands=(
        Brand(
            "Nắng Mai",
            _kinds(
                "Thời trang",
                """
                Áo thun cotton | Áo > Áo thun | 189000 | Vải cotton hai chiều, thấm mồ hôi, giữ dáng sau nhiều lần giặt.
                Áo sơ mi linen | Áo > Sơ mi   | 459000 | Linen dệt mộc, mát và nhẹ, hợp với khí hậu nóng ẩm.
                Quần short kaki | Quần > Short | 329000 | Kaki co giãn nhẹ, túi sâu, lưng thun sau.
                Đầm suông đi biển | Đầm        | 529000 | Vải rayon mềm, dáng rộng, khô nhanh.
                Áo khoác chống nắng | Áo > Áo khoác | 399000 | Chống tia UV, gấp gọn trong túi đi kèm.
                """,
            ),
            tuple(
                "An Giang,Bến Tre,Cần Thơ,Đà Lạt,Hà Tiên,Hội An,Mũi Né,Nha Trang,Phú Quốc,Sa Đéc,Vũng Tàu".split(",")
            ),
            {"màu": ("trắng", "xanh chàm", "vàng nghệ", "nâu đất"), "cỡ": ("S", "M", "L", "XL")},
        ),
        Brand(
            "Cà Phê Đồi",
            _kinds(
                "Thực phẩm > Cà phê",
                """
                Cà phê robusta rang mộc | Robusta | 95000 | Vị đậm, hậu ngọt, không tẩm bơ, rang theo mẻ nhỏ.
                Cà phê arabica rửa ướt  | Arabica | 165000 | Chua thanh, hương hoa và mật ong.
                Cà phê culi nguyên hạt  | Culi    | 129000 | Hạt tròn, vị mạnh, dành cho phin.
                """,
            ),
            tuple("Buôn Mê Thuột,Cầu Đất,Đắk Mil,Gia Lai,Kon Tum,Lạc Dương,Sơn La,Khe Sanh,Di Linh,Bảo Lộc".split(",")),
            {"khối lượng": ("250 g", "500 g", "1 kg"), "độ xay": ("nguyên hạt", "xay phin")},
            nested=True,
        ),
        Brand(
            "Bếp Nhà",
            _kinds(
                "Nhà cửa > Bếp",
                """
                Nồi đất kho cá | Nồi  | 145000 | Đất nung thủ công, giữ nhiệt lâu, dùng được trên bếp gas.
                Bát men rạn    | Chén bát | 59000 | Men rạn giả cổ, dày dặn, dùng được trong lò vi sóng.
                Đũa tre già    | Đũa  | 35000 | Tre già ngâm bùn, không sơn, bó mười đôi.
                Thớt gỗ me     | Thớt | 210000 | Gỗ me nguyên khối, thớ chặt, ít mùn.
                Rổ lục bình    | Đồ đan | 120000 | Lục bình phơi nắng, đan tay, thoáng và bền.
                Ấm pha trà     | Trà  | 275000 | Gốm không tráng men, giữ hương trà.
                Khăn bếp dệt   | Vải  | 45000 | Sợi bông dệt tổ ong, thấm nước nhanh.
                Hũ thủy tinh nắp gỗ | Bảo quản | 89000 | Kín hơi, đáy dày, dung tích một lít.
                """,
            ),
            tuple(
                "mộc,men lam,vân tre,hoa sen,cánh phượng,sóng nước,lá chuối,đất nâu,xanh ngọc,trăng rằm,chợ nổi,"
                "đồng quê,phố cổ,bình minh,hoàng hôn,gió mùa,mưa ngâu,sương sớm,nắng hạ,lúa vàng,cói biển,thuyền thúng,"
                "đèn lồng,mái ngói,giếng làng,bến nước".split(",")
            ),
        ),
    ),
)

HARBOUR = Organization(
    id="harbour",
    name="Harbour Outfitters",
    description="Clothes for bad weather and things for the house, from makers along the coast.",
    domain="harbour.example.com",
    currency="USD",
    category="outdoor",
    older=True,
    last_style="New Season",
    brands=(
        Brand(
            "Northwharf",
            _kinds(
                "Apparel",
                """
                Waxed Field Jacket | Outerwear > Jackets | 249.00 | Waxed cotton with a corduroy collar.
                Fisherman Sweater  | Knitwear            | 139.50 | Undyed lambswool in a cable stitch.
                Storm Trousers     | Trousers            | 118.95 | Three-layer shell with taped seams.
                Merino Base Layer  | Underlayers         | 74.90 | Fine merino that dries overnight and does not itch.
                Canvas Deck Shoe   | Footwear            | 89.00 | Non-marking sole, rinsed after a day at sea.
                Wool Watch Cap     | Accessories > Hats  | 28.50 | Ribbed, doubled at the brim, one for the pocket.
                """,
            ),
            tuple("Aldeburgh,Bristol,Craster,Dunmore,Eyemouth,Fowey,Galway,Helford,Islay,Kinsale,Mallaig".split(",")),
            {"color": ("navy", "moss", "rust", "stone"), "size": ("S", "M", "L", "XL", "XXL")},
        ),
        Brand(
            "Tern & Tide",
            _kinds(
                "Home",
                """
                Stoneware Mug   | Kitchen > Mugs   | 18.00 | Thrown by hand, glazed inside, holds twelve ounces.
                Linen Tea Towel | Kitchen > Linens | 14.50 | Washed linen with a loop; softer every year.
                Beeswax Candle  | Lighting         | 22.00 | Burns for forty hours with a cotton wick.
                Driftwood Frame | Decor            | 36.75 | Each one different, for prints of eight by ten inches.
                Wool Throw      | Bedroom          | 129.00 | Woven of new wool in herringbone, fringed on two sides.
                Oak Bread Board | Kitchen > Boards | 48.00 | One piece of oak, oiled, with a groove for crumbs.
                Rope Doormat    | Entrance         | 54.25 | Made of retired climbing rope.
                Brass Hook      | Hardware         | 12.95 | Cast and left unlacquered, so that it darkens with use.
                Enamel Jug      | Kitchen > Jugs   | 32.00 | Two quarts, chips with dignity.
                Cedar Planter   | Garden           | 67.00 | Rot-resistant boards, drained and footed.
                """,
            ),
            tuple(
                "Anchor,Barnacle,Cormorant,Dogger,Estuary,Fathom,Gannet,Headland,Inlet,Jetty,Kelp,Lantern,Mooring,"
                "Neap,Osprey,Pebble,Quay,Reef,Saltmarsh,Tidepool,Undertow,Viking,Wrack,Yawl,Zephyr".split(",")
            ),
        ),
    ),
)

ORGANIZATIONS = (SAIGON, HARBOUR)


def groups(organization: Organization, generation: int) -> Iterator[Group]:
    """Everything that an organization sells in a generation. Groups that lost all products are not there."""
    for brand in organization.brands:
        for kind_number, kind in enumerate(brand.kinds):
            for style_number, style in enumerate(brand.styles):
                code = f"{_initials(brand.name)}-{kind_number:02}{style_number:02}"
                if (group := _group(organization, brand, kind, style=style, code=code, generation=generation)).products:
                    yield group
    brand = organization.brands[-1]
    for number in range((generation - 1) * _NEW_PER_GENERATION):
        kind = brand.kinds[number % len(brand.kinds)]
        code = f"{_initials(brand.name)}-N{number:04}"
        style = f"{organization.last_style} {number + 1}"
        if (group := _group(organization, brand, kind, style=style, code=code, generation=generation)).products:
            yield group


def _group(organization: Organization, brand: Brand, kind: Kind, *, style: str, code: str, generation: int) -> Group:
    made = []
    for number, values in enumerate(combinations(*brand.variants.values())):
        sku = f"{code}-{number:02}" if values else code
        seed = f"{organization.id}/{sku}"
        if not any(_chance(f"{seed}/gone/{past}", _GONE_IN) for past in range(2, generation + 1)):
            name = f"{kind.name} {style}" + (f", {', '.join(values)}" if values else "")
            price, in_stock = _offer(kind, organization.currency, seed, generation)
            made.append(Product(sku, name, price, in_stock, dict(zip(brand.variants, values, strict=True))))
    return Group(code, brand, kind, f"{kind.name} {style}", kind.text, tuple(brand.variants), tuple(made))


def _offer(kind: Kind, currency: str, seed: str, generation: int) -> tuple[Decimal, bool]:
    step = Decimal(1000) if currency == "VND" else Decimal("0.05")
    price = kind.price + step * _number(f"{seed}/price", 40)
    in_stock = not _chance(f"{seed}/stock", _OUT_OF_STOCK_IN)
    for past in range(2, generation + 1):
        if _chance(f"{seed}/changed/{past}", _CHANGED_IN):
            price += step * (1 + _number(f"{seed}/rise/{past}", 20))
            in_stock = not in_stock
    return price, in_stock


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.replace("&", "").split()).upper().replace("Đ", "D").replace("Ắ", "A")


def _number(seed: str, below: int) -> int:
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest()) % below


def _chance(seed: str, one_in: int) -> bool:
    return _number(seed, one_in) == 0
