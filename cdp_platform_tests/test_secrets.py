"""A password in an address is shown nowhere: not by commands, stack traces or Dagster's events."""

import os
import traceback
from collections.abc import Callable

import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.errors import ConfigurationError, SourceError, shown_address
from cdp_platform.ops import tenants
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.referrals.tracker_database import open_tracker
from cdp_platform.resources.arango import open_database
from cdp_platform_tests.command_line import exit_code
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.sandbox_process import SandboxProcess

SECRET = "hush-4711"
# As people write them: a password that is escaped, one that is not, a token, a query, and the form of libpq.
ADDRESSES = [
    f"http://reader:{SECRET}@127.0.0.1:1",
    f"https://{SECRET}@no-such-host.invalid/v1",
    f"http://reader:p/{SECRET}@127.0.0.1:1",
    f"http://reader:p?{SECRET}@127.0.0.1:1",
    f"http://reader:p#{SECRET}@127.0.0.1:1",
    f"http://reader:p@{SECRET}@127.0.0.1:1",
    f"http://127.0.0.1:1/v1?api_key={SECRET}",
    f"http://127.0.0.1:1/v1#{SECRET}",
    f"postgresql://reader:{SECRET}@127.0.0.1:1/tracker",
    f"postgresql://reader:12/{SECRET}@127.0.0.1:1/tracker",
    f"postgresql://127.0.0.1:1/tracker?user=reader&password={SECRET}",
    f"host=127.0.0.1 port=1 dbname=tracker user=reader password={SECRET}",
    f"host=127.0.0.1 port=1 dbname=tracker password='{SECRET}",
]
VARIABLES = [
    "ARANGO_HOST",
    "OPENAI_BASE_URL",
    "GOOGLE_SHEETS_URL",
    "REFERRAL_DATABASE_URL",
    "SANDBOX_URL",
    "PGSQL_DB_HOST",
    "PGSQL_DB_NAME",
    "INGESTION_CONFIG_PATH",
]
COMMANDS = [
    "health",
    "status",
    "sync --tenant acme",
    "reconcile --tenant acme",
    "migrate",
    "tenant list",
    "export-data --tenant acme",
    "embeddings status",
    "embeddings update --tenant acme",
    "search words --tenant acme --kind profile",
    "catalog report",
    "catalog ingest --ingestor shop",
    "rejected replay --tenant acme",
]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, str]]:
    """Run a command in this process; returns its exit code and all that it printed, its stack trace too."""

    def run(command: str) -> tuple[int, str]:
        settings.forget()
        code = exit_code(monkeypatch, *command.split())
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def configured(warehouse: Warehouse, app, sandbox: SandboxProcess, monkeypatch, tmp_path) -> None:
    """A tenant, an ingestor and every outside system; all that is wrong is what a test sets."""
    tenants.add(app, "acme", arango_database="acme", settings=[ReferralSettings(google_sheet_id="none")])
    config = tmp_path / "ingestion.yaml"
    config.write_text(
        "ingestion: [{name: shop, tenant: acme, source_type: http, root: '${SANDBOX_URL}/feeds', registry: 'a?k=b'}]"
    )
    for name, value in {
        "ARANGO_HOST": sandbox.url,
        "ARANGO_PASSWORD": "sandbox",
        "SANDBOX_URL": sandbox.url,
        "INGESTION_CONFIG_PATH": str(config),
        "EMBEDDING_PROVIDER": "openai",
        "OPENAI_API_KEY": "none",
    }.items():
        monkeypatch.setenv(name, value)


def test_health_shows_no_password_of_an_address_whatever_its_form(configured, run, monkeypatch):
    for address in ADDRESSES:
        # All at once, since each system is looked at by itself; but those behind the warehouse only if it is there.
        for variable in VARIABLES:
            if not variable.startswith("PGSQL_"):
                monkeypatch.setenv(variable, address)
        code, said = run("health")
        assert code == 1
        assert "ARANGO_HOST" in said
        assert SECRET not in said, address
    for variable in ("PGSQL_DB_HOST", "PGSQL_DB_NAME"):
        before = os.environ[variable]
        for address in ADDRESSES:
            monkeypatch.setenv(variable, address)
            code, said = run("health")
            assert code == 1
            assert variable in said
            assert SECRET not in said, address
        monkeypatch.setenv(variable, before)


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_command_shows_a_password_of_an_address(configured, run, monkeypatch, variable: str):
    monkeypatch.setenv(variable, ADDRESSES[0])
    for command in COMMANDS:
        try:
            _, said = run(f"{command} --debug")
        except Exception as error:
            # With --debug the error goes through, with all that it stands on.
            said = "".join(traceback.format_exception(error))
        assert SECRET not in said, command


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_what_can_be_a_secret(address: str):
    assert SECRET not in shown_address(address)


def test_an_address_without_a_secret_is_shown_as_it_is():
    for address in (
        "http://arangodb.internal:8529",
        "https://api.openai.com/v1",
        "http://[::1]:8529",
        "feeds/a=b.json",
    ):
        assert shown_address(address) == address
    assert shown_address("https://shop.example.com/feed.json?token=x#y") == "https://shop.example.com/feed.json"


@pytest.mark.parametrize("address", [each for each in ADDRESSES if each.startswith("http")])
@pytest.mark.parametrize(
    ("variable", "read", "login"),
    [
        ("ARANGO_HOST", settings.arango, "ARANGO_USER and ARANGO_PASSWORD"),
        ("OPENAI_BASE_URL", settings.embeddings, "OPENAI_API_KEY"),
        ("GOOGLE_SHEETS_URL", settings.google, "GOOGLE_SERVICE_ACCOUNT_JSON"),
    ],
)
def test_an_address_with_a_login_is_refused_and_says_where_the_login_belongs(
    monkeypatch, variable: str, read, login: str, address: str
):
    monkeypatch.setenv(variable, address)
    settings.forget()
    with pytest.raises(ConfigurationError, match=variable) as caught:
        read()
    assert login in str(caught.value) if "@" in address else "without a query" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "read", "value"),
    [
        ("ARANGO_HOST", settings.arango, "http://a.internal:8529,http://b_2.internal:8529"),
        ("ARANGO_HOST", settings.arango, "http://[::1]:8529/"),
        ("ARANGO_HOST", settings.arango, "https://db.example.com/arangodb"),
        ("OPENAI_BASE_URL", settings.embeddings, "http://127.0.0.1:11434/v1/"),
        ("PGSQL_DB_HOST", settings.postgres, "/var/run/postgresql"),
        ("PGSQL_DB_HOST", settings.postgres, "@abstract"),
        ("PGSQL_DB_HOST", settings.postgres, "db-1.internal,db-2.internal"),
    ],
)
def test_an_address_without_a_login_is_taken(warehouse: Warehouse, monkeypatch, variable: str, read, value: str):
    monkeypatch.setenv(variable, value)
    settings.forget()
    assert value in repr(read())


def test_no_client_shows_a_secret_that_reaches_it_past_the_settings(monkeypatch):
    """Built with an address that was not checked: what they say of it holds no secret all the same."""
    arango = settings.ArangoSettings.model_construct(
        host=ADDRESSES[0], db="", user="root", password=settings.SecretStr("x")
    )
    with open_database(arango, "acme", timeout_seconds=2) as database, pytest.raises(SourceError) as caught:
        database.version()
    assert SECRET not in str(caught.value)
    with pytest.raises(SourceError) as of_tracker, open_tracker(ADDRESSES[8]):
        pass
    assert SECRET not in str(of_tracker.value) + repr(of_tracker.value)


def test_dagsters_events_hold_no_secret_of_an_address(configured, instance, monkeypatch):
    monkeypatch.setenv("ARANGO_HOST", ADDRESSES[0])
    settings.forget()
    instance.add_dynamic_partitions("tenant", ["acme"])
    job = build_definitions().resolve_job_def("customers_sync")
    result = job.execute_in_process(instance=instance, partition_key="acme", raise_on_error=False)
    events = [str(entry) for entry in instance.all_logs(result.run_id)]
    assert not result.success
    assert any("ARANGO_HOST" in event for event in events)
    assert not any(SECRET in event for event in events)
