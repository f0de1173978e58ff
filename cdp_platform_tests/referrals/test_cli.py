"""`cdp export-data` as older scripts call it."""

import pytest
from click.testing import CliRunner

from cdp_platform.cli.referrals import export_data
from cdp_platform.ops import tenants
from cdp_platform_tests.conftest import Warehouse


@pytest.mark.parametrize("what", ["all", "raw", "daily", "metrics"])
def test_the_older_flag_changes_nothing(warehouse: Warehouse, app, what: str):
    tenants.add(app, "acme", arango_database="acme")
    arguments = ["--type", what, "--tenant", "acme", "--dry-run"]
    plain, older = (CliRunner().invoke(export_data, [*arguments, *more]) for more in ([], ["--sync"]))
    assert (older.exit_code, older.output, str(older.exception)) == (
        plain.exit_code,
        plain.output,
        str(plain.exception),
    )
    assert "no such option" not in older.output.lower()
