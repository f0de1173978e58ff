"""Phone numbers come later, to a secret address: once each, to the right contacts, and with what they cost."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from cdp_platform.customers import persons
from cdp_platform.enrichment import phones, running, unknown
from cdp_platform.enrichment.phones import Asked
from cdp_platform.errors import ConfigurationError
from cdp_platform.resources.apollo import Apollo
from cdp_platform.resources.apollo_answers import BulkAnswer
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.later import pass_by
from cdp_platform_tests.enrichment.room import Room
from cdp_sandbox.apollo import KEY

MOBILE, OTHER, WITHOUT = (f"{name}@shop.example" for name in ("mobile1", "mobile2", "nomobile"))
NUMBERS = "SELECT c.email, f.value -> 0 ->> 'number' FROM enrichment.contact_field AS f JOIN enrichment.contact AS c"
NUMBERS += " USING (tenant_id, contact_id) WHERE f.field = 'phones' ORDER BY 1"


@pytest.fixture
def room(room: Room) -> Room:
    """A tenant whose phones are delivered by the test, and by nobody else."""
    room.apollo.set(deliveries=0, delivery_seconds=0)
    return room


def run(room: Room, client: type[Apollo] = Apollo) -> None:
    running.run(
        room.connects,
        room.tenant_id,
        lambda: client(key=KEY, base_url=room.apollo.base_url, timeout=5.0),
        room.settings(),
        seconds=60,
        phone_address=phones.addresses("http://127.0.0.1:9"),
    )


def posts(room: Room) -> list[tuple[str, UUID, str, bytes]]:
    """Tenant, call, secret and body of each delivery that there is to be."""
    found = []
    for delivery in room.apollo.deliveries():
        *_, tenant_id, call_id, secret = delivery["url"].split("/")
        body = orjson.dumps(delivery["body"], default=float)
        found.append((tenant_id, UUID(call_id), secret, body))
    return found


def take(room: Room, post: Sequence[Any] | None = None) -> str:
    tenant_id, call_id, secret, body = post or posts(room)[-1]
    with room.connects() as connection:
        return phones.take(connection, tenant_id, call_id, secret, body)


def ask(room: Room) -> Asked:
    with room.client() as client:
        return phones.ask(room.connects, room.tenant_id, client, room.settings())


def erase(room: Room, address: str) -> None:
    with room.connects() as connection, tenant_transaction(connection, room.tenant_id):
        persons.erase_person(connection, room.tenant_id, ["p1"], [address])


def numbers(room: Room) -> dict[str, str]:
    return dict(room.rows(NUMBERS))


def delivered_to(room: Room) -> set[str]:
    found = numbers(room)
    assert all(number.startswith("+") for number in found.values())
    return set(found)


def test_a_delivery_gives_contacts_their_numbers_and_the_search_is_ready(room: Room):
    search = room.search([MOBILE, OTHER, WITHOUT, "unmatched@shop.example"], phones=True)
    run(room)
    assert (room.of(search, "status"), room.reserved()) == ("enriching", 24)
    assert take(room) == "taken"
    assert delivered_to(room) == {MOBILE, OTHER}
    assert room.apollo.credits() == 3 + 2 * 8
    room.assert_ledger_is_right()
    run(room)
    assert room.of(search, "status") == "ready"


@pytest.mark.parametrize("again", ["twice", "after the search is ready"])
def test_a_repeated_delivery_changes_nothing(room: Room, again: str):
    room.search([MOBILE], phones=True)
    run(room)
    take(room)
    if again != "twice":
        run(room)
    before = room.rows(NUMBERS), room.ledger(), room.rows("SELECT * FROM enrichment.spend")
    assert take(room) == "known"
    assert before == (room.rows(NUMBERS), room.ledger(), room.rows("SELECT * FROM enrichment.spend"))


def test_only_the_secret_address_of_the_very_call_is_one(room: Room, new_room: Any):
    other = new_room("other")
    room.search([MOBILE], phones=True)
    run(room)
    tenant_id, call_id, secret, body = posts(room)[0]
    wrong = [
        ("other", call_id, secret),
        (tenant_id, uuid4(), secret),
        (tenant_id, call_id, secret[:-1] + ("a" if secret[-1] != "a" else "b")),
        (tenant_id, call_id, ""),
        (other.tenant_id, uuid4(), ""),
    ]
    for address in wrong:
        assert take(room, (*address, body)) == "refused"
    assert delivered_to(room) == set()
    assert room.reserved() == 8


def test_a_call_without_phones_has_no_address(room: Room):
    room.search([MOBILE])
    run(room)
    ((call_id,),) = room.rows("SELECT call_id FROM enrichment.provider_call")
    assert take(room, (room.tenant_id, call_id, "", b'{"people": []}')) == "refused"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"people": [{"phone_numbers": []}]}', b"<html>"])
def test_what_cannot_be_read_changes_nothing(room: Room, body: bytes):
    room.search([MOBILE], phones=True)
    run(room)
    assert take(room, (*posts(room)[0][:3], body)) == "unreadable"
    assert room.reserved() == 8
    assert take(room) == "taken"


def test_the_ledger_has_no_secret(room: Room, warehouse: Warehouse):
    room.search([MOBILE], phones=True)
    run(room)
    (_, _, secret, _) = posts(room)[0]
    with warehouse.superuser() as connection:
        rows = connection.execute("SELECT c::text FROM enrichment.provider_call AS c").fetchall()
    assert len(secret) >= 32
    assert all(secret not in row for (row,) in rows)


def test_a_delivery_that_comes_before_the_answer_waits_for_it(room: Room):
    kept = []

    class Early(Apollo):
        """The delivery arrives while the answer is still on its way."""

        def bulk_match(self, *args: Any, **options: Any) -> BulkAnswer:
            answer = super().bulk_match(*args, **options)
            kept.append(take(room))
            return answer

    search = room.search([MOBILE, WITHOUT], phones=True)
    run(room, Early)
    assert kept == ["kept"]
    assert delivered_to(room) == {MOBILE}
    assert room.of(search, "status") == "ready"
    assert room.rows("SELECT 1 FROM enrichment.phone_delivery") == []
    room.assert_ledger_is_right()
    assert take(room) == "known"


def test_the_delivery_of_an_earlier_call_is_for_the_contacts_of_a_later_one_too(room: Room):
    room.apollo.set(delivery_seconds=3600)
    first = room.search([MOBILE], phones=True)
    run(room)
    # Another question about the same person, whom the provider calls already.
    ((person_id,),) = room.rows("SELECT person_id FROM enrichment.answer")
    second = room.search([{"id": person_id}], phones=True)
    run(room)
    states = room.rows("SELECT phones_state FROM enrichment.provider_call ORDER BY created_at")
    assert states == [("pending",), ("skipped",)]
    assert take(room) == "taken"
    query = "SELECT search_id FROM enrichment.contact_field JOIN enrichment.contact USING (tenant_id, contact_id)"
    assert {each for (each,) in room.rows(f"{query} WHERE field = 'phones'")} == {first, second}
    room.assert_ledger_is_right()


def test_a_later_call_has_numbers_that_were_delivered_before_its_own_answer(room: Room):
    room.apollo.set(delivery_seconds=3600)
    room.search([MOBILE], phones=True)
    run(room)

    class Late(Apollo):
        """The delivery for the first call arrives before the answer to the second."""

        def bulk_match(self, *args: Any, **options: Any) -> BulkAnswer:
            answer = super().bulk_match(*args, **options)
            assert take(room) == "taken"
            return answer

    ((person_id,),) = room.rows("SELECT person_id FROM enrichment.answer")
    second = room.search([{"id": person_id}], phones=True)
    run(room, Late)
    assert room.rows("SELECT phones_state FROM enrichment.provider_call ORDER BY created_at")[1] == ("skipped",)
    query = "SELECT 1 FROM enrichment.contact_field JOIN enrichment.contact USING (tenant_id, contact_id)"
    assert len(room.rows(f"{query} WHERE field = 'phones' AND search_id = '{second}'")) == 1
    room.assert_ledger_is_right()


def test_contacts_whose_search_asks_for_no_phones_get_none(room: Room):
    room.search([MOBILE], phones=True)
    run(room)
    plain = room.search([MOBILE])
    run(room)
    take(room)
    query = "SELECT search_id FROM enrichment.contact_field JOIN enrichment.contact USING (tenant_id, contact_id)"
    assert plain not in {each for (each,) in room.rows(f"{query} WHERE field = 'phones'")}


def test_a_person_who_was_erased_gets_no_number_and_the_others_do(room: Room):
    room.search([MOBILE, OTHER], phones=True)
    run(room)
    erase(room, MOBILE)
    assert take(room) == "taken"
    assert delivered_to(room) == {OTHER}
    room.assert_ledger_is_right()


def test_a_delivery_about_erased_people_only_is_not_kept(room: Room):
    outcomes = []

    class Erasing(Apollo):
        """Everybody is erased while the answer is on its way, and then the delivery arrives."""

        def bulk_match(self, *args: Any, **options: Any) -> BulkAnswer:
            answer = super().bulk_match(*args, **options)
            erase(room, MOBILE)
            outcomes.append(take(room))
            outcomes.append(room.rows("SELECT 1 FROM enrichment.phone_delivery"))
            return answer

    room.search([MOBILE], phones=True)
    run(room, Erasing)
    assert outcomes == ["kept", []]
    assert delivered_to(room) == set()


def test_an_erasure_finds_a_person_by_a_number_that_was_delivered(room: Room):
    room.search([MOBILE], phones=True)
    run(room)
    take(room)
    (number,) = numbers(room).values()
    assert room.rows("SELECT phone_numbers FROM enrichment.answer") == [([number],)]


def test_phones_that_do_not_come_are_asked_for(room: Room, warehouse: Warehouse):
    search = room.search([MOBILE, WITHOUT], phones=True)
    run(room)
    # Not at once: they usually come by themselves.
    assert ask(room) == Asked()
    pass_by(warehouse, "1 hour")
    assert ask(room) == Asked(delivered=1)
    assert delivered_to(room) == {MOBILE}
    room.assert_ledger_is_right()
    assert take(room) == "known"
    run(room)
    assert room.of(search, "status") == "ready"


def test_pending_phones_are_asked_for_again_later_and_later(room: Room, warehouse: Warehouse):
    room.apollo.set(delivery_seconds=7200)
    room.search([MOBILE], phones=True)
    run(room)
    pass_by(warehouse, "11 minutes")
    assert ask(room) == Asked(pending=1)
    # The provider says when.
    ((pause,),) = room.rows(
        "SELECT extract(epoch FROM phones_ask_at - clock_timestamp())::int FROM enrichment.provider_call"
    )
    assert 7000 < pause <= 7200
    assert ask(room) == Asked()
    pass_by(warehouse, "3 hours")
    room.apollo.set(delivery_seconds=0)
    assert ask(room).pending == 1
    assert room.reserved() == 8


def test_phones_that_are_not_to_be_had_any_more_release_their_credits(room: Room, warehouse: Warehouse):
    search = room.search([MOBILE], phones=True)
    run(room)
    room.apollo.set(result_days=0)
    pass_by(warehouse, "1 hour")
    assert ask(room) == Asked(expired=1)
    assert (room.reserved(), room.ledger()) == (0, 1)
    run(room)
    assert room.of(search, "status") == "ready"
    # A delivery that comes after all is taken all the same.
    assert take(room) == "taken"
    assert delivered_to(room) == {MOBILE}
    room.assert_ledger_is_right()


def test_a_delivery_to_a_call_whose_answer_was_lost_is_evidence_that_it_was_charged(room: Room, warehouse: Warehouse):
    room.search([MOBILE], phones=True)
    room.apollo.spoil("drop_after")
    run(room)
    assert room.apollo.fired() == [1]
    assert take(room) == "kept"
    with warehouse.superuser() as connection:
        connection.execute("DELETE FROM enrichment.account_reading")
    with room.client() as client:
        options = room.settings(enrichment_unknown="ask-again")
        assert unknown.settle(room.connects, room.tenant_id, client, options).charged == 1
    assert room.outcomes() == {"held": 1}
    # What the person cost is not in it.
    assert (room.ledger(), room.reserved(), room.apollo.credits()) == (8, 0, 9)
    assert take(room) == "known"


def test_a_delivery_that_is_killed_anywhere_is_taken_when_it_is_repeated(room: Room):
    def fresh() -> int:
        room.search([f"mobile{uuid4().int % 10**6}@shop.example"], phones=True)
        run(room)
        return len(posts(room)) - 1

    for _point, number in crashes.after_every_write(lambda place: take(room, posts(room)[place]), fresh):
        assert take(room, posts(room)[number]) in {"taken", "known"}
        room.assert_ledger_is_right()


@pytest.mark.parametrize(
    "url", ["https://cdp.example", "http://127.0.0.1:8600", "http://localhost:8600/", "http://[::1]:1"]
)
def test_an_address_for_phones_is_encrypted_or_on_this_machine(url: str):
    address = phones.addresses(url)
    assert address is not None
    call_id = uuid4()
    assert address("acme", call_id, "s-_1") == f"{url.rstrip('/')}/phones/acme/{call_id}/s-_1"


@pytest.mark.parametrize("url", ["http://cdp.example", "http://127.0.0.1.example", "http://10.0.0.1"])
def test_phone_numbers_do_not_travel_unencrypted(url: str):
    with pytest.raises(ConfigurationError, match="begins with https"):
        phones.addresses(url)
    assert phones.addresses(None) is None


def test_what_phones_cost_is_counted_exactly(room: Room):
    """A delivery with a part of a credit is read without a float."""
    room.search([MOBILE], phones=True)
    run(room)
    tenant_id, call_id, secret, body = posts(room)[0]
    body = body.replace(b'"credits_consumed":8', b'"credits_consumed":7.1')
    assert take(room, (tenant_id, call_id, secret, body)) == "taken"
    assert room.ledger() == Decimal("8.1")
