"""The vocabulary of the invented tenants: names, places, phone numbers, goods and interests of two markets.

Here belong words and prices and nothing that decides: who buys what and when is in `retail.py`.

The people do not exist. E-mail addresses are at example.com, .org and .net. British and American phone numbers lie in
the ranges set aside for fiction; Vietnam has no such range, so its numbers are well-formed and random.
"""

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from cdp_sandbox.demo.model import HARBOUR, SAIGON, DemoTenant

DONG_PER_DOLLAR = 25_000
"""A round rate that prices goods in the other currency. It is nobody's exchange rate."""


@dataclass(frozen=True)
class Place:
    """A city with some of its districts and streets."""

    city: str
    country: str
    nationality: str
    districts: tuple[str, ...]
    streets: tuple[str, ...]


@dataclass(frozen=True)
class Good:
    """Something a shop sells. The price is for one piece, in the currency of the tenant."""

    title: str
    group: str
    keyword: str
    price: float


@dataclass(frozen=True)
class Market:
    """Everything that differs between the invented tenants.

    Attributes:
        tenant: Whose market it is.
        other_currency: What a few of its customers pay in.
        family_names: As they are written.
        middle_names: Women's and men's, as they are written; empty where people rarely give one.
        women: Given names.
        men: Given names.
        places: Where customers live.
        goods: What is sold.
        channels: Media channels of its customers, the most used first.
        phone: Makes the international number of the n-th customer at a place.
        spellings: Writes an international number in the other ways in which people at home do.
    """

    tenant: DemoTenant
    other_currency: str
    family_names: tuple[str, ...]
    middle_names: tuple[tuple[str, ...], tuple[str, ...]]
    women: tuple[str, ...]
    men: tuple[str, ...]
    places: tuple[Place, ...]
    goods: tuple[Good, ...]
    channels: tuple[str, ...]
    phone: Callable[[random.Random, int, Place], str]
    spellings: Callable[[str], tuple[str, ...]]

    def price_in(self, currency: str, good: Good) -> float:
        """Return the price of one piece: whole thousands of dong, or dollars and cents."""
        if currency == self.tenant.settings["currency"]:
            return good.price
        if currency == "VND":
            return int(round(good.price * DONG_PER_DOLLAR, -3))
        return round(good.price / DONG_PER_DOLLAR, 2)


def plain(text: str) -> str:
    """Write a name in the small letters a to z, as people do in e-mail addresses."""
    decomposed = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(letter for letter in decomposed if letter.isascii() and letter.isalpha())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _goods(text: str) -> tuple[Good, ...]:
    """Read one good per line: title, asset group, keyword, price."""
    rows = (line.split("|") for line in text.strip().splitlines())
    return tuple(
        Good(title.strip(), group.strip(), keyword.strip(), float(price) if "." in price else int(price))
        for title, group, keyword, price in rows
    )


_VIETNAMESE_PREFIXES = _words("32 33 34 35 36 37 38 39 56 58 70 76 77 78 79 81 82 83 84 85 86 88 90 91 93 94 96 97 98")
_AMERICAN_AREAS = _words("""
201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248 251 252 253 254
256 260 262 267 269 270 276 281 301 302 303 304 305 307 308 309 310 312 313 314 315 316 317 318 319 320 321 323 325 330
334 336 337 339 346 347 351 352 360 361 385 386 401 402 404 405 406 407 408 409 410 412 413 414 415 417 419 423 424 425
430 432 434 435 440 443 469 470 475 478 479 480 484 501 502 503 504 505 507 508 509 510 512 513 515 516 517 518 520 530
539 540 541 551 559 561 562 563 567 570 571 573 574 575 580 585 586 601 602 603 605 606 607 608 609 610 612 614 615 616
617 618 619 620 623 626 630 631 636 641 646 650 651 660 661 662 678 682 701 702 703 704 706 707 708 712 713 714 715 716
""")
_BRITISH_DRAMA = _words("207946 113496 114496 116496 117496 121496 131496 141496 151496 161496 191498")


def _vietnamese_phone(rng: random.Random, _number: int, _place: Place) -> str:
    return f"+84{rng.choice(_VIETNAMESE_PREFIXES)}{rng.randrange(10_000_000):07}"


def _vietnamese_spellings(phone: str) -> tuple[str, ...]:
    return (f"0{phone[3:5]} {phone[5:8]} {phone[8:]}", f"00{phone[1:]}", f"+84 {phone[3:5]} {phone[5:8]} {phone[8:]}")


def _english_phone(_rng: random.Random, number: int, place: Place) -> str:
    # Counted out, not drawn: the ranges for fiction are small, and a demo full of shared numbers would mislead.
    if place.nationality == "GB":
        range_, digits = divmod(number, 1000)
        return f"+44{_BRITISH_DRAMA[range_ % len(_BRITISH_DRAMA)]}0{digits:03}"
    area, digits = divmod(number, 100)
    return f"+1{_AMERICAN_AREAS[area % len(_AMERICAN_AREAS)]}55501{digits:02}"


def _english_spellings(phone: str) -> tuple[str, ...]:
    # The tenant's region is the United States: British customers have to give their country code there.
    if phone.startswith("+44"):
        return (f"+44 {phone[3:]}", f"011 44 {phone[3:]}")
    area, rest = phone[2:5], f"{phone[5:8]}-{phone[8:]}"
    return (f"({area}) {rest}", f"1-{area}-{rest}", f"{area}{phone[5:]}")


MARKETS = {
    SAIGON.id: Market(
        tenant=SAIGON,
        other_currency="USD",
        family_names=_words("""
            Nguyễn Nguyễn Nguyễn Trần Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý
        """),
        middle_names=(_words("Thị Thị Ngọc Thanh Thùy Kim Minh"), _words("Văn Văn Hữu Quốc Đức Xuân Gia Minh")),
        women=_words("""
            An Ánh Diễm Dung Hằng Hạnh Hương Lan Linh Loan Mai My Nga Ngân Nhung Oanh Phượng Quỳnh Thảo Trâm
            Tuyết Uyên Vân Yến
        """),
        men=_words("""
            Anh Bảo Cường Dũng Đạt Hải Hiếu Hoàng Hùng Huy Khánh Khoa Long Nam Nghĩa Phong Phúc Quân Sơn
            Thắng Tiến Trí Tuấn Vinh
        """),
        places=(
            Place(
                "Ho Chi Minh City",
                "Vietnam",
                "VN",
                ("Quận 1", "Quận 3", "Quận 7", "Bình Thạnh", "Gò Vấp", "Thủ Đức"),
                ("Lê Lợi", "Nguyễn Huệ", "Điện Biên Phủ", "Cách Mạng Tháng Tám", "Võ Văn Tần"),
            ),
            Place(
                "Ho Chi Minh City",
                "Vietnam",
                "VN",
                ("Tân Bình", "Phú Nhuận", "Quận 10", "Bình Tân"),
                ("Cộng Hòa", "Phan Xích Long", "Sư Vạn Hạnh", "Tên Lửa"),
            ),
            Place(
                "Hà Nội",
                "Vietnam",
                "VN",
                ("Hoàn Kiếm", "Ba Đình", "Cầu Giấy", "Đống Đa"),
                ("Hàng Bài", "Kim Mã", "Xuân Thủy", "Tôn Đức Thắng"),
            ),
            Place(
                "Đà Nẵng",
                "Vietnam",
                "VN",
                ("Hải Châu", "Sơn Trà", "Ngũ Hành Sơn"),
                ("Bạch Đằng", "Võ Nguyên Giáp", "Nguyễn Văn Linh"),
            ),
            Place("Cần Thơ", "Vietnam", "VN", ("Ninh Kiều", "Cái Răng"), ("Hòa Bình", "Mậu Thân", "Trần Hưng Đạo")),
        ),
        goods=_goods("""
            Điện thoại Sen 12           | grp_phone   | smartphone | 12990000
            Điện thoại Sen 12 Pro       | grp_phone   | smartphone | 21490000
            Điện thoại Trúc Mini        | grp_phone   | smartphone | 5490000
            Tai nghe không dây Gió      | grp_audio   | headphones | 1290000
            Loa bluetooth Sóng          | grp_audio   | speaker    | 890000
            Đồng hồ thông minh Nhịp     | grp_watch   | smartwatch | 3490000
            Máy tính bảng Lá 10         | grp_tablet  | tablet     | 8990000
            Laptop Đá 14                | grp_laptop  | laptop     | 18990000
            Nồi cơm điện 1,8 lít        | grp_kitchen | kitchen    | 790000
            Nồi chiên không dầu         | grp_kitchen | kitchen    | 1590000
            Bình giữ nhiệt 500 ml       | grp_kitchen | drinkware  | 249000
            Cà phê phin quà tặng        | grp_grocery | coffee     | 329000
            Cà phê rang xay 500 g       | grp_grocery | coffee     | 219000
            Trà sen Tây Hồ              | grp_grocery | tea        | 280000
            Hạt điều rang muối          | grp_grocery | snack      | 189000
            Nước mắm nhĩ 40 độ          | grp_grocery | sauce      | 145000
            Áo dài lụa                  | grp_fashion | fashion    | 1850000
            Áo thun cotton              | grp_fashion | fashion    | 199000
            Giày chạy bộ Bước           | grp_sport   | running    | 1190000
            Vợt cầu lông                | grp_sport   | badminton  | 690000
            Kem chống nắng SPF 50       | grp_beauty  | skincare   | 395000
            Son môi đỏ gạch             | grp_beauty  | makeup     | 285000
            Sữa bột số 3                | grp_baby    | baby       | 545000
            Tã quần size L              | grp_baby    | baby       | 365000
        """),
        channels=("ZALO", "FACEBOOK", "EMAIL", "SMS", "WEBSITE", "STORE"),
        phone=_vietnamese_phone,
        spellings=_vietnamese_spellings,
    ),
    HARBOUR.id: Market(
        tenant=HARBOUR,
        other_currency="VND",
        family_names=_words("""
            Adams Bennett Brooks Carter Clarke Collins Davies Edwards Evans Foster Gray Hughes Jackson Kelly
            Lewis Mason Mitchell Morgan Murphy O'Brien Parker Quinn Reed Shaw Smith-Jones Taylor Turner
            Walker Ward Young
        """),
        middle_names=((), ()),
        women=_words("""
            Abigail Alice Amelia Beatrice Chloe Clara Daisy Eleanor Ella Emily Freya Grace Hannah Isla Jane
            Lily Lucy Maya Nora Olivia Ruby Sophie Zoë
        """),
        men=_words("""
            Adam Alfie Arthur Ben Charlie Daniel Edward Finn George Harry Henry Isaac Jack James Leo Liam
            Luke Noah Oscar Owen René Sam Theo
        """),
        places=(
            Place("Portland", "United States", "US", ("Pearl District", "Alberta"), ("Harbor Way", "Burnside Street")),
            Place("Boston", "United States", "US", ("Back Bay", "Dorchester"), ("Commercial Wharf", "Newbury Street")),
            Place("Austin", "United States", "US", ("Hyde Park", "Zilker"), ("Congress Avenue", "Barton Springs Road")),
            Place("Bristol", "United Kingdom", "GB", ("Clifton", "Redcliffe"), ("Harbourside", "Park Street")),
            Place("Glasgow", "United Kingdom", "GB", ("Partick", "Merchant City"), ("Clyde Street", "Byres Road")),
        ),
        goods=_goods("""
            Waxed rain jacket           | grp_outdoor | jacket     | 189.00
            Merino sweater              | grp_fashion | knitwear   | 98.50
            Canvas deck shoes           | grp_fashion | shoes      | 64.95
            Wool socks, two pairs       | grp_fashion | knitwear   | 18.99
            Striped tea towel           | grp_kitchen | kitchen    | 9.99
            Enamel mug                  | grp_kitchen | drinkware  | 12.49
            Stovetop espresso pot       | grp_kitchen | coffee     | 34.00
            Ground coffee, 12 oz        | grp_grocery | coffee     | 14.75
            Earl Grey, 50 bags          | grp_grocery | tea        | 8.99
            Sea salt caramels           | grp_grocery | snack      | 11.25
            Smoked salmon gift box      | grp_grocery | gift       | 79.00
            Brass desk lamp             | grp_home    | lighting   | 129.00
            Linen bed set               | grp_home    | bedding    | 219.90
            Scented candle              | grp_home    | candle     | 24.50
            Hand-tied rope mat          | grp_home    | decor      | 42.00
            Folding camp chair          | grp_outdoor | camping    | 59.95
            Dry bag, 20 litres          | grp_outdoor | sailing    | 27.80
            Two-person tent             | grp_outdoor | camping    | 249.00
            Noise-cancelling headphones | grp_audio   | headphones | 279.99
            Portable speaker            | grp_audio   | speaker    | 89.99
            Fitness watch               | grp_watch   | smartwatch | 199.99
            E-reader                    | grp_tablet  | reading    | 139.00
            Beach paperback bundle      | grp_books   | reading    | 21.97
            Children's life vest        | grp_baby    | sailing    | 46.30
        """),
        channels=("EMAIL", "WEBSITE", "INSTAGRAM", "SMS", "STORE", "FACEBOOK"),
        phone=_english_phone,
        spellings=_english_spellings,
    ),
}
"""The market of every invented tenant, by tenant id."""
