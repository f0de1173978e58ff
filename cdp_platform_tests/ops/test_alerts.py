"""An alert is one row from the first time that something is found until it ended; nothing is found in vain."""

from datetime import timedelta

import psycopg

from cdp_platform.ops import alerts, tenants
from cdp_platform.ops.alerts import Trouble, end, listed, note

STALE = Trouble("stale", "cdp_profile", "Not read for 2 h.", room="customers", owners=["team:customer-data"])
FAILED = Trouble("run", "customers_sync", "It failed.", run_id="one")


def test_what_is_found_again_is_counted_in_the_same_row(app: psycopg.Connection):
    assert note(app, [STALE]).opened == [STALE]
    assert note(app, [STALE]).opened == []
    (alert,) = listed(app)
    assert (alert.kind, alert.subject, alert.count, alert.owners) == ("stale", "cdp_profile", 2, ["team:customer-data"])
    assert alert.first_at < alert.last_at


def test_what_has_a_figure_is_counted_again_only_while_that_grows(app: psycopg.Connection):
    for waiting in (3, 3, 2, 5):
        note(app, [Trouble("rejected", "cdp_profile", f"{waiting} wait.", figure=waiting)])
    (alert,) = listed(app)
    assert (alert.count, alert.message) == (2, "5 wait.")


def test_an_alert_ends_when_its_kind_was_looked_at_and_it_was_not_found(app: psycopg.Connection):
    note(app, [STALE, FAILED])
    assert note(app, [], judged=["stale"]).ended == 1
    assert [alert.kind for alert in listed(app)] == ["run"]
    assert note(app, [], over=[FAILED.key]).ended == 1
    assert listed(app) == []
    assert {alert.state for alert in listed(app, ended_within=timedelta(hours=1))} == {"ended"}


def test_what_comes_back_is_another_alert(app: psycopg.Connection):
    note(app, [FAILED])
    note(app, [], over=[FAILED.key])
    assert note(app, [FAILED]).opened == [FAILED]
    assert [alert.count for alert in listed(app, ended_within=timedelta(hours=1))] == [1, 1]


def test_what_is_over_and_found_in_the_same_look_is_open(app: psycopg.Connection):
    note(app, [FAILED])
    noted = note(app, [FAILED], over=[FAILED.key])
    assert (noted.opened, noted.ended) == ([FAILED], 1)


def test_alerts_of_a_tenant_end_when_it_is_retired(app: psycopg.Connection):
    tenants.add(app, "acme", arango_database="acme")
    note(app, [Trouble("check", "customers/cdp_profiles: keys_unique", "Twice.", tenant="acme")])
    assert len(listed(app)) == 1
    tenants.retire(app, "acme")
    assert note(app, []).ended == 1


def test_a_person_can_end_an_alert(app: psycopg.Connection):
    note(app, [FAILED])
    (alert,) = listed(app)
    assert end(app, alert.alert_id)
    assert not end(app, alert.alert_id)


def test_what_ended_long_ago_is_deleted_and_what_is_open_never(app: psycopg.Connection):
    note(app, [STALE, FAILED])
    note(app, [], over=[FAILED.key])
    app.execute("UPDATE ops.alert SET first_at = now() - interval '200 days'")
    assert alerts.delete_old(app) == 0
    app.execute("UPDATE ops.alert SET ended_at = now() - interval '91 days' WHERE state = 'ended'")
    assert alerts.delete_old(app) == 1
    assert [alert.kind for alert in listed(app)] == ["stale"]
