"""`cdp ...` on the demo: what it answers when something is wrong, its help, and its exit code."""

import shutil
from pathlib import Path

import pytest

from cdp_platform_tests.processes.conftest import TENANT_IDS, Checkout, new_checkout
from cdp_sandbox.processes import HOST, free_port


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


def test_status_shows_what_it_knows_while_the_source_is_down_and_fails(checkout: Checkout):
    done = checkout.cdp("status", ARANGO_HOST=f"http://{HOST}:{free_port()}")
    assert done.code == 1
    assert all(tenant in done.out for tenant in TENANT_IDS)
    assert "is ARANGO_HOST right" in done.out
    assert "Traceback" not in done.err


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
