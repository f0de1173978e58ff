"""The effect of an event in money: whose purchases count, of which days, and on which side."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cdp_platform.campaigns import effect
from cdp_platform.campaigns.effect import Effect
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.audiences import MEMBER, frozen
from cdp_platform_tests.campaigns.sender import Sender

_START = datetime(2026, 3, 2, 3, tzinfo=UTC)
_LATER = _START + timedelta(days=8)
# Everybody of the audience as the freeze decides it, after `capped`, with a share of 0.2 held out by the event.
_SNAPSHOT = """
INSERT INTO campaigns.segment_snapshot
    (tenant_id, snapshot_id, event_id, segment_id, people, taken_at, holdout_share, global_holdout_share)
VALUES (%s, 'spring', 'spring', 'all', %s, %s, %s, %s)
"""
_MEMBERS = """
INSERT INTO campaigns.segment_snapshot_member
    (tenant_id, snapshot_id, member, profile_id, decision, reason, time_zone)
SELECT %(tenant)s, 'spring', n, 'p' || n, CASE WHEN r.reason IS NULL THEN 'included' ELSE 'excluded' END, r.reason,
    %(zone)s
FROM generate_series(1, %(people)s) AS n, ops.salt_of(%(tenant)s) AS salt, LATERAL (SELECT CASE
    WHEN campaigns.held_out(salt, '*', 'p' || n, %(all)s::numeric) THEN 'holdout'
    WHEN n %% 50 = 0 THEN 'no_consent'
    WHEN n %% 50 = 1 THEN 'capped'
    WHEN campaigns.held_out(salt, 'spring', 'p' || n, %(share)s::numeric) THEN 'holdout'
    WHEN n %% 50 = 2 THEN 'too_late' END) AS r (reason)
"""
_ORDERS = """
INSERT INTO customers.transactions (tenant_id, line_id, profile_id, order_id, amount, currency, occurred_at,
    segment_ids, asset_group_ids, document, document_hash)
SELECT %(tenant)s, %(prefix)s || profile_id, profile_id, %(prefix)s || profile_id, %(amount)s, %(currency)s, %(at)s,
    '[]', '[]', '{}', ''
FROM campaigns.segment_snapshot_member
WHERE tenant_id = %(tenant)s AND (%(reason)s = 'any' OR coalesce(reason, 'included') = %(reason)s)
  AND (%(every)s = 1 OR member %% %(every)s = 0)
"""
_ORDER_OF_EACH = """
INSERT INTO customers.transactions (tenant_id, line_id, profile_id, amount, currency, occurred_at,
    segment_ids, asset_group_ids, document, document_hash)
SELECT %(tenant)s, id, id, 10, 'VND', now() + interval '1 day', '[]', '[]', '{}', ''
FROM unnest(%(people)s::text[]) AS id
"""


class _Audience:
    """An event that was frozen at ``_START``, and purchases of its people."""

    def __init__(
        self, sender: Sender, *, people: int = 2000, share: float = 0.2, of_all: float = 0, zone: str | None = None
    ) -> None:
        self.sender = sender
        sender.event(
            start_at=_START, end_at=_START + timedelta(days=1), holdout_share=share, local_time=zone is not None
        )
        names = {"tenant": sender.tenant_id, "people": people, "share": share, "all": of_all, "zone": zone}
        sender.rows(_SNAPSHOT, [sender.tenant_id, people, _START, share, of_all])
        sender.rows(_MEMBERS, names)

    def buy(
        self,
        reason: str,
        amount: float,
        *,
        after: timedelta = timedelta(days=1),
        currency: str = "VND",
        every: int = 1,
        prefix: str = "o",
    ) -> None:
        """An order of each of those with this decision; of every n-th alone."""
        self.sender.rows(
            _ORDERS,
            {
                "tenant": self.sender.tenant_id,
                "prefix": f"{prefix}{reason}{after}",
                "amount": amount,
                "currency": currency,
                "at": _START + after,
                "reason": reason,
                "every": every,
            },
        )

    def number(self, reason: str) -> int:
        query = "SELECT count(*) FROM campaigns.segment_snapshot_member WHERE coalesce(reason, 'included') = %s"
        return self.sender.rows(query, [reason])[0][0]

    def measured(self, now: datetime = _LATER) -> list[Effect]:
        return effect.measure(self.sender.connection, self.sender.tenant_id, "spring", now=now)

    def the_one(self, now: datetime = _LATER) -> Effect:
        (found,) = self.measured(now)
        return found


def test_treated_are_all_who_were_to_have_the_message_and_the_others_are_held_out(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("included", 100, every=2)
    audience.buy("too_late", 100)
    audience.buy("holdout", 60, every=2)
    audience.buy("no_consent", 1_000_000)
    audience.buy("capped", 1_000_000)
    found = audience.the_one()
    treated, held_out = audience.number("included") + audience.number("too_late"), audience.number("holdout")
    assert (found.holdout, found.currency, found.treated, found.held_out) == ("event", "VND", treated, held_out)
    assert found.verdict == "more"
    assert found.difference is not None
    assert found.difference == pytest.approx(found.treated_mean - found.held_out_mean)
    assert found.total == pytest.approx(found.difference * treated)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.difference < found.high


def test_only_purchases_of_the_seven_days_count(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("included", 100, every=2)
    audience.buy("holdout", 100, every=2)
    counted = audience.the_one()
    audience.buy("included", 1000, after=timedelta(days=7))
    audience.buy("holdout", 1000, after=timedelta(seconds=-1))
    found = audience.the_one()
    assert (found.treated_mean, found.held_out_mean) == (counted.treated_mean, counted.held_out_mean)


def test_refunds_are_taken_off(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("included", 100, every=2)
    audience.buy("holdout", 100, every=2)
    before = audience.the_one().treated_mean
    audience.buy("included", -40, every=2, prefix="refund")
    assert audience.the_one().treated_mean == pytest.approx(0.6 * before)


def test_currencies_are_never_added(sender: Sender) -> None:
    audience = _Audience(sender)
    for currency, amount in (("VND", 100_000), ("USD", 4)):
        audience.buy("included", amount, every=2, currency=currency, prefix=currency)
        audience.buy("holdout", amount, every=2, currency=currency, prefix=currency)
    dollars, dong = audience.measured()
    assert (dollars.currency, dong.currency) == ("USD", "VND")
    assert dollars.held_out_mean < 4
    assert 40_000 < dong.held_out_mean < 100_000


def test_the_luck_of_the_draw_before_the_event_is_no_effect(sender: Sender) -> None:
    audience = _Audience(sender)
    for reason in ("included", "holdout"):
        audience.buy(reason, 100, every=2)
        audience.buy(reason, 200, every=2, after=timedelta(days=-30))
    # Treated people who buy much in any week.
    audience.buy("included", 900, every=10, prefix="more")
    audience.buy("included", 1800, every=10, after=timedelta(days=-30), prefix="more")
    found = audience.the_one()
    assert found.difference is not None
    assert found.treated_mean - found.held_out_mean > 50
    assert abs(found.difference) < 10


def test_with_local_time_the_days_begin_at_the_first_start_of_a_person(sender: Sender) -> None:
    audience = _Audience(sender, zone="America/Los_Angeles")
    # 03:00 in Los Angeles is 11:00 in UTC, eight hours after the clock time in UTC. Who is held out has no time zone.
    sender.rows("UPDATE campaigns.segment_snapshot_member SET time_zone = NULL WHERE reason = 'holdout'")
    audience.buy("any", 1000, after=timedelta(hours=7), prefix="before")
    audience.buy("included", 10, after=timedelta(hours=9), every=2)
    audience.buy("holdout", 10, after=timedelta(days=7, hours=7), every=2)
    found = audience.the_one(now=_START + timedelta(days=9))
    assert 4 < found.treated_mean < 10
    assert 4 < found.held_out_mean < 10
    assert found.measured_until == _START + timedelta(days=7, hours=8)


def test_those_held_out_of_every_event_are_a_side_of_their_own(sender: Sender) -> None:
    audience = _Audience(sender, share=0.2, of_all=0.2)
    audience.buy("any", 10, every=2)
    by_event, by_all = sorted(audience.measured(), key=lambda each: each.holdout)
    assert (by_event.holdout, by_all.holdout) == ("event", "global")
    # Caps come before the event's holdout, and count nothing for those who never get a message.
    assert by_all.treated == by_event.treated + by_event.held_out + audience.number("capped")
    assert by_event.held_out + by_all.held_out == audience.number("holdout")


def test_too_few_buyers_give_no_verdict_but_how_many_people_it_takes(sender: Sender) -> None:
    audience = _Audience(sender, people=300)
    audience.buy("any", 10, every=3)
    found = audience.the_one()
    assert (found.verdict, found.difference, found.low, found.total) == ("too_few", None, None, None)
    assert found.buyers_needed == 40
    assert found.people_needed == pytest.approx(3 * 40, rel=0.15)


def test_before_its_days_are_over_an_event_has_no_verdict(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("any", 10, every=2)
    assert audience.the_one(now=_START + timedelta(days=6)).verdict == "too_early"
    assert audience.the_one(now=_START + timedelta(days=7)).verdict == "no_difference"


def test_an_event_that_holds_nobody_out_is_not_measured(sender: Sender) -> None:
    audience = _Audience(sender, share=0)
    audience.buy("any", 10)
    assert audience.measured() == []


def test_an_erased_person_is_on_no_side_and_is_counted(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("any", 10, every=2)
    before = audience.the_one()
    sender.rows("UPDATE campaigns.segment_snapshot_member SET profile_id = NULL WHERE member IN (3, 4, 5)")
    after = audience.the_one()
    assert after.erased == 3
    assert after.treated + after.held_out == before.treated + before.held_out - 3


def test_a_refresh_writes_what_is_measured_and_again_the_same(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("any", 10, every=2)
    for _ in range(2):
        result = effect.refresh(sender.connection, sender.tenant, now=_LATER)
        assert (result.events, result.effects, result.verdicts) == (1, 1, {"no_difference": 1})
        assert effect.listed(sender.connection, sender.tenant_id) == audience.measured()


def test_an_effect_that_is_settled_stays_when_its_people_are_deleted(sender: Sender) -> None:
    audience = _Audience(sender)
    audience.buy("any", 10, every=2)
    effect.refresh(sender.connection, sender.tenant, now=_LATER)
    written = effect.listed(sender.connection, sender.tenant_id)
    sender.rows("DELETE FROM campaigns.segment_snapshot_member")
    assert effect.refresh(sender.connection, sender.tenant, now=_START + timedelta(days=60)).events == 0
    assert effect.listed(sender.connection, sender.tenant_id) == written


def test_an_audience_remembers_the_shares_that_it_was_frozen_with(sender: Sender) -> None:
    people = sender.people(400, segments=MEMBER)
    sender.event(holdout_share=0.3)
    snapshot = frozen(sender, holdout_share=0.2)
    sender.rows("UPDATE campaigns.marketing_event SET holdout_share = 0")
    sender.rows(_ORDER_OF_EACH, {"tenant": sender.tenant_id, "people": people})
    found = effect.measure(sender.connection, sender.tenant_id, "spring", now=datetime.now(UTC) + timedelta(days=8))
    assert [each.holdout for each in found] == ["event", "global"]
    by_event, by_all = found
    assert by_event.held_out + by_all.held_out == snapshot.by_reason["holdout"]
    assert by_all.treated + by_all.held_out == 400


def test_tenants_have_effects_of_their_own(sender: Sender, new_sender: Callable[[str], Sender]) -> None:
    audience, other = _Audience(sender), new_sender("globex")
    audience.buy("any", 10, every=2)
    effect.refresh(sender.connection, sender.tenant, now=_LATER)
    assert effect.measure(other.connection, other.tenant_id, now=_LATER) == []
    assert effect.listed(other.connection, other.tenant_id) == []
    with tenant_transaction(other.connection, other.tenant_id):
        assert other.connection.execute("SELECT FROM campaigns.effect").fetchall() == []
