"""Referrals of the invented tenants: officers, their links for campaigns, and what came through those.

The rows are what the tracker application would have written into the warehouse: referrals have no counterpart in LEO
CDP, and CDNOW's customers of 1997 had no links. Each event is drawn in turn from one generator, seeded with the tenant,
so that a smaller scale has the first events of a larger one. No clock is read: events lie in the hundred days before
the moment that is given.

The people do not exist. IP addresses are of the ranges set aside for documentation.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql

from cdp_sandbox.databases import acting_for
from cdp_sandbox.demo.markets import MARKETS, Market, plain
from cdp_sandbox.demo.model import HARBOUR, SAIGON, Scale

Row = tuple[Any, ...]

_CLICKS: dict[Scale, int] = {"small": 900, "default": 3_550, "large": 44_500, "full": 3_550}
_DAYS = 100
_OFFICERS = 12
# Of the officers, by number: one left, and one came too late to have any event.
_LEFT, _NEW = 9, 11

_FORMULA = '=HYPERLINK("https://example.com/prize","Mozilla/5.0")'
_AGENTS = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
)
_ROBOT = "examplebot/2.1 (+https://example.com/bot)"

# How many come at each hour of a day at home.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 10, 12, 9, 8, 8, 8, 9, 11, 14, 16, 14, 8, 3)


@dataclass(frozen=True)
class _Campaign:
    """When it runs, in days from the moment on; its share of all clicks."""

    name: str
    description: str | None
    starts: int
    ends: int | None
    share: int


@dataclass(frozen=True)
class _Programme:
    """What one tenant does.

    Attributes:
        hours: of its clock before UTC.
    """

    site: str
    hours: int
    campaigns: Sequence[_Campaign]


_PROGRAMMES = {
    SAIGON.id: _Programme(
        "https://saigon.example.com",
        7,
        (
            _Campaign("Giới thiệu bạn bè", "Tặng 50.000 ₫ cho cả hai", -200, None, 5),
            _Campaign("Mùa tựu trường", "Máy tính bảng và laptop cho năm học mới", -95, -40, 4),
            _Campaign("Tuần lễ cà phê", None, -45, 20, 3),
            _Campaign("Đón năm mới", "Quà Tết đặt sớm", 10, 60, 0),
        ),
    ),
    HARBOUR.id: _Programme(
        "https://harbour.example.com",
        -5,
        (
            _Campaign("Bring a friend", "Ten dollars for each of you", -300, None, 5),
            _Campaign("Summer on the water", "Dry bags, tents and deck shoes", -95, -35, 4),
            _Campaign("Coffee month", None, -50, 14, 3),
            _Campaign("Gifts by the fire", "Orders before the holidays", 7, 50, 0),
        ),
    ),
}


class Filled(NamedTuple):
    """What happened to one table.

    Attributes:
        tenant: Tenant id.
        table: Name of the table, without its schema.
        written: Rows that were inserted.
        unchanged: Rows that were there already.
    """

    tenant: str
    table: str
    written: int
    unchanged: int


@dataclass
class Referrals:
    """The rows of one tenant, in the order of `COLUMNS`, without the tenant."""

    officer: list[Row] = field(default_factory=list)
    campaign: list[Row] = field(default_factory=list)
    referral_link: list[Row] = field(default_factory=list)
    click_event: list[Row] = field(default_factory=list)
    signup_event: list[Row] = field(default_factory=list)


COLUMNS: dict[LiteralString, tuple[LiteralString, ...]] = {
    "officer": ("officer_id", "full_name", "is_active", "ingested_at"),
    "campaign": ("campaign_id", "name", "description", "starts_at", "ends_at", "is_active", "ingested_at"),
    "referral_link": (
        *("referral_link_id", "officer_id", "campaign_id", "full_link", "ref_code", "is_active", "revoke_at"),
        "ingested_at",
    ),
    "click_event": (
        *("click_event_id", "referral_link_id", "occurred_at", "ingested_at", "ip", "user_agent"),
        *("geo_country", "geo_city", "geo_region", "fraud_score"),
    ),
    "signup_event": (
        *("signup_event_id", "click_event_id", "referral_link_id", "occurred_at", "ingested_at"),
        *("conversion_minutes", "email", "fraud_score"),
    ),
}
"""What is written, by table."""


def fill_referrals(connection: psycopg.Connection, scale: Scale, moment: datetime) -> list[Filled]:
    """Write the referrals of the invented tenants into the warehouse, as far as they are not there.

    A row is known by its id, which depends on neither scale nor moment: a second fill writes nothing, at another moment
    neither, and at a larger scale what comes on top.

    Args:
        connection: Of the platform's role.
        scale: How many events in all: about 2,000, 8,000 (`default` and `full`) or 100,000.
        moment: On which day; its beginning, UTC, counts as now.
    """
    filled = []
    for tenant in (SAIGON, HARBOUR):
        made = referrals(MARKETS[tenant.id], scale, moment)
        with acting_for(connection, tenant.id):
            for table in COLUMNS:
                rows = getattr(made, table)
                written = _add(connection, tenant.id, table, rows)
                filled.append(Filled(tenant.id, table, written, len(rows) - written))
    return filled


def referrals(market: Market, scale: Scale, moment: datetime) -> Referrals:
    """Draw the referrals of an invented tenant."""
    tenant_id, programme = market.tenant.id, _PROGRAMMES[market.tenant.id]
    # At the beginning of a day, so that another moment moves all events alike.
    moment = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    drawing = _Drawing(market, moment, random.Random(f"{tenant_id}/referrals"))
    rng, made = drawing.rng, drawing.made
    begin = moment - timedelta(days=_DAYS)
    left_at = moment - timedelta(days=20)

    for number in range(_OFFICERS):
        joined = moment - timedelta(hours=3) if number == _NEW else begin
        made.officer.append((_id(tenant_id, "officer", number), _name(market, rng), number != _LEFT, joined))
    for number, campaign in enumerate(programme.campaigns):
        starts = moment + timedelta(days=campaign.starts)
        ends = None if campaign.ends is None else moment + timedelta(days=campaign.ends)
        made.campaign.append(
            (
                *(_id(tenant_id, "campaign", number), campaign.name, campaign.description, starts, ends),
                *(ends is None or ends > moment, min(starts, begin)),
            )
        )

    # What clicks can be drawn for: a link, how much it is used, and from when until when.
    windows: list[tuple[str, datetime, datetime]] = []
    weights: list[float] = []
    for officer in range(_OFFICERS):
        used = 1 / (1 + officer) ** 0.6 * rng.uniform(0.7, 1.3)
        for number, campaign in enumerate(programme.campaigns):
            link = _id(tenant_id, "link", officer, number)
            code = hashlib.sha256(link.encode()).hexdigest()[:32]
            made.referral_link.append(
                (
                    *(link, made.officer[officer][0], made.campaign[number][0]),
                    *(f"{programme.site}/?ref={code}", code, officer != _LEFT, left_at if officer == _LEFT else None),
                    made.officer[officer][3],
                )
            )
            if campaign.share and officer != _NEW:
                ends = [moment, left_at if officer == _LEFT else moment, made.campaign[number][4] or moment]
                windows.append((link, max(begin, made.campaign[number][3]), min(ends)))
                weights.append(used * campaign.share)

    for number in range(_CLICKS[scale]):
        link, first, last = rng.choices(windows, weights)[0]
        drawing.click(number, link, first, last)
    return made


@dataclass
class _Drawing:
    """The events of one tenant, as far as they are drawn."""

    market: Market
    moment: datetime
    rng: random.Random
    made: Referrals = field(default_factory=Referrals)

    def click(self, number: int, link: str, first: datetime, last: datetime) -> None:
        """Draw a click between two moments and, now and then, the signup that it led to."""
        rng, tenant_id = self.rng, self.market.tenant.id
        occurred = _time(rng, first, last, _PROGRAMMES[tenant_id].hours)
        click = _id(tenant_id, "click", number)
        place = rng.choice(self.market.places)
        ip, agent, score = _visitor(rng, number)
        geo = (place.nationality, place.city, rng.choice(place.districts)) if rng.random() < 0.9 else (None, None, None)
        self.made.click_event.append((click, link, occurred, self._ingested(occurred), ip, agent, *geo, score))

        # Drawn whether there is a signup or not, so that what follows does not depend on it.
        signs_up, hesitates = rng.random() < 0.14, rng.random() < 0.35
        minutes = rng.expovariate(1 / 2_500) if hesitates else rng.expovariate(1 / 25)
        name = ".".join(plain(word) for word in _name(self.market, rng).split())
        score = rng.uniform(7.5, 11) if rng.random() < 0.02 else rng.choice((0.0, 0.0, 0.0, 2.0, None))
        then = occurred + timedelta(minutes=1 + minutes)
        ingested = self._ingested(then)
        if signs_up and then < self.moment:
            self.made.signup_event.append(
                (
                    *(_id(tenant_id, "signup", number), click, link, then, ingested),
                    *(int((then - occurred) / timedelta(minutes=1)), f"{name}{number}@example.com", score),
                )
            )

    def _ingested(self, occurred: datetime) -> datetime:
        """Say when the tracker wrote it: seconds later, or, of one half of a day, two days later in one batch."""
        seconds = timedelta(seconds=self.rng.uniform(0.05, 4))
        if self.moment - timedelta(days=9) <= occurred < self.moment - timedelta(days=8, hours=12):
            return self.moment - timedelta(days=7)
        return min(occurred + seconds, self.moment)


def _visitor(rng: random.Random, number: int) -> tuple[str, str, float | None]:
    """Draw address, user agent and fraud score; some are robots, and one has a user agent that is a formula."""
    network = rng.choice(("203.0.113", "198.51.100", "192.0.2"))
    ip = f"{network}.{rng.randint(1, 254)}"
    if rng.random() < 0.12:
        ip = f"2001:db8:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::{rng.randint(1, 65_535):x}"
    agent, robot = rng.choice(_AGENTS), rng.random() < 0.04
    score = rng.choice((0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 3.0, 5.0, 7.0, None))
    if robot:
        return f"{network}.66", _ROBOT, rng.uniform(8, 13)
    return ip, _FORMULA if number % 400 == 37 else agent, score


def _time(rng: random.Random, first: datetime, last: datetime, hours: int) -> datetime:
    """Draw a moment between two, mostly when people are awake."""
    drawn = first + rng.random() * (last - first)
    at_home = drawn + timedelta(hours=hours)
    hour = rng.choices(range(24), _HOURS)[0]
    likely = at_home.replace(hour=hour) - timedelta(hours=hours)
    return likely if first <= likely < last else drawn


def _name(market: Market, rng: random.Random) -> str:
    woman = rng.random() < 0.5
    given = rng.choice(market.women if woman else market.men)
    family = rng.choice(market.family_names)
    middle = market.middle_names[0 if woman else 1]
    return f"{family} {rng.choice(middle)} {given}" if middle else f"{given} {family}"


def _id(*parts: object) -> str:
    """Make a UUID as the tracker has them, the same for the same parts."""
    return str(UUID(bytes=hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:16], version=4))


def _add(connection: psycopg.Connection, tenant_id: str, table: LiteralString, rows: Iterable[Row]) -> int:
    """Insert the rows that are not there, and return how many those are."""
    names = {
        "stage": sql.Identifier(f"demo_{table}"),
        "target": sql.Identifier("referrals", table),
        "key": sql.Identifier(f"{table}_id"),
        "columns": sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table])),
    }
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {columns} FROM {target} LIMIT 0").format(
            **names
        )
    )
    copy = sql.SQL("COPY {stage} ({columns}) FROM STDIN").format(**names)
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        for row in rows:
            writer.write_row(row)
    return connection.execute(
        sql.SQL(
            "INSERT INTO {target} (tenant_id, {columns}) SELECT %(tenant)s, {columns} FROM {stage} AS s"
            " WHERE NOT EXISTS (SELECT FROM {target} AS t WHERE t.tenant_id = %(tenant)s AND t.{key} = s.{key})"
        ).format(**names),
        {"tenant": tenant_id},
    ).rowcount
