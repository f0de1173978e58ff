"""A provider's reports about messages count once, in any order, and change what they have to and nothing else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations

import psycopg
import pytest

from cdp_platform.campaigns import outcomes
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.outcomes import OutcomesResult
from cdp_platform.campaigns.reports import Kind, Report
from cdp_platform.customers import persons
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import Warehouse


def report(key: str, kind: Kind, code: str = "", *, name: str = "1", age: timedelta = timedelta(0)) -> Report:
    return Report(name, key, kind, code, datetime.now(UTC) - age)


def take(sender: Sender, *reports: Report, journal: Journal | None = None) -> OutcomesResult:
    return outcomes.take(sender.connection, "email", reports, journal)


def sent(sender: Sender, number: int = 1, *, state: str = "confirmed", event: str = "spring") -> list[str]:
    """The keys of messages that were handed over to so many people, and what came of it."""
    sender.event(event)
    ids = sender.people(number)
    sender.reserve(ids, event)
    hand_over(sender, state, event)
    return keys(sender, event)


def hand_over(sender: Sender, state: str, event: str = "spring") -> None:
    sender.rows(
        "UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now() WHERE event_id = %s", [event]
    )
    if state != "handed_over":
        sender.rows("UPDATE campaigns.delivery_log SET state = %s WHERE event_id = %s", [state, event])


def keys(sender: Sender, event: str = "spring") -> list[str]:
    rows = sender.rows(
        "SELECT message_key FROM campaigns.delivery_log WHERE event_id = %s ORDER BY profile_id", [event]
    )
    return [key for (key,) in rows]


def suppressed(sender: Sender) -> dict[str, str]:
    """The reason of each address that is suppressed, by the profile that has it."""
    return dict(
        sender.rows(
            "SELECT d.profile_id, s.reason FROM campaigns.suppression AS s"
            " JOIN campaigns.delivery_log AS d ON d.address_hash = s.address_hash AND d.channel = s.channel"
        )
    )


def consent(sender: Sender) -> dict[str, str]:
    return dict(sender.rows("SELECT profile_id, state FROM campaigns.consent_management WHERE channel = 'email'"))


def held(sender: Sender) -> list[tuple[str, str | None]]:
    """Kind and code of each outcome, in the order in which they happened."""
    return sender.rows("SELECT kind, status_code FROM campaigns.delivery_outcome ORDER BY happened_at, kind")


@pytest.mark.parametrize(
    ("kind", "code", "state"),
    [
        ("delivered", "", "confirmed"),
        ("complained", "", "confirmed"),
        ("opted_out", "", "confirmed"),
        ("bounced", "5.1.1", "failed bad_address"),
        ("bounced", "5.7.1", "failed refused"),
        ("bounced", "4.4.7", "failed refused"),
    ],
)
def test_a_report_settles_a_delivery_of_which_nobody_knew(sender: Sender, kind: Kind, code: str, state: str):
    (key,) = sent(sender, state="unknown")
    assert take(sender, report(key, kind, code)) == OutcomesResult(1, 0, [])
    assert sender.states() == {state: 1}
    assert held(sender) == [(kind, code or None)]


@pytest.mark.parametrize("code", ["5.1.1", "5.7.1", "4.2.2"])
def test_what_was_confirmed_stays_so_when_it_bounces_later(sender: Sender, code: str):
    (key,) = sent(sender)
    take(sender, report(key, "bounced", code))
    assert sender.states() == {"confirmed": 1}
    assert held(sender) == [("bounced", code)]


def test_a_report_that_comes_before_the_answer_to_the_message_counts_when_no_answer_comes(sender: Sender):
    (key,) = sent(sender, state="handed_over")
    take(sender, report(key, "delivered"))
    assert sender.states() == {"handed_over": 1}
    sender.rows("UPDATE campaigns.delivery_log SET state = 'unknown'")
    with sender.connection.transaction():
        sender.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [sender.tenant_id])
        assert outcomes.settle_unknown(sender.connection, sender.tenant_id) == 1
    assert sender.states() == {"confirmed": 1}


@pytest.mark.parametrize("code", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])
def test_an_address_that_does_not_work_gets_nothing_more(sender: Sender, code: str):
    key, _ = sent(sender, 2)
    take(sender, report(key, "bounced", code))
    assert suppressed(sender) == {"p0000": "hard_bounce"}
    assert consent(sender) == {"p0000": "given", "p0001": "given"}


@pytest.mark.parametrize("code", ["5.1.7", "5.1.8", "5.7.1", "5.7.26"])
def test_what_is_about_the_sender_never_counts_against_a_person(sender: Sender, code: str):
    (key,) = sent(sender)
    take(sender, *(report(key, "bounced", code, name=str(number)) for number in range(5)))
    assert suppressed(sender) == {}
    assert sender.rows("SELECT * FROM campaigns.recipient WHERE soft_bounces <> '{}'") == []


def test_three_soft_bounces_in_30_days_make_a_hard_one(sender: Sender):
    ids = sender.people(2)
    for place, event in enumerate(("first", "second", "third")):
        sender.event(event)
        sender.reserve(ids, event)
        hand_over(sender, "confirmed", event)
        take(sender, report(keys(sender, event)[0], "bounced", "4.2.2", name=event))
        assert suppressed(sender) == ({} if place < 2 else {"p0000": "hard_bounce"})


def test_soft_bounces_of_longer_ago_do_not_count(sender: Sender):
    ids = sender.people(1)
    for days, event in ((31, "first"), (29, "second"), (0, "third")):
        sender.event(event)
        sender.reserve(ids, event)
        hand_over(sender, "confirmed", event)
        age = timedelta(days=days)
        take(sender, report(keys(sender, event)[0], "bounced", "4.2.2", name=event, age=age))
    assert suppressed(sender) == {}
    assert len(held(sender)) == 3


def test_one_message_that_is_tried_again_and_again_bounces_once(sender: Sender):
    (key,) = sent(sender)
    take(sender, *(report(key, "bounced", "4.2.2", name=str(number)) for number in range(3)))
    take(sender, report(key, "bounced", "4.2.2", name="later"))
    assert len(held(sender)) == 4
    assert suppressed(sender) == {}


def test_a_complaint_ends_consent_and_suppresses_for_good(sender: Sender):
    key, _ = sent(sender, 2)
    take(sender, report(key, "complained"))
    assert suppressed(sender) == {"p0000": "complaint"}
    assert consent(sender) == {"p0000": "withdrawn", "p0001": "given"}
    assert sender.rows("SELECT source, evidence FROM campaigns.consent_management WHERE state = 'withdrawn'") == [
        ("provider", key)
    ]


def test_a_complaint_of_before_a_new_consent_does_not_end_it(sender: Sender):
    (key,) = sent(sender)
    take(sender, report(key, "opted_out", age=timedelta(days=2)))
    assert consent(sender) == {"p0000": "given"}


def test_each_report_counts_once_however_often_it_comes(sender: Sender):
    key, other = sent(sender, 2)
    twice = [report(key, "bounced", "4.2.2", name="a"), report(key, "bounced", "4.2.2", name="a")]
    assert take(sender, *twice) == OutcomesResult(1, 1, [])
    assert take(sender, *twice) == OutcomesResult(0, 2, [])
    assert take(sender, report(other, "delivered", name="a")) == OutcomesResult(0, 1, [])
    assert held(sender) == [("bounced", "4.2.2")]


def test_reports_may_come_in_any_order(new_sender: Callable[[str], Sender]):
    seen = set()
    kinds: tuple[Kind, ...] = ("delivered", "bounced", "complained")
    for number, order in enumerate(permutations(kinds)):
        sender = new_sender(f"tenant{number}")
        (key,) = sent(sender, state="unknown")
        for kind in order:
            take(sender, report(key, kind, "5.1.1" if kind == "bounced" else "", name=kind))
        seen.add(
            (tuple(sorted(kind for kind, _ in held(sender))), *suppressed(sender).values(), *consent(sender).values())
        )
    # Which of two reasons of a suppression is kept is the only thing that the order decides.
    assert {each[0] for each in seen} == {("bounced", "complained", "delivered")}
    assert {each[1:] for each in seen} == {("hard_bounce", "withdrawn"), ("complaint", "withdrawn")}


@pytest.mark.parametrize(("kind", "code", "number"), [("complained", "", 1), ("bounced", "5.1.1", 11)])
def test_an_event_pauses_itself_when_too_much_of_it_goes_wrong(sender: Sender, kind: Kind, code: str, number: int):
    known = sent(sender, 200)
    sender.rows("UPDATE campaigns.marketing_event SET status = 'running'")
    take(sender, *(report(key, kind, code, name=key) for key in known[: number - 1]))
    assert sender.status() == "running"
    take(sender, report(known[number - 1], kind, code, name="one more"))
    assert sender.status() == "paused"


def test_a_key_that_no_delivery_has_is_given_back(sender: Sender):
    (key,) = sent(sender)
    strange = report("0" * 40, "complained", name="strange")
    assert take(sender, strange, report(key, "delivered")) == OutcomesResult(1, 0, [strange])


def test_a_provider_says_nothing_about_messages_of_another_channel(sender: Sender):
    (key,) = sent(sender)
    foreign = report(key, "complained")
    assert outcomes.take(sender.connection, "sms", [foreign], None) == OutcomesResult(0, 0, [foreign])
    assert suppressed(sender) == {}


def test_reports_reach_each_tenant_and_no_other(new_sender: Callable[[str], Sender]):
    one, two = new_sender("one"), new_sender("two")
    (of_one,), (of_two,) = sent(one, event="of_one"), sent(two, event="of_two")
    result = take(one, report(of_one, "complained", name="1"), report(of_two, "bounced", "5.1.1", name="2"))
    assert result == OutcomesResult(2, 0, [])
    assert (suppressed(one), consent(one)) == ({"p0000": "complaint"}, {"p0000": "withdrawn"})
    assert (suppressed(two), consent(two)) == ({"p0000": "hard_bounce"}, {"p0000": "given"})


def test_a_report_about_an_erased_person_is_of_an_unknown_key(sender: Sender, app: psycopg.Connection):
    (key,) = sent(sender)
    persons.erase(app, sender.tenant_id, ["p0000"])
    assert len(take(sender, report(key, "complained")).unknown) == 1
    assert held(sender) == []


def test_two_who_take_the_same_reports_at_once_take_them_once(sender: Sender, warehouse: Warehouse):
    reports = [report(key, "bounced", "4.2.2", name=key) for key in sent(sender, 50)]

    def once(order: list[Report]) -> int:
        with connect(warehouse.settings) as connection:
            return outcomes.take(connection, "email", order, None).taken

    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(once, [reports, reports[::-1], reports, reports[::-1]]))
    assert sum(taken) == 50
    assert len(held(sender)) == 50
