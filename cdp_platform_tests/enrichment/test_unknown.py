"""Lost answers: evidence settles what they cost, what stays unknown is held, and nobody pays twice for impatience."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from cdp_platform.enrichment import account, unknown
from cdp_platform.enrichment.unknown import Settled
from cdp_platform.errors import ConfigurationError
from cdp_platform.resources.apollo import account_of
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.later import pass_by
from cdp_platform_tests.enrichment.room import Room
from cdp_sandbox.apollo import KEY, PEOPLE_KEY

ACCOUNT = account_of(KEY)


@pytest.fixture
def room(room: Room) -> Room:
    """A tenant whose account was read before its first call."""
    with room.client() as client:
        assert account.baseline(room.connection, ACCOUNT, client)
    return room


def settle(room: Room, *, key: str = KEY, **options: str) -> Settled:
    with room.client(key=key) as client:
        return unknown.settle(room.connects, room.tenant_id, client, room.settings(**options))


def lose(room: Room, how: str = "drop_after", people: int = 3) -> UUID:
    """A search whose only call got no answer; the id of the call."""
    before = len(room.apollo.fired())
    room.search(people)
    room.apollo.spoil(how)
    room.run()
    assert room.apollo.fired()[before:] == [1]
    ((call_id, state),) = room.rows(
        "SELECT call_id, state FROM enrichment.provider_call ORDER BY created_at DESC LIMIT 1"
    )
    assert state == "unknown"
    return call_id


def decide(room: Room, call_id: UUID, decision: unknown.Decision, charged: int | None = None) -> None:
    credits_ = None if charged is None else Decimal(charged)
    unknown.resolve(room.connection, room.tenant_id, call_id, decision, charged=credits_)


def test_a_lost_answer_that_was_charged_is_booked_by_the_counter_and_its_contacts_stay_held(
    room: Room, warehouse: Warehouse
):
    call_id = lose(room)
    pass_by(warehouse)
    assert settle(room) == Settled(charged=1)
    assert room.apollo.credits() == 3
    room.assert_ledger_is_right()
    assert room.outcomes() == {"held": 3}
    reason = f"its call was charged, and the answer was lost; `cdp enrichment resolve {call_id}` ends that"
    assert room.rows("SELECT DISTINCT reason FROM enrichment.contact") == [(reason,)]
    assert room.run().calls == 0


def test_a_request_that_never_arrived_costs_nothing_and_is_made_again(room: Room, warehouse: Warehouse):
    lose(room, "drop_before")
    assert room.outcomes() == {"held": 3}
    pass_by(warehouse)
    assert settle(room) == Settled(not_charged=1)
    assert room.outcomes() == {"waiting": 3}
    room.run()
    assert room.outcomes() == {"enriched": 3}
    assert room.charged_twice() == 0
    room.assert_ledger_is_right()


def test_a_part_of_a_credit_is_evidence_too(room: Room, warehouse: Warehouse):
    room.search(3)
    room.apollo.spoil("distort", how="fractional")
    room.run()
    room.search(2)
    room.apollo.spoil("drop_after")
    room.run()
    assert room.apollo.fired() == [1, 1]
    pass_by(warehouse)
    assert settle(room).charged == 1
    assert room.ledger() == Decimal("3.05")
    room.assert_ledger_is_right()


def test_while_the_counter_may_be_late_nothing_is_concluded(room: Room, warehouse: Warehouse):
    room.apollo.set(counter_lag_seconds=30)
    lose(room)
    result = settle(room)
    assert (result.left, result.reason) == (1, "a call has just ended")
    room.apollo.set(counter_lag_seconds=0)
    pass_by(warehouse)
    assert settle(room) == Settled(charged=1)


def test_while_a_call_is_under_way_nothing_is_concluded(
    room: Room, warehouse: Warehouse, new_room: Callable[..., Room]
):
    lose(room)
    other = new_room("other")
    under_way = lose(other)
    other.rows("UPDATE enrichment.provider_call SET lease_until = now() + interval '1 hour'")
    with warehouse.superuser() as connection:
        # The state of a call that was sent, which nothing but the worker brings about.
        connection.execute("ALTER TABLE enrichment.provider_call DISABLE TRIGGER effects_move")
        connection.execute(
            "UPDATE enrichment.provider_call SET state = 'handed_over', settled_at = NULL WHERE call_id = %s",
            [under_way],
        )
    pass_by(warehouse)
    result = settle(room)
    assert (result.left, result.reason) == (1, "1 calls are under way")


def test_a_call_that_begins_while_the_counter_is_read_makes_it_say_nothing(
    room: Room, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    lose(room)
    pass_by(warehouse)
    with room.client() as client:
        read = client.credits

        def meanwhile() -> object:
            room.search(1)
            room.run()
            return read()

        monkeypatch.setattr(client, "credits", meanwhile)
        result = unknown.settle(room.connects, room.tenant_id, client, room.settings())
    assert (result.left, result.reason) == (1, "a call began meanwhile")


def test_several_lost_answers_of_which_any_was_charged_stay_unknown(room: Room, warehouse: Warehouse):
    lose(room)
    lose(room, "drop_before")
    pass_by(warehouse)
    result = settle(room)
    assert (result.charged, result.not_charged, result.left) == (0, 0, 2)
    assert result.reason.startswith("the account's counter moved by 3 credits more than the ledger knows")
    assert room.outcomes() == {"held": 6}


def test_several_requests_that_never_arrived_are_all_settled(room: Room, warehouse: Warehouse):
    lose(room, "drop_before")
    lose(room, "drop_before")
    pass_by(warehouse)
    assert settle(room) == Settled(not_charged=2)
    assert room.outcomes() == {"waiting": 6}


def test_a_lost_answer_of_another_tenant_at_the_same_account_counts_as_well(
    room: Room, warehouse: Warehouse, new_room: Callable[..., Room]
):
    other = new_room("other")
    lose(other)
    lose(room, "drop_before")
    pass_by(warehouse)
    assert settle(room).left == 1
    decide(other, other.rows("SELECT call_id FROM enrichment.provider_call")[0][0], "charged", 3)
    pass_by(warehouse)
    assert settle(room) == Settled(not_charged=1)


def test_what_others_use_of_the_account_is_not_taken_for_the_call(room: Room, warehouse: Warehouse):
    lose(room, "drop_before")
    room.apollo.ask(*[f"found-{n}@elsewhere.example" for n in range(4)])
    pass_by(warehouse)
    result = settle(room)
    assert (result.charged, result.left) == (0, 1)


def test_without_a_reading_before_the_call_the_counter_says_nothing(room: Room, warehouse: Warehouse):
    lose(room)
    with warehouse.superuser() as connection:
        connection.execute("DELETE FROM enrichment.account_reading")
    pass_by(warehouse)
    assert settle(room).left == 1
    # Nor is what it shows now kept as if it had been read before.
    assert settle(room).left == 1
    assert room.outcomes() == {"held": 3}


def test_a_billing_cycle_that_began_since_leaves_it_unknown(room: Room, warehouse: Warehouse):
    lose(room)
    pass_by(warehouse)
    with warehouse.superuser() as connection:
        connection.execute("UPDATE enrichment.account_reading SET cycle = 'the one before'")
    result = settle(room)
    assert (result.left, result.reason) == (1, "its counter began anew")


def test_a_key_that_may_not_read_the_counter_leaves_it_unknown(room: Room, warehouse: Warehouse):
    options: dict[str, Any] = {"apollo_api_key": PEOPLE_KEY}
    room.search(3)
    room.apollo.spoil("drop_after")
    room.run(client=lambda: room.client(key=PEOPLE_KEY), **options)
    pass_by(warehouse)
    result = settle(room, key=PEOPLE_KEY, **options)
    assert result.left == 1
    assert "does not let this key use" in result.reason
    assert room.outcomes() == {"held": 3}


def test_ask_again_buys_again_only_without_evidence_and_counts_the_possible_double(room: Room, warehouse: Warehouse):
    options: dict[str, Any] = {"apollo_api_key": PEOPLE_KEY, "enrichment_unknown": "ask-again"}
    room.search(3)
    room.apollo.spoil("drop_after")
    room.run(client=lambda: room.client(key=PEOPLE_KEY), **options)
    # At first it may only be too early.
    assert settle(room, key=PEOPLE_KEY, **options) == Settled(left=1, reason="a call has just ended")
    pass_by(warehouse)
    assert settle(room, key=PEOPLE_KEY, **options).asked_again == 1
    assert settle(room, key=PEOPLE_KEY, **options).asked_again == 0
    room.run(client=lambda: room.client(key=PEOPLE_KEY), **options)
    assert room.outcomes() == {"enriched": 3}
    ledger = "SELECT state, may_be_double, credits, credits_reserved FROM enrichment.provider_call ORDER BY created_at"
    assert room.rows(ledger) == [("unknown", False, None, 3), ("confirmed", True, 3, 0)]
    assert room.apollo.credits() == 6


def test_ask_again_asks_nobody_whom_the_counter_shows_as_charged(room: Room, warehouse: Warehouse):
    lose(room)
    pass_by(warehouse)
    assert settle(room, enrichment_unknown="ask-again") == Settled(charged=1)
    assert room.outcomes() == {"held": 3}


def test_an_answer_without_counts_is_booked_by_the_counter(room: Room, warehouse: Warehouse):
    room.search(3)
    room.apollo.spoil("distort", how="no_counts")
    room.run()
    assert room.apollo.fired() == [1]
    assert (room.ledger(), room.reserved()) == (0, 3)
    pass_by(warehouse)
    assert settle(room) == Settled(counted=1)
    assert room.outcomes() == {"enriched": 3}
    room.assert_ledger_is_right()


def test_an_answer_about_others_was_charged_and_its_contacts_are_held(room: Room, warehouse: Warehouse):
    room.search(3)
    room.apollo.spoil("distort", how="short")
    room.run()
    assert room.apollo.fired() == [1]
    assert room.outcomes() == {"held": 3}
    room.assert_ledger_is_right()
    decide(room, room.rows("SELECT call_id FROM enrichment.provider_call")[0][0], "ask_again")
    room.run()
    assert room.rows("SELECT may_be_double FROM enrichment.provider_call ORDER BY created_at") == [(False,), (True,)]
    room.assert_ledger_is_right()


def test_contacts_that_come_later_with_the_same_question_are_held_with_it(room: Room, warehouse: Warehouse):
    room.search(["found@shop.example"])
    room.apollo.spoil("drop_after")
    room.run()
    room.search(["found@shop.example"])
    room.run()
    pass_by(warehouse)
    settle(room)
    assert room.outcomes() == {"held": 2}
    assert room.apollo.credits() == 1


def test_a_person_says_that_a_call_was_charged(room: Room):
    call_id = lose(room)
    decide(room, call_id, "charged", 3)
    assert room.outcomes() == {"unusable": 3}
    assert room.run().ready == 1
    room.assert_ledger_is_right()


def test_a_person_says_that_a_call_was_not_charged(room: Room):
    call_id = lose(room, "drop_before")
    decide(room, call_id, "not_charged")
    assert room.reserved() == 0
    assert room.run().ready == 1
    assert room.outcomes() == {"enriched": 3}
    room.assert_ledger_is_right()


def test_a_person_has_a_lost_answer_bought_again(room: Room, warehouse: Warehouse):
    call_id = lose(room)
    pass_by(warehouse)
    settle(room)
    decide(room, call_id, "ask_again")
    assert room.run().ready == 1
    assert room.outcomes() == {"enriched": 3}
    assert room.charged_twice() == 3
    assert room.rows("SELECT may_be_double FROM enrichment.provider_call ORDER BY created_at") == [(False,), (True,)]
    room.assert_ledger_is_right()


def test_a_search_that_waits_for_a_person_goes_on_at_once(room: Room):
    call_id = lose(room)
    assert room.rows("SELECT not_before IS NOT NULL FROM enrichment.search") == [(True,)]
    decide(room, call_id, "ask_again")
    assert room.rows("SELECT not_before IS NOT NULL, status_reason FROM enrichment.search") == [(False, None)]


def test_what_cannot_be_decided_says_why_and_changes_nothing(room: Room, warehouse: Warehouse):
    with pytest.raises(ConfigurationError, match="No contacts of tenant acme are held"):
        decide(room, uuid4(), "ask_again")
    call_id = lose(room)
    with pytest.raises(ConfigurationError, match="Give the credits"):
        decide(room, call_id, "charged")
    pass_by(warehouse)
    settle(room)
    with pytest.raises(ConfigurationError, match="was charged 3 credits"):
        decide(room, call_id, "not_charged")
    assert room.outcomes() == {"held": 3}
    decide(room, call_id, "charged")
    with pytest.raises(ConfigurationError, match="No contacts of tenant acme are held"):
        decide(room, call_id, "ask_again")
    room.assert_ledger_is_right()


@pytest.mark.parametrize("how", ["drop_after", "drop_before"])
def test_settling_that_is_killed_anywhere_is_finished_by_the_next(
    new_room: Callable[..., Room], warehouse: Warehouse, how: str
):
    numbers = iter(range(100))

    def fresh() -> Room:
        made = new_room(f"tenant-{next(numbers)}")
        # As if each had an account of its own.
        with warehouse.superuser() as connection:
            connection.execute("DELETE FROM ops.gate")
            connection.execute("DELETE FROM enrichment.account_reading")
            connection.execute("UPDATE enrichment.provider_call SET account = account || ' before'")
        with made.client() as client:
            assert account.baseline(made.connection, ACCOUNT, client)
        lose(made, how)
        pass_by(warehouse)
        return made

    for _point, killed in crashes.after_every_write(settle, fresh):
        settle(killed)
        held = "held" if how == "drop_after" else "waiting"
        assert killed.outcomes() == {held: 3}
        assert killed.reserved() == 0
        assert killed.ledger() == (3 if how == "drop_after" else 0)
