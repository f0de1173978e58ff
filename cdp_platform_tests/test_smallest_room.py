"""The room of CONTRIBUTING.md, built from its blocks in a temporary package, runs as the page says."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from cdp_platform.errors import OutcomeUnknownError, PacedError, RefusedError, UnavailableError
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import RunResult, run_job
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import PASSWORD, Warehouse

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
SECTION = PAGE.read_text().split("### The smallest room that acts outside\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
PYTHON = [block for language, block in BLOCKS if language == "python"]
SQL = [block for language, block in BLOCKS if language == "sql"]

ORGANIZATIONS = ("urn:a", "urn:b", "urn:c")


class Register:
    """The register, outside: what it was paid for, and what goes wrong next."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.asked: list[str] = []
        self.trouble: Callable[[str], None] = lambda _: None

    def look_up(self, lookup_id: str) -> Any:
        self.trouble(lookup_id)
        self.paid.append(lookup_id)
        return {"name": lookup_id}

    def find(self, lookup_id: str) -> Any:
        self.asked.append(lookup_id)
        return {"name": lookup_id} if lookup_id in self.paid else None


class Room:
    """The room, with the tenant acme and its organizations."""

    def __init__(self, app: psycopg.Connection, instance: dg.DagsterInstance) -> None:
        self.app, self.instance, self.register = app, instance, Register()
        self.module = importlib.import_module("registers.definitions")

    def definitions(self) -> dg.Definitions:
        return dg.Definitions(
            assets=[self.module.lookup],
            jobs=[self.module.job],
            sensors=[self.module.registers_wanted],
            resources={"warehouse": WarehouseResource(), "register": self.register},
            executor=dg.in_process_executor,
        )

    def run(self) -> RunResult:
        return run_job(self.definitions(), "registers_update", self.instance, ["acme"])

    def update(self) -> int:
        """What the asset does for the tenant, without the retries of a run."""
        lookups = importlib.import_module("registers.lookups")
        return lookups.update(self.app, "acme", self.register, WarehouseResource().connect)

    def asked_for(self) -> list[Any]:
        """The runs that the sensor asks for."""
        with dg.build_sensor_context(self.instance, resources={"warehouse": WarehouseResource()}) as context:
            result = self.module.registers_wanted(context)
        return [request.tags for request in result.run_requests]

    def rows(self) -> dict[str, str]:
        with tenant_transaction(self.app, "acme"):
            return dict(self.app.execute("SELECT lookup_id, state FROM registers.lookup ORDER BY 1").fetchall())

    def spent(self) -> Decimal:
        with tenant_transaction(self.app, "acme"):
            row = self.app.execute("SELECT sum(amount) FROM registers.spend").fetchone()
        assert row is not None
        return row[0]

    def open_gate(self) -> None:
        self.app.execute("UPDATE ops.gate SET rests_until = '-infinity', open_until = NULL, failures = 0")


@pytest.fixture
def room(
    warehouse: Warehouse, app: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    package = tmp_path / "registers"
    package.mkdir()
    (package / "__init__.py").touch()
    for block in PYTHON:
        name = block.splitlines()[0].removeprefix("# registers/")
        (package / name).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    tenants.add(app, "acme", arango_database="acme")
    owner = psycopg.connect(
        host="127.0.0.1",
        port=warehouse.settings.db_port,
        dbname=warehouse.settings.db_name,
        user=warehouse.settings.owner_user,
        password=PASSWORD,
    )
    with owner:
        for block in SQL:
            owner.execute(block)
    with tenant_transaction(app, "acme"):
        for organization in ORGANIZATIONS:
            app.execute(
                "INSERT INTO catalog.organization (tenant_id, organization_id, ingestor, name, document, document_hash)"
                " VALUES ('acme', %s, 'x', 'x', '{}', '')",
                [organization],
            )
    with dg.DagsterInstance.ephemeral() as instance:
        partitions.keep_in_step(instance, tenants.registered(app))
        yield Room(app, instance)
    for name in [name for name in sys.modules if name.partition(".")[0] == "registers"]:
        del sys.modules[name]


def test_it_is_as_small_as_it_should_be() -> None:
    assert sum(1 for block in PYTHON for line in block.splitlines() if line.strip()) < 100
    assert sum(len(block.splitlines()) for block in SQL) < 30


def test_a_second_run_pays_nothing(room: Room) -> None:
    assert len(room.asked_for()) == 1
    first = room.run()
    assert first.success
    assert first.outcomes[0].metadata["paid"] == 3
    assert room.rows() == {f"{each} 1": "confirmed" for each in ORGANIZATIONS}
    assert room.asked_for() == []
    second = room.run()
    assert second.success
    assert second.outcomes[0].metadata["paid"] == 0
    assert sorted(room.register.paid) == [f"{each} 1" for each in ORGANIZATIONS]
    assert room.spent() == Decimal("0.15")


def test_a_lost_answer_is_asked_for_and_not_paid_again(room: Room) -> None:
    def lose(lookup_id: str) -> None:
        room.register.paid.append(lookup_id)
        raise OutcomeUnknownError("The register did not answer.")

    room.register.trouble = lose
    with pytest.raises(OutcomeUnknownError):
        room.update()
    assert sorted(room.rows().values()) == ["reserved", "reserved", "unknown"]
    assert room.spent() == Decimal("0.05")
    room.register.trouble = lambda _: None
    assert room.run().success
    assert room.register.asked == room.register.paid[:1]
    assert room.rows() == {f"{each} 1": "confirmed" for each in ORGANIZATIONS}
    assert sorted(room.register.paid) == [f"{each} 1" for each in ORGANIZATIONS]
    assert room.spent() == Decimal("0.15")


def test_a_run_that_was_killed_after_it_handed_over_is_found_out(room: Room) -> None:
    class Killed(BaseException):
        pass

    def kill(lookup_id: str) -> None:
        raise Killed

    room.register.trouble = kill
    with pytest.raises(Killed):
        room.update()
    assert sorted(room.rows().values()) == ["handed_over", "reserved", "reserved"]
    room.register.trouble = lambda _: None
    assert room.run().success
    assert room.run().success
    (lost,) = room.register.asked
    again = {f"{each} 1": "confirmed" for each in ORGANIZATIONS} | {lost: "failed", f"{lost[:-1]}2": "confirmed"}
    assert room.rows() == again
    assert len(room.register.paid) == 3


def test_who_is_asked_to_wait_leaves_the_register_alone_and_tries_again_with_another_row(room: Room) -> None:
    def slow_down(lookup_id: str) -> None:
        raise PacedError("Too many requests.", retry_after_seconds=500)

    room.register.trouble = slow_down
    with pytest.raises(PacedError, match="Too many requests"):
        room.update()
    with pytest.raises(PacedError, match="the next call may be made"):
        room.update()
    assert room.asked_for() == []
    assert sorted(room.rows().values()) == ["failed", "reserved", "reserved", "reserved"]
    assert room.spent() == 0
    room.register.trouble = lambda _: None
    room.open_gate()
    assert room.run().success
    rows = room.rows()
    assert sorted(rows.values()) == ["confirmed", "confirmed", "confirmed", "failed"]
    assert [lookup_id[-1] for lookup_id in room.register.paid].count("2") == 1
    assert room.spent() == Decimal("0.15")


def test_whoever_finds_the_breaker_open_burns_no_attempt(room: Room) -> None:
    def fail(lookup_id: str) -> None:
        raise UnavailableError("The register is down.")

    room.register.trouble = fail
    for _ in range(3):
        with pytest.raises(UnavailableError, match="The register is down"):
            room.update()
    failed = {lookup_id for lookup_id, state in room.rows().items() if state == "failed"}
    assert len(failed) == 3
    for _ in range(2):
        with pytest.raises(UnavailableError, match="not called before"):
            room.update()
    assert room.asked_for() == []
    assert {lookup_id for lookup_id, state in room.rows().items() if state == "failed"} == failed
    assert room.spent() == 0


def test_what_was_refused_is_not_tried_again_and_costs_nothing(room: Room) -> None:
    def refuse(lookup_id: str) -> None:
        if lookup_id.startswith("urn:b"):
            raise RefusedError("No such organization.")

    room.register.trouble = refuse
    assert room.run().success
    assert room.rows() == {"urn:a 1": "confirmed", "urn:b 1": "failed", "urn:c 1": "confirmed"}
    assert room.asked_for() == []
    assert room.spent() == Decimal("0.10")


def test_the_limit_of_a_day_is_not_passed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registers.lookups.LIMIT", Decimal("0.12"))
    assert room.run().success
    assert len(room.register.paid) == 2
    assert room.run().success
    assert len(room.register.paid) == 2
    assert room.spent() == Decimal("0.10")
    assert sorted(room.rows().values()) == ["confirmed", "confirmed", "reserved"]
