"""How `cdp up` begins and ends: what it refuses, and that nothing it started outlives it."""

import re
import signal
import socketserver
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import psutil
import pytest

from cdp_platform_tests.processes.conftest import Checkout, Serving, serve, wait_for
from cdp_sandbox.processes import HOST, is_alive

pytestmark = pytest.mark.alone


def alive(family: dict[str, psutil.Process]) -> list[str]:
    return [name for name, process in family.items() if is_alive(process)]


def sandbox_runs(checkout: Checkout) -> list[bool]:
    return [component.running for component in checkout.sandbox.status()]


def test_a_second_up_in_the_same_folder_is_refused_and_disturbs_nothing(served: Serving):
    assert "This folder is being served already" in served.checkout.cdp("up").error()
    assert httpx2.get(f"{served.checkout.url}/server_info", timeout=30).status_code == 200


def test_one_code_server_serves_the_ui_and_the_daemon_reloads_and_comes_back_when_it_was_killed(served: Serving):
    def answered_by_another_than(old: psutil.Process) -> bool:
        family = served.family()
        if family.get("api grpc", old) == old:
            return False
        entry = served.checkout.ask(
            "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
        )["workspaceOrError"]["locationEntries"][0]
        return entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"

    family = served.family()
    first = family["api grpc"]
    served.checkout.ask('mutation { reloadRepositoryLocation(repositoryLocationName: "cdp_platform") { __typename } }')
    wait_for(lambda: not is_alive(first) and answered_by_another_than(first), 120, "the reloaded code")
    assert served.family()["code-server start"] == family["code-server start"]
    for victim in ("api grpc", "code-server start"):
        # One that ends soon after its start is not started again.
        began = served.family()["code-server start"].create_time()
        wait_for(lambda began=began: time.time() - began > 32, 60, "a code server that runs for a while")
        before = served.family()
        before[victim].kill()
        wait_for(
            lambda before=before: answered_by_another_than(before["api grpc"]), 180, f"code after a kill of {victim}"
        )
        assert served.family()["code-server start"] != before["code-server start"]
        assert served.family()["dagster-daemon"] == before["dagster-daemon"]
    assert served.said().count("The code server ended, and is started again.") == 2


def test_ctrl_c_stops_what_up_started_and_leaves_the_sandbox_that_ran_before(served: Serving):
    family = served.family()
    assert {"dagster-webserver", "dagster-daemon", "cdp serve", "code-server start", "api grpc"} <= set(family)
    assert httpx2.get(f"{served.checkout.env['CDP_WEB_URL']}/healthz", timeout=30).status_code == 200
    served.process.send_signal(signal.SIGINT)
    assert served.ended() in {0, 130}
    assert alive(family) == []
    assert served.said().endswith("Stopping.\n")
    assert "Traceback" not in served.said()
    assert sandbox_runs(served.checkout) == [True, True]


@dataclass(frozen=True)
class Restarted:
    """A `cdp up` after another one, and the logs that it found, by name."""

    serving: Serving
    logs_before: dict[str, str]


@pytest.fixture(scope="module")
def restarted(served: Serving) -> Iterator[Restarted]:
    checkout = served.checkout
    if served.process.poll() is None:
        served.process.send_signal(signal.SIGINT)
        served.ended()
    before = {name: (checkout.sandbox.logs / name).read_text() for name in ("daemon.log", "webserver.log")}
    with serve(checkout) as serving:
        yield Restarted(serving, before)


def test_the_logs_survive_a_restart_and_have_no_debug_lines(restarted: Restarted):
    checkout, said = restarted.serving.checkout, restarted.serving.said()
    assert f"Web app     {checkout.env['CDP_WEB_URL']}\n" in said
    assert f"Stand-ins   {checkout.env['ARANGO_HOST']}\n" in said
    assert f"Outbox      {checkout.env['SANDBOX_URL']}/outbox\n" in said
    # The sensor that keeps the partitions in step says something at each look.
    assert "SensorDaemon" in restarted.logs_before["daemon.log"]
    for name, text in restarted.logs_before.items():
        now = (checkout.sandbox.logs / name).read_text()
        assert now.startswith(text)
        assert now.count("cdp up at ") == text.count("cdp up at ") + 1
        assert " - DEBUG - " not in re.sub(r"\x1b\[[0-9;]*m", "", now)


def test_the_death_of_the_web_app_ends_up_too(restarted: Restarted):
    family = restarted.serving.family()
    family["cdp serve"].kill()
    assert restarted.serving.ended() == 1
    assert alive(family) == []
    assert "error: The web app was killed by SIGKILL" in restarted.serving.said()


@pytest.mark.parametrize("variable", ["DAGSTER_WEBSERVER_PORT", "CDP_WEB_PORT"])
def test_a_taken_port_is_named_with_the_variable_that_sets_it(checkout: Checkout, variable: str):
    with socketserver.TCPServer((HOST, 0), socketserver.BaseRequestHandler) as taken:
        port = taken.server_address[1]
        line = checkout.cdp("up", **{variable: str(port)}).error()
    assert f"Port {port}" in line
    assert variable in line
    assert sandbox_runs(checkout) == [True, True]


def test_up_after_a_killed_up_ends_the_leftovers_and_down_ends_everything(checkout: Checkout):
    with serve(checkout) as killed:
        leftovers = killed.family()
        killed.process.kill()
        killed.ended()
        assert {"dagster-webserver", "dagster-daemon"} <= set(alive(leftovers))
        with serve(checkout) as serving:
            assert alive(leftovers) == []
            family = serving.family()
            down = checkout.cdp("down")
            assert (down.code, down.err) == (0, "")
            assert serving.ended() in {0, 130}
            assert alive(family) == []
            assert "Traceback" not in serving.said()
    assert sandbox_runs(checkout) == [False, False]


def test_the_death_of_the_daemon_ends_up_and_all_that_it_started_the_sandbox_too(checkout: Checkout):
    checkout.cdp("down")
    assert sandbox_runs(checkout) == [False, False]
    with serve(checkout) as serving:
        assert sandbox_runs(checkout) == [True, True]
        # Nobody but the code server knows the process that loads the code.
        family = serving.family()
        family["dagster-daemon"].kill()
        assert serving.ended() == 1
        assert alive(family) == []
        assert "error: The Dagster daemon was killed by SIGKILL" in serving.said()
        assert "Traceback" not in serving.said()
    assert sandbox_runs(checkout) == [False, False]
