"""The report of a search adds up, and its contacts leave as a file only once they are paid for."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

from cdp_platform.enrichment import report
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.enrichment.room import Room


def test_a_report_has_outcomes_calls_and_money(room: Room):
    search = room.search(["found-1@shop.example", "found-2@shop.example", "unmatched-1@shop.example"])
    room.run()
    found = report.of_search(room.connection, "acme", search)
    assert found.outcomes == {**dict.fromkeys(report.OUTCOMES, 0), "enriched": 2, "no_match": 1}
    assert found.calls == {"confirmed": 1}
    assert (found.search.credits, found.search.cost, found.margin) == (2, Decimal("0.20"), Decimal("2.79"))
    assert (found.doubtful, found.payments, found.may_be_double) == ([], [], 0)
    of_all = report.of_tenant(room.connection, "acme", room.settings())
    assert (of_all.contacts, of_all.statuses["ready"], of_all.credits_today, of_all.cost_today) == (
        3,
        1,
        2,
        Decimal("0.2"),
    )


def test_a_call_whose_answer_was_lost_is_listed_for_every_search_that_waits_for_it(room: Room):
    first = room.search(["found-1@shop.example"])
    second = room.search(["found-1@shop.example"])
    room.apollo.spoil("drop_after")
    room.run()
    assert room.apollo.fired() == [1]
    for search in (first, second):
        (call,) = report.of_search(room.connection, "acme", search).doubtful
        assert (call.state, call.people, call.credits, call.credits_reserved) == ("unknown", 1, None, 1)


def test_contacts_are_exported_with_what_came_and_what_was_found(room: Room, tmp_path: Path):
    search = room.search(
        [
            {"email": "found-1@shop.example", "title": "=HYPERLINK(1)"},
            {"email": "unmatched-1@shop.example", "title": "@cmd"},
        ]
    )
    room.run()
    file = tmp_path / "contacts.csv"
    assert report.export(room.connection, "acme", search, file) == 2
    first, second = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines())
    assert (first["line"], first["outcome"], first["given email"]) == ("1", "enriched", "found-1@shop.example")
    assert first["email"] == "found-1@shop.example"
    assert first["title"]
    assert (first["given title"], second["given title"]) == ("'=HYPERLINK(1)", "'@cmd")
    lines = tmp_path / "contacts.jsonl"
    assert report.export(room.connection, "acme", search, lines) == 2
    one, two = map(json.loads, lines.read_text().splitlines())
    assert (one["given"]["title"], two["given"]["title"]) == ("=HYPERLINK(1)", "@cmd")
    assert one["found"]["email"] == "found-1@shop.example"
    assert (two["outcome"], two["found"]) == ("no_match", {})


def test_a_search_that_is_not_paid_is_not_exported(room: Room, tmp_path: Path):
    search = room.search(["found-1@shop.example"], status="preview")
    with pytest.raises(ConfigurationError, match="is not paid"):
        report.export(room.connection, "acme", search, tmp_path / "contacts.csv")
    assert list(tmp_path.iterdir()) == []
