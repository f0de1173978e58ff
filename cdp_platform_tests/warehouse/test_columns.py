"""What the migrations say of tables and columns is what people see."""

from cdp_platform.warehouse import columns
from cdp_platform_tests.columns import as_file
from cdp_platform_tests.conftest import Warehouse


def test_the_file_says_what_the_migrations_say(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        assert columns.FILE.read_text(encoding="utf-8") == as_file(columns.describe(connection)), "run `make columns`"


def test_every_column_of_the_warehouse_says_what_it_holds(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        described = columns.describe(connection)
    assert len(described) > 30
    assert [
        f"{table}.{column['name']}"
        for table, of_table in described.items()
        for column in of_table
        if not column["description"]
    ] == []


def test_every_table_of_the_warehouse_says_its_grain(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        silent = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')"
            " AND relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'"
            " AND obj_description(oid, 'pg_class') IS NULL"
        ).fetchall()
    assert silent == []
