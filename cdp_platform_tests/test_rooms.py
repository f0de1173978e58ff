"""A room is known everywhere: in what Dagster loads, in the warehouse, in the tests, in the docs."""

import json
import re
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.warehouse import columns
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[1]

each_room = pytest.mark.parametrize("room", ROOMS)


@pytest.fixture(scope="module")
def tables() -> dict[str, set[str]]:
    """The tables that are assets, by room."""
    found: dict[str, set[str]] = {}
    for spec in build_definitions().resolve_all_asset_specs():
        if "dagster/table_name" in spec.metadata:
            found.setdefault(spec.group_name or "", set()).add(spec.metadata["dagster/table_name"])
    return found


def test_rooms_are_found():
    assert {"catalog", "customers", "embeddings", "referrals"} <= set(ROOMS)


@each_room
def test_the_room_is_merged_in_build(room: str, tables: dict[str, set[str]]):
    assert tables.get(room), f"no asset of {room} has a table: merge the room in build.py"


@each_room
def test_the_room_has_a_schema_of_its_name(room: str):
    described = json.loads(columns.FILE.read_text(encoding="utf-8"))
    assert any(table.startswith(f"{room}.") for table in described), "a migration, and then `make columns`"


@each_room
def test_the_room_has_tests_of_its_name(room: str):
    assert list((ROOT / "cdp_platform_tests" / room).glob("test_*.py"))


@each_room
def test_the_page_of_the_room_names_its_tables_and_others_lead_to_it(room: str, tables: dict[str, set[str]]):
    page = (ROOT / "docs" / f"{room}.md").read_text()
    assert {table for table in tables[room] if f"`{table}`" not in page} == set()
    assert f"docs/{room}.md" in (ROOT / "README.md").read_text()
    for name in ("CONTRIBUTING.md", "docs/architecture.md"):
        assert f"{room}/`" in (ROOT / name).read_text(), name


@each_room
def test_every_room_is_put_together_the_same_way(room: str):
    assert isinstance(import_module(f"cdp_platform.{room}.defs.definitions").definitions(), dg.Definitions)


def test_the_migration_to_copy_makes_a_table_as_each_has_to_be(warehouse: Warehouse):
    _, _, section = (ROOT / "CONTRIBUTING.md").read_text().partition("### A migration to copy\n")
    found = re.search(r"^```sql\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found
    with warehouse.superuser() as connection:
        connection.execute(found[1].encode())
        described = columns.describe(connection)["loyalty.points"]
        assert [column["name"] for column in described if not column["description"]] == []
        assert connection.execute(
            "SELECT relrowsecurity, relforcerowsecurity, obj_description(oid, 'pg_class') IS NOT NULL,"
            " has_table_privilege('cdp_platform', oid, 'SELECT, INSERT, UPDATE, DELETE')"
            " FROM pg_class WHERE oid = 'loyalty.points'::regclass"
        ).fetchone() == (True, True, True, True)
        stores = connection.execute("SELECT store FROM ops.person_store").fetchall()
    assert ("loyalty.points",) in stores
