"""A look at an outside system that does not answer ends soon, and says what to do."""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.campaigns.channels.config import configured
from cdp_platform.catalog.config import Ingestor
from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
from cdp_platform.folder import SHIPPED
from cdp_platform.health import looks
from cdp_platform.health.findings import Finding, examine
from cdp_platform.ops import tenants
from cdp_platform.ops.gate import Gate
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.resources.arango import ArangoDatabase
from cdp_platform_tests import silence
from cdp_platform_tests.conftest import PASSWORD, Warehouse
from cdp_platform_tests.sandbox_process import PASSWORD as ARANGO_PASSWORD
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_platform_tests.sheets_stub import SheetsStub

BOUND_SECONDS = 15
Absent = Callable[[], AbstractContextManager[int]]

ABSENT: dict[str, Absent] = {
    "nothing listens": silence.closed_port,
    "packets are dropped": silence.full_backlog,
    "it is mute": silence.mute,
}


@pytest.fixture(params=ABSENT)
def absent(request: pytest.FixtureRequest):
    """The port of a server that is absent in one of the ways."""
    with ABSENT[request.param]() as port:
        yield port


def told(look: Callable[[], object]) -> str:
    """What a look says that finds nobody, in time."""
    settings.forget()
    began = time.monotonic()
    with pytest.raises(PlatformError) as caught:
        look()
    assert time.monotonic() - began < BOUND_SECONDS
    return str(caught.value)


def channels_of(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay and a webhook at this port, in the file of channels."""
    path = folder / "channels.yaml"
    path.write_text(
        f"""
        channels:
          - {{name: email, kind: email, address: "127.0.0.1:{port}", from: shop@shop.example}}
          - {{name: sms, kind: webhook, to: phone, address: "http://127.0.0.1:{port}/sms", secret: {"s" * 32}}}
        """
    )
    monkeypatch.setenv("CHANNELS_CONFIG_PATH", str(path))
    settings.forget()


@pytest.mark.parametrize("name", ["email", "sms"])
def test_a_channel(absent: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    channels_of(tmp_path, absent, monkeypatch)
    channel = configured().required(name)
    said = told(lambda: looks.channel(channel))
    assert f"hannel {name}" in said
    assert "channels.yaml" in said or "Try again" in said


@pytest.mark.usefixtures("warehouse")
def test_health_looks_at_every_channel_and_says_that_opt_outs_have_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with silence.closed_port() as port:
        channels_of(tmp_path, port, monkeypatch)
        findings = {finding.system: finding for finding in examine()}
    assert findings["Channel email"].state == findings["Channel sms"].state == "error"
    assert "OPT_OUT_JOURNAL" in findings["Opt-outs"].advice
    monkeypatch.setenv("OPT_OUT_JOURNAL", str(tmp_path / "journal"))
    settings.forget()
    assert states(examine())["Opt-outs"] == "ok"


def test_arangodb(absent: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARANGO_HOST", f"http://127.0.0.1:{absent}")
    said = told(lambda: looks.arango("leo_cdp", ArangoDatabase.version))
    assert f"127.0.0.1:{absent}" in said
    assert "is ARANGO_HOST right" in said


def acme(connection: psycopg.Connection, spreadsheet: str) -> list[tenants.Tenant]:
    tenants.add(connection, "acme", arango_database="acme", settings=[ReferralSettings(google_sheet_id=spreadsheet)])
    return tenants.registered(connection)


def test_google_sheets(absent: int, app: psycopg.Connection, sheets_stub: SheetsStub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_JSON", json.dumps(sheets_stub.key))
    monkeypatch.setenv("GOOGLE_SHEETS_URL", f"http://127.0.0.1:{absent}")
    registered = acme(app, sheets_stub.spreadsheet_id)
    assert "GOOGLE_SHEETS_URL right" in told(lambda: looks.google(registered[0], registered))


def test_googles_token_server(
    absent: int, app: psycopg.Connection, sheets_stub: SheetsStub, monkeypatch: pytest.MonkeyPatch
):
    key = sheets_stub.key | {"token_uri": f"http://127.0.0.1:{absent}/token"}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_JSON", json.dumps(key))
    monkeypatch.setenv("GOOGLE_SHEETS_URL", sheets_stub.base)
    registered = acme(app, sheets_stub.spreadsheet_id)
    said = told(lambda: looks.google(registered[0], registered))
    assert "token server" in said or "no answer within" in said


def test_a_spreadsheet_whose_quota_others_use_up_is_taken_for_there(
    app: psycopg.Connection, sheets_stub: SheetsStub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_JSON", json.dumps(sheets_stub.key))
    monkeypatch.setenv("GOOGLE_SHEETS_URL", sheets_stub.base)
    settings.forget()
    registered = acme(app, sheets_stub.spreadsheet_id)
    Gate(app, f"google-sheets {sheets_stub.account} reads").rest(60)
    began = time.monotonic()
    looks.google(registered[0], registered)
    assert time.monotonic() - began < BOUND_SECONDS


def test_the_trackers_database(absent: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REFERRAL_DATABASE_URL", f"postgresql://reader:secret@127.0.0.1:{absent}/tracker")
    said = told(looks.tracker)
    assert f"127.0.0.1:{absent}/tracker" in said
    assert "REFERRAL_DATABASE_URL right" in said
    assert "secret" not in said


def test_the_server_of_embeddings(absent: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{absent}/v1")
    said = told(lambda: looks.embeddings_server("openai"))
    assert "OPENAI_BASE_URL right" in said
    looks.embeddings_server("local")


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_the_registry_of_an_ingestor(absent: int, scheme: str):
    ingestor = Ingestor(
        name="shops",
        tenant="acme",
        source=scheme,  # ty: ignore[invalid-argument-type]
        root=f"{scheme}://127.0.0.1:{absent}/shops",
        registry="registry.jsonld",
        allow_addresses=["127.0.0.1"],
    )
    said = told(lambda: looks.registry(ingestor))
    assert f"127.0.0.1:{absent}" in said or "The registry of shops" in said


def test_dagsters_own_database(absent: int):
    said = told(lambda: looks.dagster_storage(f"host=127.0.0.1 port={absent} dbname=dagster user=dagster"))
    assert "DAGSTER_PG_" in said


def test_a_name_that_takes_for_ever_to_resolve_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """A server of names that does not answer costs a minute or more in the C library."""
    monkeypatch.setenv("ARANGO_HOST", "http://arangodb.internal:8529")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments, **_options: time.sleep(60))
    said = told(lambda: looks.arango("leo_cdp", ArangoDatabase.version))
    assert "no answer within" in said
    assert "does its name resolve" in said


# --- health ---


@pytest.fixture
def arango(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    monkeypatch.setenv("ARANGO_HOST", sandbox.url)
    monkeypatch.setenv("ARANGO_PASSWORD", ARANGO_PASSWORD)
    settings.forget()
    return sandbox


@pytest.fixture
def dagster_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with the dagster.yaml of the platform."""
    shutil.copy(SHIPPED / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


@pytest.fixture
def dagster_database(warehouse: Warehouse, dagster_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(warehouse.settings.db_port),
        "DB": warehouse.settings.db_name,
        "USERNAME": warehouse.settings.db_user,
        "PASSWORD": PASSWORD,
    }.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
    settings.forget()


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.system: finding.state for finding in findings}


@pytest.mark.usefixtures("dagster_database")
def test_a_default_database_that_is_not_there_hides_no_tenants_database(
    app: psycopg.Connection, arango: SandboxProcess, monkeypatch: pytest.MonkeyPatch
):
    names = [arango.new_database().name for _ in range(2)]
    for tenant_id, name in zip(("acme", "bolt"), names, strict=True):
        for collection, edge in (("cdp_profile", False), ("cdp_profile2conversion", True)):
            arango.arango(name).create_collection(collection, edge=edge)
        tenants.add(app, tenant_id, arango_database=name)
    monkeypatch.setenv("ARANGO_DB", "leo_cdp_typo")
    settings.forget()
    findings = examine()
    found = states(findings)
    assert found["ArangoDB"] == "ok"
    assert found["ArangoDB leo_cdp_typo (ARANGO_DB)"] == "error"
    (advice,) = [finding.advice for finding in findings if "leo_cdp_typo" in finding.system]
    assert "there is no such database" in advice
    assert "ARANGO_DB" in advice
    # They are looked at, and want an index.
    assert {found[f"ArangoDB {name} ({tenant})"] for tenant, name in zip(("acme", "bolt"), names, strict=True)} == {
        "warn"
    }


@pytest.mark.usefixtures("dagster_database")
def test_a_tenants_database_that_is_not_there_hides_no_other_system(app: psycopg.Connection, arango: SandboxProcess):
    tenants.add(app, "acme", arango_database="leo_cdp_gone")
    found = states(examine())
    assert found["ArangoDB"] == "ok"
    assert found["ArangoDB leo_cdp_gone (acme)"] == "error"
    assert found["PostgreSQL (Dagster)"] == "ok"


@pytest.mark.usefixtures("dagster_database")
def test_a_wrong_setting_of_one_system_hides_no_other(
    app: psycopg.Connection, arango: SandboxProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EMBED_BATCH_SIZE", "0")
    monkeypatch.setenv("REFERRAL_DATABASE_URL", "nonsense")
    settings.forget()
    findings = examine()
    found = states(findings)
    assert found["Embeddings"] == "error"
    assert found["PostgreSQL (referral tracker)"] == "error"
    assert found["ArangoDB"] == found["PostgreSQL (Dagster)"] == "ok"
    assert "EMBED_BATCH_SIZE" in next(finding.advice for finding in findings if finding.system == "Embeddings")


@pytest.mark.usefixtures("warehouse", "dagster_home")
def test_health_of_a_platform_whose_every_neighbour_is_mute_takes_no_longer_than_one_of_them(
    app: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number in range(10):
        tenants.add(app, f"tenant{number}", arango_database=f"leo_cdp_{number}")
    with silence.mute() as port:
        monkeypatch.setenv("ARANGO_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("ARANGO_DB", "leo_cdp")
        monkeypatch.setenv("REFERRAL_DATABASE_URL", f"postgresql://reader@127.0.0.1:{port}/tracker")
        monkeypatch.setenv("EMBEDDING_PROVIDER", "openai")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "DB": "d", "USERNAME": "d"}.items():
            monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
        channels_of(tmp_path, port, monkeypatch)
        monkeypatch.setenv("OPT_OUT_JOURNAL", str(tmp_path / "journal"))
        settings.forget()
        began = time.monotonic()
        findings = examine()
        assert time.monotonic() - began < 2 * BOUND_SECONDS
    found = states(findings)
    assert found.pop("PostgreSQL (warehouse)") == "ok"
    assert found.pop("Opt-outs") == "ok"
    assert found.pop("Looks at sources") == "ok"
    assert len(found) == 17
    assert set(found.values()) == {"error"}
    assert all(finding.advice for finding in findings[1:] if finding.state != "ok")


def test_a_tenant_without_a_usable_spreadsheet_says_so_at_once(
    app: psycopg.Connection, sheets_stub: SheetsStub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_JSON", json.dumps(sheets_stub.key))
    monkeypatch.setenv("GOOGLE_SHEETS_URL", sheets_stub.base)
    settings.forget()
    registered = acme(app, "no-such-spreadsheet")
    with pytest.raises((ConfigurationError, SourceError), match=r"no spreadsheet|There is no|Share"):
        looks.google(registered[0], registered)
