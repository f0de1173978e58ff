"""Every table of every room that keeps something of persons is declared, and is erased, guarded and locked as declared.

A room says in its ``persons.py`` (``cdp_platform_tests/<room>/persons.py``) which rows it keeps of a person: ``STORES``
by table, ``BEFORE`` with what these rows refer to, and ``IMPERSONAL`` with the tables that say nothing of anybody.
"""

import json
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import psycopg
import pytest

from cdp_platform.customers import persons
from cdp_platform.ops import tenants
from cdp_platform.ops.effects import Ledger
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.customers.planted import tables
from cdp_platform_tests.rooms import ROOMS
from cdp_platform_tests.warehouse.test_isolation import any_row

KEPT = [import_module(f"cdp_platform_tests.{name}.persons") for name in ["ops", *ROOMS]]
STORES: dict[str, list[dict[str, Any]]] = {
    store: rows for room in KEPT for store, rows in getattr(room, "STORES", {}).items()
}
BEFORE = {table: rows for room in KEPT for table, rows in getattr(room, "BEFORE", {}).items()}
IMPERSONAL = {table for room in KEPT for table in room.IMPERSONAL}
PEOPLE = {"nam": 1, "mai": 2}


def plant(connection: psycopg.Connection, rows: dict[str, list[dict[str, Any]]], people: Iterable[str]) -> None:
    """Insert these rows for each of the people."""
    for table, of_table in rows.items():
        for person in people:
            for row in of_table:
                given = json.loads(json.dumps(row).replace("{p}", person).replace("{n}", str(PEOPLE[person])))
                connection.execute(any_row(connection, table, given), {"table": table, "tenant": "acme"})


def unseen(connection: psycopg.Connection) -> None:
    """From now on no trigger and no foreign key sees what this connection does."""
    connection.execute("SET session_replication_role = replica")


def about(connection: psycopg.Connection, person: str) -> set[str]:
    """The stores in which a row mentions the person."""
    return {
        store
        for store in STORES
        if connection.execute(f"SELECT 1 FROM {store} AS t WHERE t::text ~* %s".encode(), [person]).fetchone()
    }


@pytest.fixture
def acme(app: psycopg.Connection, warehouse: Warehouse) -> psycopg.Connection:
    """A tenant with two people, of whom every store has rows."""
    tenants.add(app, "acme", arango_database="acme")
    with warehouse.superuser() as connection:
        unseen(connection)
        plant(connection, BEFORE, ["nam"])
        plant(connection, STORES, PEOPLE)
    return app


def undeclared(connection: psycopg.Connection) -> set[str]:
    """Tables that are neither stores of persons nor listed as impersonal."""
    declared = {store for (store,) in connection.execute("SELECT store FROM ops.person_store").fetchall()}
    return set(tables(connection)) - declared - IMPERSONAL


def let_in(app: psycopg.Connection, warehouse: Warehouse) -> set[str]:
    """The stores that take rows of somebody who was erased before."""
    persons.erase(app, "acme", ["nam"])
    found = set()
    for store, rows in STORES.items():
        with warehouse.superuser() as connection:
            unseen(connection)
            # Whole rows of it: others tell whose they are.
            connection.execute(f"DELETE FROM {store} AS t WHERE t::text !~* 'mai'".encode())
        with tenant_transaction(app, "acme"):
            plant(app, {store: rows}, ["nam"])
            found |= about(app, "nam")
    return found


def written_without_the_lock(app: psycopg.Connection, warehouse: Warehouse) -> set[str]:
    """The stores into which a transaction can write while an erasure is under way."""
    query = (
        "SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND mode = 'ShareLock'"
        " AND classid::bigint = (ops.erasure_lock('acme') >> 32) & 4294967295"
        " AND objid::bigint = ops.erasure_lock('acme') & 4294967295"
    )
    found = set()
    for store, rows in STORES.items():
        with warehouse.superuser() as connection:
            unseen(connection)
            connection.execute(f"DELETE FROM {store}".encode())
        with tenant_transaction(app, "acme"):
            plant(app, {store: rows}, ["nam"])
            if not app.execute(query.encode()).fetchone():
                found.add(store)
    return found


def test_every_table_is_a_store_of_persons_or_is_listed_as_impersonal(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        assert undeclared(connection) == set()
        connection.execute("CREATE TABLE ops.letter (tenant_id text, profile_id text)")
        assert undeclared(connection) == {"ops.letter"}
        stores = connection.execute("SELECT store FROM ops.person_store").fetchall()
    assert {store for (store,) in stores} == set(STORES), "a room's persons.py has rows of each of its stores"


def test_an_erasure_takes_what_each_room_keeps_of_the_person_and_of_nobody_else(
    acme: psycopg.Connection, warehouse: Warehouse
):
    receipt = persons.erase(acme, "acme", ["nam"])
    assert receipt.rows == {store: len(rows) for store, rows in STORES.items()}
    with warehouse.superuser() as connection:
        assert about(connection, "nam") == set()
        assert about(connection, "mai") == set(STORES)


def test_no_store_takes_rows_of_somebody_who_was_erased(acme: psycopg.Connection, warehouse: Warehouse):
    assert let_in(acme, warehouse) == set()


def test_who_writes_into_a_store_keeps_erasures_waiting(acme: psycopg.Connection, warehouse: Warehouse):
    assert written_without_the_lock(acme, warehouse) == set()


@pytest.mark.parametrize("store", ["customers.customer_value", "embeddings.passage", "referrals.signup_event"])
def test_a_store_without_its_triggers_is_noticed(acme: psycopg.Connection, warehouse: Warehouse, store: str):
    with warehouse.superuser() as connection:
        connection.execute(f"ALTER TABLE {store} DISABLE TRIGGER USER".encode())
    assert written_without_the_lock(acme, warehouse) == {store}
    assert store in let_in(acme, warehouse)


def test_a_hash_that_a_suppression_list_must_remember_stays(acme: psycopg.Connection, warehouse: Warehouse):
    with warehouse.superuser() as connection:
        connection.execute(
            """
            CREATE TABLE ops.suppression (
                tenant_id text, address_hash text, profile_id text, note text, PRIMARY KEY (tenant_id, address_hash));
            SELECT ops.isolate_tenants('ops.suppression');
            SELECT ops.keep_erased_out('ops.suppression', '{{cdp_profile,profile_id}}', blanked => '{profile_id,note}');
            """
        )
    rows = "INSERT INTO ops.suppression VALUES ('acme', %s, %s, 'asked by phone')"
    with tenant_transaction(acme, "acme"):
        acme.execute(rows, ["hash of nam", "nam"])
        acme.execute(rows, ["hash of mai", "mai"])
    assert persons.erase(acme, "acme", ["nam"]).rows["ops.suppression"] == 1
    with tenant_transaction(acme, "acme"):
        acme.execute(rows, ["second hash of nam", "nam"])
        found = acme.execute("SELECT address_hash, profile_id, note FROM ops.suppression ORDER BY 1").fetchall()
    assert found == [
        ("hash of mai", "mai", "asked by phone"),
        ("hash of nam", None, None),
        ("second hash of nam", None, None),
    ]


def test_a_change_outside_is_open_until_it_is_confirmed(acme: psycopg.Connection, warehouse: Warehouse):
    """As of a room whose contacts are also at a provider: an erasure asks for a deletion there, in a ledger."""
    with warehouse.superuser() as connection:
        connection.execute(
            """
            CREATE TABLE ops.contact (tenant_id text, profile_id text, provider_key text);
            CREATE TABLE ops.contact_deletion (
                tenant_id text, provider_key text, state ops.effect_state NOT NULL DEFAULT 'reserved', reason text);
            SELECT ops.isolate_tenants('ops.contact'), ops.isolate_tenants('ops.contact_deletion');
            SELECT ops.guard_effects('ops.contact_deletion');
            CREATE FUNCTION ops.ask_to_delete(for_tenant text, person ops.person) RETURNS bigint LANGUAGE sql AS $$
                INSERT INTO ops.contact_deletion (tenant_id, provider_key)
                SELECT tenant_id, provider_key FROM ops.contact
                WHERE tenant_id = for_tenant AND profile_id = ANY (person.profile_ids);
                SELECT 0::bigint $$;
            CREATE FUNCTION ops.contacts_to_delete(for_tenant text) RETURNS bigint LANGUAGE sql AS $$
                SELECT count(*) FROM ops.contact_deletion
                WHERE tenant_id = for_tenant AND state IN ('reserved', 'handed_over', 'unknown') $$;
            SELECT ops.keep_erased_out(
                'ops.contact', '{{cdp_profile,profile_id}}', erase => 'ops.ask_to_delete',
                outside => 'ops.contacts_to_delete');
            """
        )
    with tenant_transaction(acme, "acme"):
        acme.execute("INSERT INTO ops.contact VALUES ('acme', 'nam', 'n1'), ('acme', 'mai', 'm1')")
    assert persons.erase(acme, "acme", ["nobody"]).outside == {}
    receipt = persons.erase(acme, "acme", ["nam"])
    assert (receipt.rows["ops.contact"], receipt.outside) == (1, {"ops.contact": 1})
    deletions = Ledger(acme, "acme", "ops.contact_deletion", "provider_key")
    with tenant_transaction(acme, "acme"):
        assert deletions.unresolved() == {"n1": "reserved"}
        deletions.hand_over("n1")
    assert persons.erase(acme, "acme", ["nam"]).outside == {"ops.contact": 1}
    with tenant_transaction(acme, "acme"):
        deletions.settle("n1", "confirmed")
    assert persons.erase(acme, "acme", ["nam"]).outside == {}
