from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.catalog.config import Ingestor, load
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.configuration_files import problem_of

LOCAL: dict[str, Any] = {"name": "a", "tenant": "acme", "source": "local", "root": "feeds", "registry": "brands.json"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ingestion.yaml"


def loaded(file: Path, text: str) -> list[Ingestor]:
    file.write_text(dedent(text), encoding="utf-8")
    return load(file)


def refused(file: Path, text: str) -> str:
    return problem_of(file, lambda: loaded(file, text))


def one(*lines: str, name: str = "a") -> str:
    """A file with one ingestor of a local folder and some lines of its own, the first of them on line 7."""
    head = ["ingestion:", f"  - name: {name}", "    tenant: acme", "    source_type: local", "    root: feeds"]
    return "\n".join([*head, "    registry: brands.json", *(f"    {line}" for line in lines)]) + "\n"


def test_everything_that_the_file_says_is_there(file: Path) -> None:
    ingestors = loaded(
        file,
        """
        ingestion:
          - name: acme-corp
            tenant: acme
            source_type: cmp
            root: https://shop.example.com/cmp
            registry: registry.json
            feed_path: feed/feed.json
            filter:
              organization: ["urn:cmp:orgid:1", "urn:cmp:org:2"]
            schedule: "0 */4 * * *"
            limits: {max_shard_bytes: 2 MB, max_shards: 7, max_items: 100, max_share_gone: 0.5, timeout_seconds: 9}
            allow_addresses: [10.0.0.0/8, Feeds.internal., "fd12::1"]
          - name: files
            tenant: acme
            source_type: local
            root: feeds
            registry: registry.json
          - name: partner
            tenant: other
            source_type: ftp
            root: ftps://ftp.example.com/out
            registry: registry.json
            user: acme
            password_variable: PARTNER_PASSWORD
        """,
    )
    assert [ingestor.name for ingestor in ingestors] == ["acme-corp", "files", "partner"]
    web, files, partner = ingestors
    assert (web.tenant, web.source, web.root) == ("acme", "cmp", "https://shop.example.com/cmp")
    assert (web.registry, web.feed, web.schedule) == ("registry.json", "feed/feed.json", "0 */4 * * *")
    assert web.organizations == ("urn:cmp:orgid:1", "urn:cmp:org:2")
    assert web.limits.model_dump() == {
        "max_shard_bytes": 2_000_000,
        "max_shards": 7,
        "max_items": 100,
        "max_share_gone": 0.5,
        "timeout_seconds": 9,
    }
    assert web.allowed.hosts == {"feeds.internal"}
    assert [str(network) for network in web.allowed.networks] == ["10.0.0.0/8", "fd12::1/128"]
    assert (files.feed, files.schedule, files.organizations, files.allow_addresses) == (None, None, (), ())
    assert (files.limits.max_shard_bytes, files.limits.max_share_gone) == (5 * 1024 * 1024, 0.2)
    assert (partner.user, partner.password_variable) == ("acme", "PARTNER_PASSWORD")


def test_a_folder_is_taken_from_where_the_file_is(file: Path) -> None:
    assert loaded(file, one())[0].root == str(file.parent / "feeds")
    assert loaded(file, one().replace("feeds", "/srv/feeds"))[0].root == "/srv/feeds"


def test_an_ingestor_cannot_be_changed() -> None:
    ingestor = Ingestor(**LOCAL)
    with pytest.raises(ValueError, match="frozen"):
        ingestor.name = "b"


@pytest.mark.parametrize(
    "schedule",
    [
        "every four hours",
        "0 */4 * *",
        "0 0 * * * *",
        "61 * * * *",
        "0 0 31 2 *",
        "@reboot",
        "@every 5m",
        "* * * * mon-xyz",
        "*/0 * * * *",
        "''",
    ],
)
def test_a_bad_cron_names_its_ingestor_and_is_never_replaced(file: Path, schedule: str) -> None:
    message = refused(file, one(f"schedule: '{schedule.strip(chr(39))}'", name="acme-corp"))
    assert message.startswith("line 7, ingestor 'acme-corp', schedule: ")
    assert "is no cron schedule. Give five fields" in message


@pytest.mark.parametrize("schedule", ["0 */4 * * *", "*/5 1-5,7 * jan mon-fri", "0 0 29 2 *", "@daily", "@hourly"])
def test_a_good_cron_is_kept_as_it_is(file: Path, schedule: str) -> None:
    assert loaded(file, one(f"schedule: '{schedule}'"))[0].schedule == schedule


def test_dagster_takes_every_schedule_that_is_taken_here() -> None:
    from dagster import ScheduleDefinition

    for schedule in (
        "0 */4 * * *",
        "*/5 1-5,7 * jan mon-fri",
        "0 0 29 2 *",
        "@daily",
        "@hourly",
        "@weekly",
        "@monthly",
    ):
        assert Ingestor(**LOCAL, schedule=schedule).schedule == schedule
        assert ScheduleDefinition(job_name="any", cron_schedule=schedule).cron_schedule == schedule


def test_a_misspelt_field_says_which_one_may_be_meant(file: Path) -> None:
    assert refused(file, one("shedule: '0 0 * * *'")) == (
        "line 7, ingestor 'a', shedule: there is no such field; schedule may be meant."
    )
    assert refused(file, one("limits:", "  max_shard_byte: 5")) == (
        "line 8, ingestor 'a', limits.max_shard_byte: there is no such field; max_shard_bytes may be meant."
    )
    assert refused(file, one("filter:", "  brand: x")) == (
        "line 8, ingestor 'a', filter.brand: there is no such field. Take it out."
    )
    assert refused(file, "ingestions: []\n").startswith(
        "line 1, ingestion: is missing; line 1, ingestions: there is no"
    )


def test_every_problem_is_told_at_once_with_its_line(file: Path) -> None:
    message = refused(
        file,
        """\
        ingestion:
          - name: first
            tenant: acme
            source_type: s3
            registry: brands.json
          - name: second
            source_type: local
            root: feeds
            registry: brands.json
            limits:
              max_share_gone: 20
          - tenant: acme
            source_type: local
            root: feeds
            registry: brands.json
          - just a text
        """,
    )
    assert "line 4, ingestor 'first', source_type: Input should be 'local', 'http', 'cmp' or 'ftp'" in message
    assert "line 6, ingestor 'second', tenant: is missing" in message
    assert "line 11, ingestor 'second', limits.max_share_gone: Input should be less than or equal to 1" in message
    assert "line 12, ingestor 3, name: is missing" in message
    assert "line 16, ingestor 4" in message


@pytest.mark.parametrize("second", ["harbour", "Harbour", "har.bour", "har_bour"])
def test_a_name_is_there_once(file: Path, second: str) -> None:
    first = "har-bour" if "har" in second and second.lower() != "harbour" else "harbour"
    text = one(name=first) + one(name=second).removeprefix("ingestion:\n")
    assert refused(file, text) == f"line 7: ingestor {second!r} has the same name as the one on line 2. Rename one."


@pytest.mark.parametrize("name", ["", "a b", "../a", "a/b", "-a", "a" * 64, "tên"])
def test_a_name_fits_a_partition(file: Path, name: str) -> None:
    assert "line 2, ingestor" in refused(file, one(name=f"'{name}'"))


def test_a_file_that_is_not_there_says_where_it_is_looked_for(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="INGESTION_CONFIG_PATH"):
        load(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# only words\n", "is empty"),
        ("ingestion: a\n", "line 1, ingestion: Input should be"),
        (one("schedule: * * * * *"), "line 7: no YAML: "),
    ],
)
def test_what_is_no_list_of_ingestors_is_refused_with_its_line(file: Path, text: str, problem: str) -> None:
    assert problem in refused(file, text)


def test_no_error_repeats_what_came_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush hush")
    lines = (
        "allow_addresses: ['${SECRET}']",
        "schedule: ${SECRET}",
        "source_type: ${SECRET}",
        "name: ${SECRET}",
        "password_variable: ${SECRET}",
        "limits: ${SECRET}",
        "limits: {max_shard_bytes: '${SECRET}', max_items: '${SECRET}'}",
        "filter: {organization: ['${SECRET}']}",
        "feed_path: 'https://user:${SECRET}@shop.example.com/a'",
    )
    for line in lines:
        assert "hush" not in refused(file, one(line))


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("[10.0.0.0/33]", "entry 1 is neither a host nor a network"),
        ("[10.0.0.0/8, '*.internal']", "entry 2 is neither a host nor a network"),
        ("['http://feeds.internal']", "is neither a host nor a network"),
        ("['feeds.internal:8080']", "is neither a host nor a network"),
        ("['127.1']", "is neither a host nor a network"),
        ("['2130706433']", "is neither a host nor a network"),
        ("['']", "is neither a host nor a network"),
        ("[169.254.169.254]", "is never connected to. Take it out"),
        ("['fd00:ec2::254']", "is never connected to"),
        ("true", "allow_addresses: Input should be a valid tuple"),
    ],
)
def test_an_address_to_allow_is_a_host_or_a_network(file: Path, entries: str, problem: str) -> None:
    assert problem in refused(file, one(f"allow_addresses: {entries}"))


@pytest.mark.parametrize("value", ["true", "false"])
def test_the_older_key_that_opened_everything_says_what_replaced_it(file: Path, value: str) -> None:
    message = refused(file, one(f"allow_private_addresses: {value}"))
    assert message.startswith("line 7: allow_private_addresses: was replaced") or "was replaced" in message
    assert "allow_addresses: [10.0.0.0/8, feeds.internal]" in message


# --- what does not go together ---


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"root": ""}, "root: is missing"),
        ({"root": "https://shop.example.com"}, "root: does not fit source_type local"),
        ({"registry": "https://shop.example.com/a"}, "registry: does not fit source_type local"),
        ({"source_type": "http", "root": "feeds"}, "root: is no address"),
        ({"source_type": "http", "root": ""}, "registry: is no whole address"),
        ({"source_type": "http", "root": "ftp://shop.example.com"}, "root: does not fit source_type http"),
        ({"source_type": "cmp", "root": "https://u:p@shop.example.com"}, "root: holds a user or a password"),
        ({"source_type": "http", "root": "http://shop.example.com:port"}, "root: is no address"),
        ({"source_type": "http", "root": "http://[::1"}, "root: is no address"),
        ({"source_type": "ftp", "root": ""}, "root: is missing"),
        ({"source_type": "ftp", "root": "out"}, "root: is missing"),
        ({"source_type": "ftp", "root": "https://shop.example.com"}, "root: does not fit source_type ftp"),
        ({"source_type": "ftp", "root": "ftp://u:p@shop.example.com"}, "root: holds a user or a password"),
    ],
)
def test_what_does_not_fit_the_kind_of_place_is_refused(file: Path, changes: dict[str, str], problem: str) -> None:
    fields = {"source_type": "local", "root": "feeds", "registry": "brands.json", **changes}
    lines = [
        "ingestion:",
        "  - name: a",
        "    tenant: acme",
        *(f"    {key}: '{value}'" for key, value in fields.items()),
    ]
    message = refused(file, "\n".join(lines))
    assert f"ingestor 'a', {problem}" in message
    field = problem.partition(":")[0]
    assert message.startswith(f"line {4 + list(fields).index(field)}, ")


def test_whole_addresses_need_no_root(file: Path) -> None:
    text = one().replace("local", "http").replace("    root: feeds\n", "").replace("brands", "https://a.example.com/b")
    assert loaded(file, text)[0].registry == "https://a.example.com/b.json"


# --- settings ---


def test_the_variables_have_the_meaning_that_they_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("INGESTION_CONFIG_PATH", "TRIGGER_INGESTION_ON_STARTUP", "FEED_CHECK_INTERVAL", "CLEANUP_INTERVAL"):
        monkeypatch.delenv(name, raising=False)
    settings.forget()
    assert settings.catalog().model_dump() == {
        "ingestion_config_path": None,
        "trigger_ingestion_on_startup": False,
        "feed_check_interval": 300,
        "cleanup_interval": 86_400,
        "product_retention_days": 30,
        "round_retention_days": 7,
    }
    monkeypatch.setenv("TRIGGER_INGESTION_ON_STARTUP", "true")
    monkeypatch.setenv("FEED_CHECK_INTERVAL", "60")
    settings.forget()
    assert settings.catalog().trigger_ingestion_on_startup
    assert settings.catalog().feed_check_interval == 60
    monkeypatch.setenv("FEED_CHECK_INTERVAL", "soon")
    settings.forget()
    with pytest.raises(ConfigurationError, match="FEED_CHECK_INTERVAL"):
        settings.catalog()
    settings.forget()


# --- the form of the discovery node ---


def test_a_file_of_the_older_form_belongs_to_the_default_tenant(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_TENANT_ID", "acme")
    local, web = loaded(
        file,
        """
        ingestion:
          # Modes that are commented out stay so.
          - name: "acme-corp"
            source_type: "local"
            registry: "/srv/samples/acme-solutions/brand-registry.json"
            feed_path: "/srv/samples/acme-solutions/feed/feed.json"
            schedule: "0 */4 * * *"
          - name: "mesh"
            source_type: "cmp"
            registry: "https://github.com/commercemesh/commercemesh/blob/main/registry/brands.json"
            filter:
              organization: ["urn:cmp:org:1"]
        """,
    )
    assert (local.tenant, local.root) == ("acme", "/srv/samples/acme-solutions")
    assert (local.registry, local.feed, local.schedule) == ("brand-registry.json", "feed/feed.json", "0 */4 * * *")
    assert (web.tenant, web.root, web.organizations) == ("acme", "", ("urn:cmp:org:1",))


def test_paths_of_the_older_form_may_be_below_the_folder_of_a_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ingestion: [{name: a, tenant: acme, source_type: local, registry: acme/brands.json}]"
    assert "root: is missing" in refused(file, text)
    monkeypatch.setenv("DATA_DIR", "/srv/samples")
    (ingestor,) = loaded(file, text)
    assert (ingestor.root, ingestor.registry) == ("/srv/samples", "acme/brands.json")


def test_a_tenant_that_the_file_names_goes_before_the_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_TENANT_ID", "other")
    assert loaded(file, one())[0].tenant == "acme"


def test_without_a_tenant_the_error_names_the_variable(file: Path) -> None:
    text = "ingestion: [{name: a, source_type: local, root: feeds, registry: brands.json}]"
    assert "tenant: is missing. Say whose products they are, or set DEFAULT_TENANT_ID" in refused(file, text)


@pytest.mark.parametrize("text", ["ingestion: 1", "ingestion: [1]", "[1]", "ingestion: {a: 1}"])
def test_a_file_without_a_list_of_ingestors_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DEFAULT_TENANT_ID", "acme")
    refused(file, text)
