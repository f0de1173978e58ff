"""`cdp ...` as an operator types it on a warehouse of its own: tests may change what they like."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest
from arango.client import ArangoClient

from cdp_platform_tests.processes.conftest import Checkout, Finished, figures_of, new_checkout

STAMPS = {"createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z"}


@dataclass(frozen=True)
class Office:
    """A checkout with its services, and a warehouse that begins with nothing in it."""

    checkout: Checkout

    def cdp(self, *arguments: str) -> Finished:
        return self.checkout.cdp(*arguments, PGSQL_DB_NAME="office")

    def count(self, query: LiteralString, *parameters: Any) -> int:
        """A count over the rows of all tenants, which only a superuser sees at once."""
        with self.checkout.superuser("office") as connection:
            row = connection.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    @contextmanager
    def database(self, name: str) -> Generator[Any]:
        """A database of the stand-in ArangoDB."""
        env = self.checkout.env
        client = ArangoClient(hosts=env["ARANGO_HOST"])
        yield client.db(name, env["ARANGO_USER"], env["ARANGO_PASSWORD"])
        client.close()

    @contextmanager
    def new_database(self, name: str) -> Generator[Any]:
        """One with the collections of a CDP, empty."""
        with self.database("_system") as system:
            system.create_database(name)
        with self.database(name) as made:
            made.create_collection("cdp_profile")
            made.create_collection("cdp_profile2conversion", edge=True)
            yield made

    def open_shop(self, tenant: str, customers: int, *, regulars: int = 0) -> None:
        """A tenant with customers c0, c1 ... who bought one thing each; the first of them are in a segment."""
        segments = [{"id": "regulars", "name": "Regulars"}]
        with self.new_database(tenant) as made:
            made.collection("cdp_profile").insert_many(
                [
                    {"_key": f"c{number}", "status": 1, "inSegments": segments if number < regulars else [], **STAMPS}
                    for number in range(customers)
                ]
            )
            made.collection("cdp_profile2conversion").insert_many(
                [
                    {"_key": f"e{number}", "_from": f"cdp_profile/c{number}", "_to": "cdp_productitem/p1", **STAMPS}
                    | {"transactionValue": 10, "currencyCode": "USD"}
                    for number in range(customers)
                ]
            )
        assert self.cdp("tenant", "add", tenant, "--database", tenant).code == 0

    def partitions(self) -> set[str]:
        """What Dagster itself says."""
        return {name for (name,) in self.checkout.dagster_rows("SELECT partition FROM dynamic_partitions")}


@pytest.fixture(scope="module")
def empty_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    checkout = new_checkout(tmp_path_factory.mktemp("office"))
    try:
        # Roles are the server's: with those of another warehouse, one that was not migrated can be connected to.
        for command in (("sandbox", "start"), ("migrate",)):
            done = checkout.cdp(*command)
            assert done.code == 0, done.err
        with checkout.superuser("postgres") as server:
            server.execute("CREATE DATABASE office OWNER cdp_owner")
        with checkout.superuser("office") as database:
            database.execute("CREATE EXTENSION vector")
        made = Office(checkout)
        # The default for tenants, by the sandbox's settings.
        with made.new_database(checkout.env["ARANGO_DB"]):
            pass
        yield made
    finally:
        checkout.sandbox.reset()


@pytest.fixture(scope="module")
def office(empty_office: Office) -> Office:
    assert empty_office.cdp("migrate").code == 0
    return empty_office


def test_a_warehouse_that_was_not_migrated_says_so_and_migrate_mends_it(empty_office: Office):
    for command in (("status",), ("tenant", "list"), ("sync", "--tenant", "acme")):
        assert "run `cdp migrate`" in empty_office.cdp(*command).error()
    (warehouse, *_) = empty_office.cdp("health", "--json").json()
    assert (warehouse["state"], "run `cdp migrate`" in warehouse["advice"]) == ("error", True)
    done = empty_office.cdp("migrate")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Migrated the warehouse from empty to ")
    again = empty_office.cdp("migrate")
    assert (again.code, again.out.endswith("Nothing to do.\n")) == (0, True)


def test_an_empty_platform_says_how_to_begin(office: Office):
    for command in ("list", "status"):
        done = office.cdp(*(("tenant", command) if command == "list" else (command,)))
        assert (done.code, "`cdp tenant add" in done.out) == (0, True)
    health = office.cdp("health")
    assert (health.code, "`cdp tenant add`" in " ".join(health.out.split())) == (0, True)


def test_a_tenants_partition_comes_and_goes_with_the_tenant(office: Office):
    for name in ("acme", "bonsai"):
        with office.new_database(name):
            pass
    assert office.cdp("tenant", "add", "acme", "--database", "acme").out == "Added tenant acme.\n"
    assert office.cdp("tenant", "add", "bonsai", "--database", "bonsai", "--name", "Bonsai").code == 0
    assert office.partitions() == {"acme", "bonsai"}
    renamed = office.cdp("tenant", "add", "acme", "--database", "acme", "--name", "Acme")
    assert renamed.out == "Changed tenant acme.\n"
    retired = office.cdp("tenant", "retire", "acme")
    assert (retired.code, retired.out) == (0, "Retired tenant acme. Its rows stay.\n")
    assert office.partitions() == {"bonsai"}
    listed = {each["tenant_id"]: each for each in office.cdp("tenant", "list", "--json").json()}
    assert {name: each["status"] for name, each in listed.items()} == {"acme": "retired", "bonsai": "active"}
    assert listed["acme"]["name"] == "Acme"
    assert "is retired; `cdp tenant add acme` takes it back" in office.cdp("sync", "--tenant", "acme").error()
    assert office.cdp("tenant", "add", "acme", "--database", "acme").code == 0
    assert office.partitions() == {"acme", "bonsai"}


def test_a_tenant_that_cannot_be_is_refused_in_one_line(office: Office):
    assert "Tenant id 'Bad Id' is not usable" in office.cdp("tenant", "add", "Bad Id").error()
    assert "phone_region" in office.cdp("tenant", "add", "acme", "--phone-region", "ZZ").error()
    assert "There is no tenant 'nobody'" in office.cdp("tenant", "retire", "nobody").error()


def test_health_tells_the_statement_that_makes_a_missing_index(office: Office):
    with office.new_database("bare"):
        pass
    assert office.cdp("tenant", "add", "bare", "--database", "bare").code == 0
    done = office.cdp("health", "--json")
    (found,) = [each for each in done.json() if "(bare)" in each["system"]]
    assert (done.code, found["state"]) == (0, "warn")
    assert "db.cdp_profile.ensureIndex({type: 'persistent', fields: ['updatedAt', '_key']})" in found["advice"]


def test_a_sync_of_a_segment_takes_its_people_and_what_they_bought_and_nobody_else(office: Office):
    office.open_shop("quay", customers=12, regulars=5)
    report = office.cdp("sync", "--tenant", "quay", "--segment", "regulars", "--json").json()
    assert report["errors"] == []
    profiles, transactions = (figures_of(report)[name] for name in ("cdp_profiles", "transactions"))
    assert profiles["segment_members"] == profiles["new"] + profiles["rejected"] == 5
    held = office.count("SELECT count(*) FROM customers.cdp_profiles WHERE tenant_id = 'quay'")
    assert held == profiles["new"] == transactions["segment_members"]
    assert transactions["new"] == office.count(
        """
        SELECT count(*) FROM customers.transactions AS t JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
        WHERE tenant_id = 'quay'
        """
    )
    again = office.cdp("sync", "--tenant", "quay", "--segment", "regulars")
    assert "Segment regulars of quay: 5 profiles are in it, 0 left it" in again.out
    assert again.err == ""


def test_a_mass_delete_closes_nothing_until_a_person_approves(office: Office):
    office.open_shop("emptied", customers=30)
    assert office.cdp("sync", "--tenant", "emptied").code == 0
    with office.database("emptied") as database:
        database.collection("cdp_profile").delete_many([f"c{number}" for number in range(20)])
    closed: LiteralString = (
        "SELECT count(*) FROM customers.cdp_profiles WHERE tenant_id = 'emptied' AND closed_reason = 'deleted'"
    )
    stopped = office.cdp("reconcile", "--tenant", "emptied")
    assert (stopped.code, stopped.err) == (1, "")
    assert "not the same keys; 20 gone from the source, 0 of them closed" in stopped.out
    (line,) = [line for line in stopped.out.splitlines() if line.startswith("error")]
    assert "20 of 30 documents are gone from cdp_profile" in line
    assert "`cdp reconcile --tenant emptied --approve`" in line
    assert office.count(closed) == 0
    approved = office.cdp("reconcile", "--tenant", "emptied", "--approve")
    assert (approved.code, approved.err) == (0, "")
    assert "the same keys; 20 gone from the source, 20 of them closed" in approved.out
    assert office.count(closed) == 20


@pytest.fixture(scope="module")
def clinic(office: Office) -> Office:
    office.open_shop("clinic", customers=6)
    assert office.cdp("sync", "--tenant", "clinic").code == 0
    return office


def rows_of(office: Office, profile_id: str) -> int:
    return office.count(
        """
        SELECT (SELECT count(*) FROM customers.cdp_profiles WHERE tenant_id = 'clinic' AND profile_id = %s)
             + (SELECT count(*) FROM customers.transactions WHERE tenant_id = 'clinic' AND profile_id = %s)
             + (SELECT count(*) FROM customers.customer_metrics WHERE tenant_id = 'clinic' AND profile_id = %s)
        """,
        *[profile_id] * 3,
    )


def test_an_erased_person_is_gone_from_every_store_and_does_not_come_back(clinic: Office):
    assert rows_of(clinic, "c1") == 3
    done = clinic.cdp("erase", "--tenant", "clinic", "--profile", "c1")
    assert (done.code, done.err) == (0, "")
    assert "Erased from clinic: c1" in done.out
    counts = {cells[0]: cells[1] for line in done.out.splitlines() if len(cells := line.split()) == 2}
    stores = ("customers.cdp_profiles", "customers.transactions", "customers.customer_metrics")
    assert [counts[store] for store in stores] == ["1", "1", "1"]
    assert rows_of(clinic, "c1") == 0
    figures = figures_of(clinic.cdp("sync", "--tenant", "clinic", "--full", "--json").json())
    assert figures["cdp_profiles"]["erased"] == figures["transactions"]["erased"] == 1
    assert (rows_of(clinic, "c1"), rows_of(clinic, "c2")) == (0, 3)


def test_a_receipt_is_kept_as_json_and_erases_again_after_a_restore(clinic: Office, tmp_path: Path):
    done = clinic.cdp("erase", "--tenant", "clinic", "--profile", "c3", "--profile", "c4", "--json")
    receipt = done.json()
    assert (done.code, done.err) == (0, "")
    assert (receipt["tenant_id"], receipt["profile_ids"]) == ("clinic", ["c3", "c4"])
    assert receipt["rows"]["customers.cdp_profiles"] == receipt["rows"]["customers.transactions"] == 2
    assert receipt["erased_at"].endswith("+00:00")
    # A backup from before the erasure has neither the tombstones nor the erasure.
    with clinic.checkout.superuser("office") as restored:
        restored.execute("DELETE FROM ops.erased_document WHERE tenant_id = 'clinic' AND document_key IN ('c3', 'e3')")
    clinic.cdp("sync", "--tenant", "clinic", "--full")
    assert rows_of(clinic, "c3") == 3
    kept = tmp_path / "receipt.json"
    kept.write_text(done.out)
    again = clinic.cdp("erase", "--tenant", "clinic", "--receipt", str(kept))
    assert (again.code, "Erased from clinic: c3, c4" in again.out) == (0, True)
    assert rows_of(clinic, "c3") == 0
    assert (
        "is a receipt of tenant clinic, not of acme"
        in clinic.cdp("erase", "--tenant", "acme", "--receipt", str(kept)).error()
    )


def test_erasing_somebody_who_is_not_here_says_so_and_keeps_them_out(clinic: Office):
    asked = clinic.cdp("erase", "--tenant", "clinic", "--profile", "stranger")
    assert "stranger of clinic: neither here nor in the CDP. Is the id right?" in asked.error()
    done = clinic.cdp("erase", "--tenant", "clinic", "--profile", "stranger", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "Nothing of them was here. A tombstone keeps them out." in done.out
    with clinic.database("clinic") as database:
        database.collection("cdp_profile").insert(
            {"_key": "stranger", "status": 1, "updatedAt": "2026-01-02T00:00:00Z"}
        )
    assert clinic.cdp("sync", "--tenant", "clinic").code == 0
    assert rows_of(clinic, "stranger") == 0
    undone = clinic.cdp("erase", "--tenant", "clinic", "--profile", "stranger", "--undo")
    assert (undone.code, undone.err) == (0, "")
    assert clinic.cdp("sync", "--tenant", "clinic").code == 0
    assert rows_of(clinic, "stranger") == 2


@pytest.mark.parametrize(
    "content",
    ["c5", "[]", "{}", '{"tenant_id": "clinic"}', '{"tenant_id": "clinic", "profile_ids": "c5"}', b"\xff\xfe"],
)
def test_a_file_that_is_no_receipt_erases_nobody(clinic: Office, tmp_path: Path, content: str | bytes):
    path = tmp_path / "receipt.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert (
        "is no receipt: `cdp erase --json` prints one"
        in clinic.cdp("erase", "--tenant", "clinic", "--receipt", str(path)).error()
    )
    assert rows_of(clinic, "c5") == 3
