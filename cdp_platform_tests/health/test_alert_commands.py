"""`cdp alerts`: what is wrong, by hand too; and whether the channels take a message."""

import json
from pathlib import Path

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.ops.alerts import Trouble, listed, note
from cdp_platform_tests.command_line import answers, refusal, says
from cdp_platform_tests.mail_server import mail_server


def test_alerts_are_listed_and_ended_by_hand(app: psycopg.Connection):
    assert "Nothing is wrong" in says("alerts", "list")
    note(app, [Trouble("breaker", "apollo", "Not called.")])
    app.execute("INSERT INTO ops.alert_message (owner, channel, subject, content) VALUES ('*', 'ops', 's', 'c')")
    assert "1 alert is open: `cdp alerts list`" in says("status")
    shown = says("alerts", "list")
    assert "breaker" in shown
    assert "A message for * is reserved" in shown
    (alert,) = listed(app)
    assert answers("alerts", "end", str(alert.alert_id)) == {"ended": alert.alert_id}
    assert "No alert with number" in refusal("alerts", "end", str(alert.alert_id))
    assert [each["state"] for each in answers("alerts", "list", "--days", "1")["alerts"]] == ["ended"]


@pytest.mark.usefixtures("app")
def test_a_test_message_goes_over_each_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "set CDP_ALERTS_TO" in refusal("alerts", "test")
    with mail_server() as (port, taken):
        entry = {
            "name": "ops",
            "kind": "email",
            "address": f"127.0.0.1:{port}",
            "tls": "none",
            "from": "cdp@shop.example",
        }
        (tmp_path / "channels.yaml").write_text(json.dumps({"channels": [entry]}))
        monkeypatch.setenv("CHANNELS_CONFIG_PATH", str(tmp_path / "channels.yaml"))
        monkeypatch.setenv("CDP_ALERTS_TO", "team:growth=ops:growth@shop.example, *=ops:ops@shop.example")
        settings.forget()
        found = answers("alerts", "test")
        assert {owner: answer["verdict"] for owner, answer in found.items()} == {
            "team:growth": "accepted",
            "*": "accepted",
        }
        assert len(taken) == 2


@pytest.mark.parametrize("wrong", ["ops@shop.example", "*=ops@shop.example", "=ops:a@b.example", "* = ops:a b"])
def test_a_route_that_is_wrong_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch, wrong: str):
    monkeypatch.setenv("CDP_ALERTS_TO", wrong)
    settings.forget()
    message = refusal("alerts", "test")
    assert "CDP_ALERTS_TO" in message
    assert "example" not in message
