"""`python -m cdp_platform_tests.columns` writes `columns.json` from a freshly migrated database (`make columns`)."""

import json

from cdp_platform.warehouse import columns
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import postgres_settings, running_server


def as_file(described: dict[str, list[dict]]) -> str:
    """One line per column, so that a change of a comment is a change of a line."""
    tables = [
        f"  {json.dumps(table)}: [\n"
        + ",\n".join(f"    {json.dumps(column, ensure_ascii=False)}" for column in described[table])
        + "\n  ]"
        for table in sorted(described)
    ]
    return "{\n" + ",\n".join(tables) + "\n}\n"


if __name__ == "__main__":
    with running_server() as server:
        database = server.new_database("test_owner")
        migrate(postgres_settings(server, database))
        with server.superuser(database) as connection:
            columns.FILE.write_text(as_file(columns.describe(connection)), encoding="utf-8")
