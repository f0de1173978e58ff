"""`cdp ...` as an operator types it: what it shows, what it answers when something is wrong, and its exit code."""

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import dagster as dg
import pytest
from arango.client import ArangoClient
from arango.database import StandardDatabase

from cdp_platform_tests.processes.conftest import (
    ASSETS,
    TENANT_IDS,
    Checkout,
    Finished,
    Launched,
    Purchase,
    new_checkout,
)
from cdp_sandbox.processes import HOST, free_port

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def _beside_a_daemon_at_work(launched: Launched, newcomer: str, purchase: Purchase) -> None:
    """As in life: somebody types while the platform is served and has work to do."""


@dataclass(frozen=True)
class Office:
    """A second warehouse on the same servers, with a Dagster of its own: tests may change what they like."""

    checkout: Checkout
    variables: dict[str, str]
    arango: StandardDatabase

    def cdp(self, *arguments: str, **variables: str) -> Finished:
        return self.checkout.cdp(*arguments, **{**self.variables, **variables})

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

    def open_shop(self, tenant: str, customers: int) -> None:
        """A tenant with customers c0, c1 ... who bought one thing each, synced."""
        stamps = {"createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z"}
        self.arango.create_database(tenant)
        with self.database(tenant) as made:
            made.create_collection("cdp_profile").insert_many(
                [{"_key": f"c{number}", "status": 1, **stamps} for number in range(customers)]
            )
            made.create_collection("cdp_profile2conversion", edge=True).insert_many(
                [
                    {"_key": f"e{number}", "_from": f"cdp_profile/c{number}", "_to": "cdp_productitem/p1", **stamps}
                    | {"transactionValue": 10, "currencyCode": "USD"}
                    for number in range(customers)
                ]
            )
        assert self.cdp("tenant", "add", tenant, "--database", tenant).code == 0
        assert self.cdp("sync", "--tenant", tenant).code == 0

    def partitions(self) -> set[str]:
        """What Dagster itself says."""
        with dg.DagsterInstance.from_config(self.variables["DAGSTER_HOME"]) as instance:
            return set(instance.get_dynamic_partitions("tenant"))


@pytest.fixture(scope="module")
def empty_office(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with checkout.superuser("postgres") as server:
        server.execute("CREATE DATABASE office OWNER cdp_owner")
    with checkout.superuser("office") as database:
        database.execute("CREATE EXTENSION vector")
    home = tmp_path_factory.mktemp("office")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    variables = {"PGSQL_DB_NAME": "office", "DAGSTER_HOME": str(home)}
    env = checkout.env
    client = ArangoClient(hosts=env["ARANGO_HOST"])
    yield Office(checkout, variables, client.db("_system", env["ARANGO_USER"], env["ARANGO_PASSWORD"]))
    client.close()


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
    assert office.cdp("tenant", "add", "acme", "--database", "leo_cdp_harbour").out == "Added tenant acme.\n"
    assert office.cdp("tenant", "add", "bonsai", "--database", "cdnow", "--name", "Bonsai").code == 0
    assert office.partitions() == {"acme", "bonsai"}
    renamed = office.cdp("tenant", "add", "acme", "--database", "leo_cdp_harbour", "--name", "Acme")
    assert renamed.out == "Changed tenant acme.\n"
    retired = office.cdp("tenant", "retire", "acme")
    assert (retired.code, retired.out) == (0, "Retired tenant acme. Its rows stay.\n")
    assert office.partitions() == {"bonsai"}
    listed = {each["tenant_id"]: each for each in office.cdp("tenant", "list", "--json").json()}
    assert {name: each["status"] for name, each in listed.items()} == {"acme": "retired", "bonsai": "active"}
    assert listed["acme"]["name"] == "Acme"
    assert "is retired; `cdp tenant add acme` takes it back" in office.cdp("sync", "--tenant", "acme").error()
    assert office.cdp("tenant", "add", "acme", "--database", "leo_cdp_harbour").code == 0
    assert office.partitions() == {"acme", "bonsai"}


def test_a_tenant_that_cannot_be_is_refused_in_one_line(office: Office):
    assert "Tenant id 'Bad Id' is not usable" in office.cdp("tenant", "add", "Bad Id").error()
    assert "phone_region" in office.cdp("tenant", "add", "acme", "--phone-region", "ZZ").error()
    assert "There is no tenant 'nobody'" in office.cdp("tenant", "retire", "nobody").error()


def test_health_tells_the_statement_that_makes_a_missing_index(office: Office):
    office.arango.create_database("bare")
    env = office.checkout.env
    client = ArangoClient(hosts=env["ARANGO_HOST"])
    bare = client.db("bare", env["ARANGO_USER"], env["ARANGO_PASSWORD"])
    bare.create_collection("cdp_profile")
    bare.create_collection("cdp_profile2conversion", edge=True)
    client.close()
    assert office.cdp("tenant", "add", "bare", "--database", "bare").code == 0
    done = office.cdp("health", "--json")
    (found,) = [each for each in done.json() if "(bare)" in each["system"]]
    assert (done.code, found["state"]) == (0, "warn")
    assert "db.cdp_profile.ensureIndex({type: 'persistent', fields: ['updatedAt', '_key']})" in found["advice"]


def test_health_looks_at_each_system_and_each_tenants_database(checkout: Checkout):
    done = checkout.cdp("health", "--json")
    found = done.json()
    assert done.code == 0, found
    assert {each["state"] for each in found} == {"ok"}
    # Whether opt-outs are kept in a journal is a setting, and nobody is asked for it.
    latencies = {each["system"]: each["latency_ms"] for each in found}
    assert latencies.pop("Opt-outs") is None
    assert all(latency is not None and latency > 0 for latency in latencies.values()), latencies
    assert [each["system"] for each in found[:2]] == ["PostgreSQL (warehouse)", "ArangoDB"]
    assert all(any(f"({tenant})" in each["system"] for each in found) for tenant in TENANT_IDS)
    shown = checkout.cdp("health")
    assert (shown.code, shown.err) == (0, "")
    assert "Outside systems" in shown.out


@pytest.mark.parametrize(
    ("system", "variable", "advice"),
    [
        ("ArangoDB", "ARANGO_PASSWORD", "ARANGO_PASSWORD"),
        ("ArangoDB", "ARANGO_HOST", "is ARANGO_HOST right"),
        ("PostgreSQL (warehouse)", "PGSQL_DB_PORT", "Connection refused"),
        ("PostgreSQL (warehouse)", "PGSQL_DB_PASSWORD", "password authentication failed"),
    ],
)
def test_health_names_the_system_that_is_wrong_and_what_to_look_at(
    checkout: Checkout, system: str, variable: str, advice: str
):
    port = free_port()
    wrong = {"ARANGO_HOST": f"http://{HOST}:{port}", "PGSQL_DB_PORT": str(port)}.get(variable, "wrong")
    done = checkout.cdp("health", "--json", **{variable: wrong})
    states = {each["system"]: each for each in done.json() if each["system"] in {"ArangoDB", "PostgreSQL (warehouse)"}}
    assert done.code == 1
    assert [name for name, each in states.items() if each["state"] == "error"] == [system]
    assert advice in states[system]["advice"]


def test_status_shows_every_source_of_every_tenant(checkout: Checkout):
    done = checkout.cdp("status", "--json")
    # Others may be registered by now, and not be read yet.
    found = [each for each in done.json() if each["tenant_id"] in TENANT_IDS]
    assert done.code == 0
    assert {(each["tenant_id"], each["source"]) for each in found} == {
        (tenant, source) for tenant in TENANT_IDS for source in ("cdp_profile", "cdp_profile2conversion")
    }
    assert all(each["last_success_at"] and each["source_count"] and each["lag"] is not None for each in found)
    shown = checkout.cdp("status")
    assert (shown.code, shown.err) == (0, "")
    assert all(tenant in shown.out for tenant in TENANT_IDS)


def test_status_shows_what_it_knows_while_the_source_is_down_and_fails(checkout: Checkout):
    done = checkout.cdp("status", ARANGO_HOST=f"http://{HOST}:{free_port()}")
    assert done.code == 1
    assert all(tenant in done.out for tenant in TENANT_IDS)
    assert "is ARANGO_HOST right" in done.out
    assert "Traceback" not in done.err


def figures_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["asset"]: each["metadata"] for each in report["outcomes"]}


def test_a_sync_reports_what_it_did_and_json_stands_alone_on_stdout(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "cdnow", "--json")
    report = done.json()
    assert (done.code, done.err) == (0, "")
    made = [each["asset"] for each in report["outcomes"]]
    assert [asset for asset in made if asset in ASSETS][2:] == ["customer_metrics", "customer_value"]
    assert set(made) == {*ASSETS, "cdp_segments", "segments"}
    figures = figures_of(report)
    assert figures["cdp_profiles"]["changed"] == figures["cdp_profiles"]["new"] == 0
    assert report["errors"] == []


def test_a_full_sync_reads_every_document_and_writes_none_that_is_the_same(checkout: Checkout):
    made = figures_of(checkout.cdp("sync", "--full", "--json", DEFAULT_TENANT_ID="cdnow").json())
    for name in ("cdp_profiles", "transactions"):
        figures = made[name]
        assert figures["read"] == figures["unchanged"] == figures["source_count"] > 100


def test_a_backtest_compares_what_was_expected_with_what_came(checkout: Checkout):
    asked = ("value", "backtest", "--tenant", "cdnow", "--days", "181")
    done = checkout.cdp(*asked, "--until", "1997-12-31", "--json")
    assert (done.code, done.err) == (0, "")
    (found,) = done.json()
    assert (found["currency"], found["until"], found["customers"]) == ("USD", "1997-12-31", 150)
    assert found["fitted"]["reason"] is None
    assert all(number > 0 for number in found["parameters"].values())
    assert found["model"]["spend"] > 0
    shown = checkout.cdp(*asked, "--until", "1997-12-31")
    assert (shown.code, shown.err) == (0, "")
    assert all(words in shown.out for words in ("clv_est", "model", "alpha"))
    # So early that nobody can have come back.
    early = checkout.cdp(*asked, "--until", "1997-01-02")
    assert (early.code, "USD: no model, because" in early.out) == (1, True)
    assert "is not over" in checkout.cdp(*asked, "--until", "2999-01-01").error()


def test_a_failed_check_fails_the_sync_and_says_which_command_tells_more(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "saigon")
    assert (done.code, done.err) == (1, "")
    assert "Materialized" in done.out
    assert "error saigon cdp_profiles: rejected_share: 3 documents of Saigon Retail (demo: some of its" in done.out
    assert "`cdp rejected list" in done.out


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ("sync --tenant nobody", {}, "There is no tenant 'nobody'"),
        ("sync --full", {"ARANGO_PASSWORD": "wrong"}, "Check ARANGO_USER and ARANGO_PASSWORD"),
        ("sync", {"ARANGO_HOST": "unreachable"}, "is ARANGO_HOST right"),
        ("sync", {"PGSQL_DB_PASSWORD": "wrong"}, "password authentication failed"),
        ("sync", {"PGSQL_DB_PORT": "a"}, "PGSQL_DB_PORT"),
        ("sync", {"DAGSTER_HOME": "/nowhere"}, "DAGSTER_HOME"),
        ("rejected list --tenant nobody", {}, "There is no tenant 'nobody'"),
        ("rejected replay", {"ARANGO_HOST": "unreachable"}, "is ARANGO_HOST right"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_look_at(
    checkout: Checkout, arguments: str, variables: dict[str, str], words: str
):
    port = free_port()
    done = checkout.cdp(
        *arguments.split(),
        **{name: f"http://{HOST}:{port}" if value == "unreachable" else value for name, value in variables.items()},
    )
    assert words in done.error()
    # Whoever types a command waits for the answer: nothing is tried again in silence.
    assert done.seconds < 30


@pytest.mark.parametrize("arguments", ["--debug sync --tenant nobody", "sync --tenant nobody --debug"])
def test_debug_shows_where_an_error_came_from_wherever_it_stands(checkout: Checkout, arguments: str):
    done = checkout.cdp(*arguments.split())
    assert done.code == 1
    assert done.err.startswith("Traceback")
    assert "UnknownTenantError" in done.err


def test_help_fits_a_terminal_of_eighty_columns(checkout: Checkout):
    done = checkout.cdp("--help")
    assert done.code == 0
    assert "..." not in done.out.partition("Commands:")[2]
    assert max(map(len, done.out.splitlines())) <= 80


def test_rejected_documents_are_listed_with_the_reason(checkout: Checkout):
    listed = checkout.cdp("rejected", "list", "--tenant", "saigon", "--json").json()
    assert len(listed) == 5
    assert all(each["code"] and each["path"].startswith("$") and each["document"] for each in listed)
    shown = checkout.cdp("rejected", "list", "--tenant", "saigon")
    assert (shown.code, shown.err) == (0, "")
    assert all(each["document_key"] in shown.out and each["code"] in shown.out for each in listed)
    assert checkout.cdp("rejected", "list", "--tenant", "cdnow").out == "No document of cdnow waits.\n"


def test_a_replay_that_takes_nothing_fails_and_one_without_work_does_not(checkout: Checkout):
    done = checkout.cdp("rejected", "replay", "--tenant", "saigon", "--json")
    assert done.code == 1
    assert {each["source"]: (each["tried"], each["taken"], each["still_rejected"]) for each in done.json()} == {
        "cdp_profile": (3, 0, 3),
        "cdp_profile2conversion": (2, 0, 2),
    }
    nothing = checkout.cdp("rejected", "replay", "--tenant", "cdnow")
    assert (nothing.code, nothing.out) == (0, "No document of cdnow waits.\n")


def test_a_sync_of_a_segment_takes_its_people_and_what_they_bought_and_nobody_else(office: Office):
    with office.database("leo_cdp_harbour") as harbour:
        (segment,) = harbour.aql.execute(
            """
            FOR p IN cdp_profile FILTER IS_ARRAY(p.inSegments) FOR s IN p.inSegments
            COLLECT id = s.id WITH COUNT INTO people SORT people DESC, id LIMIT 1, 1 RETURN {id, people}
            """
        )
        everybody = harbour.collection("cdp_profile").count()
    assert office.cdp("tenant", "add", "quay", "--database", "leo_cdp_harbour", "--phone-region", "US").code == 0
    report = office.cdp("sync", "--tenant", "quay", "--segment", segment["id"], "--json").json()
    assert report["errors"] == []
    profiles, transactions = (figures_of(report)[name] for name in ("cdp_profiles", "transactions"))
    assert profiles["segment_members"] == profiles["new"] + profiles["rejected"] == segment["people"] < everybody
    held = office.count("SELECT count(*) FROM customers.cdp_profiles WHERE tenant_id = 'quay'")
    assert held == profiles["new"] == transactions["segment_members"]
    assert transactions["new"] == office.count(
        """
        SELECT count(*) FROM customers.transactions AS t JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
        WHERE tenant_id = 'quay'
        """
    )
    again = office.cdp("sync", "--tenant", "quay", "--segment", segment["id"])
    assert f"Segment {segment['id']} of quay: {segment['people']} profiles are in it, 0 left it" in again.out
    assert again.err == ""


def test_a_blank_segment_is_nobody_and_says_so(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "cdnow", "--segment", "")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("segment_id is blank: 0 records processed.") == 1


def test_an_unknown_segment_is_one_line_that_says_so(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "cdnow", "--segment", "nope")
    assert (done.code, done.err) == (1, "")
    (line,) = [line for line in done.out.splitlines() if line.startswith("error")]
    assert line.startswith("error: cdp_profiles: ")
    assert "has no segment nope" in line
    assert "Traceback" not in done.out


def test_everything_and_one_segment_are_not_asked_for_together(checkout: Checkout):
    done = checkout.cdp("sync", "--tenant", "cdnow", "--full", "--segment", "nope")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].endswith("choose one.")


def test_a_comparison_without_a_difference_has_nothing_to_mend_and_shows_equal_checksums(checkout: Checkout):
    shown = checkout.cdp("reconcile", "--tenant", "cdnow")
    assert (shown.code, shown.err) == (0, "")
    # Profiles, transactions and segments.
    assert shown.out.count("the same keys; nothing to mend.") == 3
    figures = figures_of(checkout.cdp("reconcile", "--tenant", "cdnow", "--json").json())
    for name in ("cdp_profiles", "transactions"):
        found = figures[name]
        assert found["source_checksum"] == found["target_checksum"]
        assert found["source_count"] == found["target_count"] == found["dagster/partition_row_count"] > 100
        assert [found[figure] for figure in ("missing", "changed_unseen", "gone", "closed_as_deleted")] == [0] * 4


def test_a_mass_delete_closes_nothing_until_a_person_approves(office: Office):
    office.open_shop("emptied", customers=30)
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


@pytest.mark.parametrize("whom", [(), ("--profile", ""), ("--receipt", "missing.json")], ids=str)
def test_erasing_nobody_in_particular_is_a_wrong_use(checkout: Checkout, whom: tuple[str, ...]):
    done = checkout.cdp("erase", "--tenant", "cdnow", *whom)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: cdp erase")
    assert "There is no tenant 'nobody'" in checkout.cdp("erase", "--tenant", "nobody", "--profile", "c1").error()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "erase",
            [
                "for good",
                "receipt",
                "merges later, are one person",
                "Erase them in the CDP too",
                "restore of an older backup",
            ],
        ),
        ("reconcile", ["Finds deletes", "every night", "5 %", "nothing is closed", "until a person approves"]),
        ("sync", ["--segment", "nobody if blank", "Exit code 1"]),
    ],
)
def test_help_says_what_a_person_has_to_know_before(checkout: Checkout, command: str, words: list[str]):
    done = checkout.cdp(command, "--help")
    assert done.code == 0
    assert [each for each in words if each not in " ".join(done.out.split())] == []


def test_the_sandbox_starts_stops_and_resets(tmp_path: Path):
    shutil.rmtree(tmp_path)
    tmp_path.mkdir(mode=0o711)
    bare = new_checkout(tmp_path)
    written_by_a_person = {path.name for path in bare.root.iterdir()}
    try:
        assert "cdp sandbox start" in bare.cdp("status").error()
        assert "Name one with --tenant" in bare.cdp("sync").error()
        stopped = bare.cdp("sandbox", "status", "--json")
        assert (stopped.code, [each["running"] for each in stopped.json()]) == (1, [False, False])
        started = bare.cdp("sandbox", "start")
        assert started.code == 0, started.err
        running = bare.cdp("sandbox", "status", "--json")
        assert (running.code, [each["running"] for each in running.json()]) == (0, [True, True])
        assert all(each["address"].removeprefix("http://") in started.out for each in running.json())
        assert bare.cdp("sandbox", "stop").code == 0
        shown = bare.cdp("sandbox", "status")
        assert (shown.code, "Sandbox" in shown.out, shown.err) == (1, True, "")
        assert "Is the server up" in bare.cdp("tenant", "list").error()
        assert bare.cdp("sandbox", "reset").code == 0
        assert {path.name for path in bare.root.iterdir()} == written_by_a_person
    finally:
        bare.sandbox.reset()
