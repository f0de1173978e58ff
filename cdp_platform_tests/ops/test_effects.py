from typing import get_args

import psycopg
import pytest

from cdp_platform.ops.effects import UNRESOLVED, Ledger, State
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

STATES: tuple[State, ...] = get_args(State)
# By hand, and not from the table that the trigger reads.
MOVES = {
    None: {"reserved", "excluded", "unchanged"},
    "reserved": {"handed_over", "failed", "excluded", "unchanged"},
    "handed_over": {"confirmed", "failed", "unknown", "reserved"},
    "unknown": {"confirmed", "failed"},
}


def ledger(connection: psycopg.Connection) -> Ledger:
    return Ledger(connection, "acme", "loyalty.letter", "letter_id")


def put(warehouse: Warehouse, key: str, state: str) -> None:
    """A row in any state, as no room can write it."""
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO loyalty.letter (tenant_id, letter_id, state) VALUES ('acme', %s, %s)", [key, state]
        )


@pytest.mark.parametrize("before", STATES)
def test_a_row_moves_forward_only(warehouse: Warehouse, room: psycopg.Connection, before: State) -> None:
    for after in STATES:
        put(warehouse, after, before)
        statement = "UPDATE loyalty.letter SET state = %s, words = 'x' WHERE letter_id = %s"
        if after == before or after in MOVES.get(before, ()):
            with tenant_transaction(room, "acme"):
                assert room.execute(statement, [after, after]).rowcount == 1
            continue
        refused = pytest.raises(psycopg.errors.CheckViolation, match=f"that is {before} does not become {after}")
        with refused, tenant_transaction(room, "acme"):
            room.execute(statement, [after, after])


@pytest.mark.parametrize("state", STATES)
def test_a_row_begins_before_anything_was_sent(room: psycopg.Connection, state: State) -> None:
    statement = "INSERT INTO loyalty.letter (tenant_id, letter_id, state) VALUES ('acme', 'a', %s)"
    if state in MOVES[None]:
        with tenant_transaction(room, "acme"):
            room.execute(statement, [state])
        return
    refused = pytest.raises(psycopg.errors.CheckViolation, match="that is new does not become")
    with refused, tenant_transaction(room, "acme"):
        room.execute(statement, [state])


def test_the_table_of_moves_and_the_types_say_the_same(room: psycopg.Connection) -> None:
    rows = room.execute("SELECT before, after FROM ops.effect_move").fetchall()
    assert set(rows) == {(before, after) for before, some in MOVES.items() for after in some}
    with pytest.raises(psycopg.errors.CheckViolation):
        room.execute("SELECT 'sent'::ops.effect_state")
    assert {room.execute("SELECT %s::ops.effect_state", [state]).fetchone() for state in STATES} == {
        (state,) for state in STATES
    }
    # What is unresolved is what may still move after it was begun.
    assert set(UNRESOLVED) == {before for before in MOVES if before}


def test_an_effect_is_reserved_once_and_handed_over_once(warehouse: Warehouse, room: psycopg.Connection) -> None:
    with tenant_transaction(room, "acme"):
        assert ledger(room).reserve("a", {"words": "hello"})
        assert not ledger(room).reserve("a", {"words": "again"})
        assert ledger(room).hand_over("a")
    with connect(warehouse.settings) as other, tenant_transaction(other, "acme"):
        assert not ledger(other).hand_over("a")
        assert other.execute("SELECT words, state FROM loyalty.letter").fetchall() == [("hello", "handed_over")]


def test_what_is_unresolved_is_settled_by_asking_and_stays_settled(room: psycopg.Connection) -> None:
    sent = {"b"}
    with tenant_transaction(room, "acme"):
        book = ledger(room)
        for key in "abcde":
            book.reserve(key)
        for key in "abcd":
            book.hand_over(key)
        book.settle("c", "unknown", "no answer")
        book.settle("d", "confirmed")
        assert book.unresolved() == {"a": "handed_over", "b": "handed_over", "c": "unknown", "e": "reserved"}
        for key, state in book.unresolved().items():
            if state != "reserved":
                assert book.settle(key, "confirmed" if key in sent else "failed", "asked")
        assert book.unresolved() == {"e": "reserved"}
        assert not book.settle("d", "failed")
        rows = room.execute("SELECT letter_id, state, reason FROM loyalty.letter ORDER BY 1").fetchall()
    assert rows == [
        ("a", "failed", "asked"),
        ("b", "confirmed", "asked"),
        ("c", "failed", "asked"),
        ("d", "confirmed", None),
        ("e", "reserved", None),
    ]


def test_what_was_certainly_not_taken_is_handed_over_again(room: psycopg.Connection) -> None:
    with tenant_transaction(room, "acme"):
        book = ledger(room)
        book.reserve("a")
        assert not book.put_back("a")
        assert book.hand_over("a")
        assert book.put_back("a", "the connection was refused")
        assert book.unresolved() == {"a": "reserved"}
        assert book.hand_over("a")
        book.settle("a", "unknown")
        assert not book.put_back("a")
        assert book.unresolved() == {"a": "unknown"}


def test_an_outcome_without_a_call_is_refused(room: psycopg.Connection) -> None:
    with tenant_transaction(room, "acme"):
        ledger(room).reserve("a")
    for state in ("confirmed", "unknown"):
        with pytest.raises(psycopg.errors.CheckViolation), tenant_transaction(room, "acme"):
            ledger(room).settle("a", state)


def test_ledgers_of_tenants_are_apart(room: psycopg.Connection) -> None:
    with tenant_transaction(room, "acme"):
        ledger(room).reserve("a")
    with tenant_transaction(room, "other"):
        assert Ledger(room, "other", "loyalty.letter", "letter_id").unresolved() == {}
