"""The parts that benchmarks of campaigns share: people who agreed, an event that runs, and a channel that takes all."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import time
from typing import Any

from psycopg import sql

from benchmarks.database import BenchmarkDatabase
from benchmarks.reporting import Bar, arguments, finish
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect

TENANT = "campaigns"
ANYTIME = CampaignSettings(cap_messages=1_000, quiet_from=time(0), quiet_until=time(0), postal_address="1 Main Street")
"""Messages at any time of the day, also to those who had messages before."""
_PEOPLE = """
INSERT INTO ops.address_salt (tenant_id, salt) VALUES ({tenant}, sha256('benchmark')) ON CONFLICT DO NOTHING;
INSERT INTO customers.cdp_profiles
SELECT r.* FROM generate_series(1, {people}) AS n, LATERAL jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', {tenant}, 'profile_id', md5('profile ' || n), 'status', 'active',
        'first_name', 'Linh ' || n, 'primary_email', n || '@example.org', 'document_hash', '', 'synced_at', now(),
        'updated_at', now())) AS r;
INSERT INTO campaigns.consent_management (tenant_id, profile_id, channel, state, source, happened_at)
SELECT {tenant}, md5('profile ' || n), 'email', 'given', 'file', now() FROM generate_series(1, {people}) AS n;
INSERT INTO campaigns.campaign (tenant_id, code, name) VALUES ({tenant}, 'spring', 'spring');
"""
_EVENT = """
INSERT INTO campaigns.marketing_event (
    tenant_id, event_id, campaign_code, name, channel, segment_id, template, start_at, end_at)
VALUES ({tenant}, {event}, 'spring', 'spring', 'email', 'everybody', 'welcome', now() - interval '1 minute',
    now() + interval '1 day');
INSERT INTO campaigns.segment_snapshot (tenant_id, snapshot_id, event_id, segment_id, people)
VALUES ({tenant}, {event}, {event}, 'everybody', {people});
UPDATE campaigns.marketing_event SET status = 'running' WHERE tenant_id = {tenant} AND event_id = {event};
"""


@dataclass(frozen=True)
class AtOnce:
    """A channel that takes every message at once, and keeps none."""

    name: str = "email"
    kind: str = "email"
    to: str = "email"
    per_minute: int | None = None
    per_day: int | None = None
    key_seconds: float = 3600
    can_answer: bool = False

    @contextmanager
    def open(self) -> Generator["AtOnce"]:
        """Itself."""
        yield self

    def send(self, batch: Sequence[Outgoing]) -> Sequence[Answer]:
        """Take all."""
        return [Answer(Verdict.ACCEPTED, "250")] * len(batch)

    def ask(self, key: str) -> Answer | None:
        """The answer is never asked for."""
        raise NotImplementedError(key)

    def look(self) -> str:
        """Its name."""
        return self.name


def compose(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
    """Messages without content."""
    return [Outgoing(handed.key, handed.address, b"") for handed in batch]


def add_people(database: BenchmarkDatabase, people: int) -> None:
    """Make the tenant, so many people who agreed to e-mail, and a campaign."""
    with database.superuser() as superuser, connect(database.settings) as connection:
        superuser.execute(sql.SQL(_PEOPLE).format(tenant=TENANT, people=people))
        tenants.add(connection, TENANT, settings=[ANYTIME])


def add_event(database: BenchmarkDatabase, event_id: str, people: int) -> None:
    """Make an event for so many people that runs and has no deliveries."""
    with database.superuser() as superuser:
        superuser.execute(sql.SQL(_EVENT).format(tenant=TENANT, event=event_id, people=people))


def run_alone(
    about: str | None, title: str, measure: Callable[[int, int], tuple[list[dict[str, Any]], list[Bar]]], *, people: int
) -> int:
    """Run one part from the command line; returns the exit code.

    Args:
        about: help of the command.
        title: of the report; ``{people}`` in it stands for their number.
        measure: of the part: takes the number of people, and how often each way is measured.
        people: their number by default.
    """
    parser = arguments(about)
    parser.add_argument("--people", type=int, default=people, help="how many there are")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    given = parser.parse_args()
    rows, bars = measure(given.people, given.rounds)
    return finish(title.format(people=f"{given.people:,}"), rows, bars, as_json=given.as_json)
