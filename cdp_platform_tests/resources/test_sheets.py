import json
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.ops.gate import Breaker, Gate
from cdp_platform.resources.sheets import RequestLimits, SheetInfo, Spreadsheet, open_spreadsheet
from cdp_platform.settings import GoogleSettings
from cdp_platform_tests.resources.test_google_account import a_key
from cdp_platform_tests.sheets_stub import BRISK, SheetsStub
from cdp_sandbox.processes import free_port

ROWS = [["Date", "Clicks"], ["2026-11-22", 7], ["=1+1", 0.5]]
ADD_REPORT: list[dict[str, Any]] = [{"addSheet": {"properties": {"title": "Report", "index": 1}}}]
NOT_NOW = {"code": 429, "message": "Quota exceeded for quota metric 'Read requests'.", "status": "RESOURCE_EXHAUSTED"}
# Trouble in which a request may have been carried out or not.
UNCLEAR: list[dict[str, Any]] = [
    {"action": "status", "status": 500},
    {"action": "status", "status": 502, "body": "<html>Bad gateway</html>"},
    {"action": "status", "status": 503, "body": {"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}},
    {"action": "status", "status": 504},
    {"action": "drop_before"},
    {"action": "drop_after"},
    {"action": "truncate"},
    {"action": "status", "status": 200, "body": "<html>Welcome to the wifi</html>"},
    {"action": "status", "status": 200, "body": {}},
    {"action": "status", "status": 302, "headers": {"location": "/sheets/"}},
]
PACED: list[dict[str, Any]] = [
    {"action": "status", "status": 429, "body": {"error": NOT_NOW}},
    {"action": "status", "status": 429, "body": {"error": NOT_NOW}, "retry_after": 0.2},
]


def named(fault: dict[str, Any]) -> str:
    return " ".join(str(fault.get(name, "")) for name in ("action", "status", "retry_after")).strip()


def first_title(spreadsheet: Spreadsheet) -> str:
    return spreadsheet.sheets()[0].title


def test_a_spreadsheet_is_changed_written_and_read_with_one_request_each(sheets_stub: SheetsStub) -> None:
    with sheets_stub.open() as spreadsheet:
        replies = spreadsheet.change(ADD_REPORT)
        spreadsheet.write([("Report!A1:B3", ROWS), ("Report!D1", [[True, None, "x"]])])
        assert spreadsheet.values(["Report!A1:F9", "Report!A7:B9"]) == [
            [["Date", "Clicks", "", True, "", "x"], *ROWS[1:]],
            [],
        ]
        sheets = spreadsheet.sheets()
    assert [sheet.title for sheet in sheets][1] == "Report"
    added = replies[0]["addSheet"]["properties"]
    assert sheets[1] == SheetInfo(added["sheetId"], "Report", 1, hidden=False, rows=1000, columns=26)
    assert sheets_stub.arrived() == ["POST :batchUpdate", "POST /values:batchUpdate", "GET /values:batchGet", "GET "]
    assert (spreadsheet.requests.reads, spreadsheet.requests.writes) == (2, 2)
    names = [f"google-sheets {sheets_stub.account} {kind}" for kind in ("writes", "writes", "reads", "reads")]
    assert sheets_stub.turns.taken == [(name, {60: 60}) for name in names]


def test_what_is_written_is_read_as_it_was(sheets_stub: SheetsStub) -> None:
    rows = [
        ["=1+1", "+84 90", "007", "1e5", "TRUE", "'x"],
        [1, -2.5, True, False, 10**9, 0],
        ["cà phê ☕", 'a"b', "a\nb"],
    ]
    with sheets_stub.open() as spreadsheet:
        title = first_title(spreadsheet)
        spreadsheet.write([(f"'{title}'!A1:F3", rows)])
        assert spreadsheet.values([f"'{title}'!A1:Z9"]) == [rows]
        spreadsheet.write([(f"'{title}'!A1:C1", [["", None, "008"]])])
        assert spreadsheet.values([f"'{title}'!A1:C1"]) == [[["", "+84 90", "008"]]]


@pytest.mark.parametrize("fault", UNCLEAR + PACED, ids=named)
@pytest.mark.parametrize("call", ["sheets", "values"])
def test_a_read_in_trouble_is_made_again_and_then_right(
    sheets_stub: SheetsStub, call: str, fault: dict[str, Any]
) -> None:
    with sheets_stub.open() as spreadsheet:
        title = first_title(spreadsheet)
        spreadsheet.write([(f"{title}!A1", ROWS)])
        before = spreadsheet.requests.reads
        sheets_stub.spoil("values:batchGet" if call == "values" else sheets_stub.spreadsheet_id, **fault)
        if call == "values":
            assert spreadsheet.values([f"{title}!A1:B9"]) == [ROWS]
        else:
            assert first_title(spreadsheet) == title
    assert sheets_stub.fired() == [1]
    assert spreadsheet.requests.reads == before + 2


@pytest.mark.parametrize("fault", UNCLEAR + PACED, ids=named)
def test_a_write_in_trouble_is_made_again_and_then_there_once(sheets_stub: SheetsStub, fault: dict[str, Any]) -> None:
    with sheets_stub.open() as spreadsheet:
        title = first_title(spreadsheet)
        sheets_stub.spoil("values:batchUpdate", **fault)
        spreadsheet.write([(f"{title}!A1", ROWS)])
        assert sheets_stub.fired() == [1]
        assert spreadsheet.requests.writes == 2
        assert spreadsheet.values([f"{title}!A1:Z99"]) == [ROWS]


@pytest.mark.parametrize("fault", UNCLEAR, ids=named)
def test_a_change_whose_answer_is_lost_is_unknown_and_not_made_again(
    sheets_stub: SheetsStub, fault: dict[str, Any]
) -> None:
    with sheets_stub.open() as spreadsheet:
        sheets_stub.spoil(":batchUpdate", **fault)
        with pytest.raises(OutcomeUnknownError, match="has to be asked") as raised:
            spreadsheet.change(ADD_REPORT)
        assert sheets_stub.fired() == [1]
        assert raised.value.transient
        assert spreadsheet.requests.writes == 1
        made = "Report" in {sheet.title for sheet in spreadsheet.sheets()}
    assert made == (fault["action"] in {"drop_after", "truncate"})
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301
    assert isinstance(again, OutcomeUnknownError)
    assert again.transient


@pytest.mark.parametrize("fault", PACED, ids=named)
def test_a_change_that_was_refused_for_its_pace_is_made_again_once(
    sheets_stub: SheetsStub, fault: dict[str, Any]
) -> None:
    with sheets_stub.open() as spreadsheet:
        sheets_stub.spoil(":batchUpdate", **fault)
        spreadsheet.change(ADD_REPORT)
        assert sheets_stub.fired() == [1]
        assert [sheet.title for sheet in spreadsheet.sheets()].count("Report") == 1


def test_a_change_that_never_left_this_machine_is_not_unknown(sheets_stub: SheetsStub) -> None:
    settings = sheets_stub.settings(url=f"http://127.0.0.1:{free_port()}")
    with sheets_stub.open(settings=settings) as spreadsheet, pytest.raises(SourceError, match="_URL") as raised:
        spreadsheet.change(ADD_REPORT)
    assert raised.value.transient
    assert not isinstance(raised.value, OutcomeUnknownError)
    assert spreadsheet.requests.writes == BRISK.attempts


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(UNCLEAR[2], UnavailableError), (UNCLEAR[4], UnavailableError), (PACED[0], PacedError)],
    ids=["503", "dropped", "429"],
)
def test_trouble_that_stays_is_an_error_after_so_many_attempts(
    sheets_stub: SheetsStub, fault: dict[str, Any], kind: type[SourceError]
) -> None:
    sheets_stub.spoil(sheets_stub.spreadsheet_id, **fault, times=None)
    with sheets_stub.open() as spreadsheet, pytest.raises(kind) as raised:
        spreadsheet.sheets()
    assert raised.value.transient
    assert sheets_stub.fired() == [BRISK.attempts]
    assert spreadsheet.requests.reads == BRISK.attempts


def test_a_refusal_closes_the_breaker(sheets_stub: SheetsStub, app: psycopg.Connection) -> None:
    """It is an answer: the caller after it is not kept waiting for the end of a probe."""

    def gate(name: str, turns: Any) -> Gate:
        return Gate(app, name, turns, breaker=Breaker(failures=1, first_seconds=0.2, probe_seconds=60))

    with sheets_stub.open(gate=gate, limits=replace(BRISK, attempts=1)) as spreadsheet:
        for status, kind in ((500, UnavailableError), (403, RefusedError)):
            sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=status)
            with pytest.raises(kind):
                spreadsheet.sheets()
            assert sheets_stub.fired()[-1] == 1
            sheets_stub.sandbox.clear()
            time.sleep(0.3)
        assert spreadsheet.sheets()


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("after", "at_least", "at_most"),
    [
        (lambda: "1.5", 1.5, 1.6),
        (lambda: _in(2), 0.5, 2.1),
        (lambda: _in(-60), 0.01, 0.1),
        (lambda: "soon", 0.01, 0.1),
        (lambda: "0", 0.01, 0.1),
    ],
    ids=["seconds", "a date", "a date that is over", "neither", "none"],
)
def test_everybody_is_asked_to_rest_as_long_as_google_asks(
    sheets_stub: SheetsStub, after: Callable[[], str], at_least: float, at_most: float
) -> None:
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=429, headers={"Retry-After": after()})
    limits = replace(BRISK, pause_seconds=5)
    with sheets_stub.open(limits=limits) as spreadsheet:
        spreadsheet.sheets()
    assert sheets_stub.fired() == [1]
    ((name, seconds),) = sheets_stub.turns.rests
    assert name == f"google-sheets {sheets_stub.account} reads"
    assert at_least <= seconds <= at_most


def test_the_pauses_of_a_pace_without_a_figure_grow(sheets_stub: SheetsStub) -> None:
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=429, times=3)
    with sheets_stub.open(limits=replace(BRISK, backoff_seconds=0.1)) as spreadsheet:
        spreadsheet.sheets()
    assert sheets_stub.fired() == [3]
    pauses = [seconds for _, seconds in sheets_stub.turns.rests]
    assert all(low <= pause <= low + 0.1 for low, pause in zip([0.1, 0.2, 0.4], pauses, strict=True))


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_longer_than_the_patience_is_an_error_at_once(sheets_stub: SheetsStub, status: int) -> None:
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=status, retry_after=3600, times=None)
    with sheets_stub.open() as spreadsheet, pytest.raises(SourceError, match="asks to wait 3600 s") as raised:
        spreadsheet.sheets()
    assert raised.value.transient
    assert sheets_stub.fired() == [1]
    assert [seconds for _, seconds in sheets_stub.turns.rests] == ([BRISK.pause_seconds] if status == 429 else [])
    # The breaker counts what fails after all attempts, and not what is asked to wait.
    assert len(sheets_stub.turns.failures) == (0 if status == 429 else 1)


def test_nothing_is_sent_while_the_breaker_is_open(sheets_stub: SheetsStub, app: psycopg.Connection) -> None:
    gates = partial(Gate, app, breaker=Breaker(failures=2, first_seconds=60))
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=500, times=None)
    with sheets_stub.open(gate=gates, limits=replace(BRISK, attempts=1)) as spreadsheet:
        for _ in range(2):
            with pytest.raises(SourceError, match="HTTP 500"):
                spreadsheet.sheets()
        arrived = len(sheets_stub.arrived())
        with pytest.raises(UnavailableError, match=r"not called before .*HTTP 500"):
            spreadsheet.sheets()
    assert len(sheets_stub.arrived()) == arrived == 2


def test_a_server_that_is_busy_is_given_the_time_it_asks_for(sheets_stub: SheetsStub) -> None:
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=503, retry_after=0.4)
    began = time.monotonic()
    with sheets_stub.open() as spreadsheet:
        spreadsheet.sheets()
    assert sheets_stub.fired() == [1]
    assert time.monotonic() - began >= 0.4


def test_all_who_share_the_account_rest_when_one_was_told_to(sheets_stub: SheetsStub, app: psycopg.Connection) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    with sheets_stub.open(gate=partial(Gate, app, sleep=sleep)) as spreadsheet:
        title = first_title(spreadsheet)
        assert slept == []
        sheets_stub.spoil("values:batchUpdate", "status", status=429, retry_after=0.5)
        spreadsheet.write([(f"{title}!A1", ROWS)])
        assert sheets_stub.fired() == [1]
        (pause,) = slept
        assert 0.2 < pause <= 0.5
        # Reads have a limit of their own.
        assert spreadsheet.values([f"{title}!A1:B9"]) == [ROWS]
        assert len(slept) == 1
    sheets_stub.sandbox.clear()
    sheets_stub.spoil("values:batchUpdate", "status", status=429, retry_after=3600)
    patient = sheets_stub.open(gate=partial(Gate, app, sleep=sleep), limits=replace(BRISK, pause_seconds=90))
    with patient as spreadsheet, pytest.raises(SourceError, match="3600"):
        spreadsheet.write([(f"{title}!A1", ROWS)])
    stranger: list[float] = []
    Gate(app, f"google-sheets {sheets_stub.account} writes", {60: 60}, sleep=stranger.append).take()
    assert 60 < stranger[0] <= 90


def test_a_login_that_is_no_longer_taken_is_made_anew(sheets_stub: SheetsStub) -> None:
    error = {"error": {"code": 401, "message": "Request had invalid credentials.", "status": "UNAUTHENTICATED"}}
    sheets_stub.spoil(sheets_stub.spreadsheet_id, "status", status=401, body=error)
    with sheets_stub.open() as spreadsheet:
        assert spreadsheet.sheets()
    assert sheets_stub.fired() == [1]


def _google(code: int, message: str, status: str, reason: str = "") -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]
    error = {"code": code, "message": message, "status": status}
    return {"error": error | ({"details": details} if reason else {})}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            403,
            _google(403, "Sheets API has not been used in project 1 before.", "PERMISSION_DENIED", "SERVICE_DISABLED"),
            ConfigurationError,
            ["API is not enabled", "Enable it", "has not been used in project 1"],
        ),
        (401, _google(401, "No.", "UNAUTHENTICATED"), ConfigurationError, ["login of test-", "is not accepted"]),
        (403, "<html>proxy</html>", RefusedError, ["refused (HTTP 403)", "GOOGLE_SHEETS_URL"]),
        (404, "<html>not here</html>", RefusedError, ["refused (HTTP 404)", "GOOGLE_SHEETS_URL"]),
        (413, "", RefusedError, ["too large", "fewer rows"]),
        (
            400,
            _google(400, "Invalid values[0][0]: struct_value {\n string: Anna Nguyen\n}", "INVALID_ARGUMENT"),
            RefusedError,
            ["refused (HTTP 400: Invalid values[0][0]: (cell))"],
        ),
        (
            400,
            _google(400, "Invalid value at 'data[0].values' (TYPE), \"Anna Nguyen\"", "INVALID_ARGUMENT"),
            RefusedError,
            ["Invalid value at 'data[0].values' (TYPE), (cell)"],
        ),
        (
            400,
            _google(400, "Anna Nguyen and Anna are too much for a cell.", "INVALID_ARGUMENT"),
            RefusedError,
            ["(text) and (text) are too much for a cell"],
        ),
    ],
    ids=["disabled", "login", "proxy", "address", "too large", "struct", "value", "quoted"],
)
@pytest.mark.parametrize("call", ["write", "change"])
def test_a_refusal_says_what_to_do_and_nothing_of_the_cells(
    sheets_stub: SheetsStub, *, call: str, status: int, body: Any, kind: type[Exception], words: list[str]
) -> None:
    sheets_stub.spoil(":batchUpdate", "status", status=status, body=body, times=None)
    rows = [["Anna", "Anna Nguyen", "ab"]]
    cells = {"updateCells": {"rows": [{"values": [{"userEnteredValue": {"stringValue": text}} for text in rows[0]]}]}}
    with sheets_stub.open() as spreadsheet, pytest.raises(kind) as raised:
        _ = spreadsheet.write([("A1", rows)]) if call == "write" else spreadsheet.change([cells])
    assert not getattr(raised.value, "transient", False)
    # A login is tried twice, everything else once.
    assert sheets_stub.fired() == [2 if status == 401 else 1]
    _require_fit_to_show(raised.value, words)
    assert "Anna" not in str(raised.value)


def test_a_spreadsheet_that_is_not_shared_says_with_whom_to_share_it(sheets_stub: SheetsStub) -> None:
    strange = sheets_stub.new_spreadsheet("somebody@example.com")
    with sheets_stub.open(strange) as spreadsheet, pytest.raises(ConfigurationError) as raised:
        spreadsheet.sheets()
    _require_fit_to_show(
        raised.value, [f"Share the spreadsheet {strange} with {sheets_stub.account} as an editor", spreadsheet.url]
    )


def test_a_spreadsheet_that_is_not_there_says_which_settings_to_check(sheets_stub: SheetsStub) -> None:
    with sheets_stub.open("gone") as spreadsheet, pytest.raises(ConfigurationError) as raised:
        spreadsheet.change(ADD_REPORT)
    _require_fit_to_show(
        raised.value, ["There is no spreadsheet gone", "google_sheet_id", "GOOGLE_SHEET_ID", "deleted"]
    )


def test_a_tab_that_is_not_there_is_told_in_googles_words(sheets_stub: SheetsStub) -> None:
    with (
        sheets_stub.open() as spreadsheet,
        pytest.raises(SourceError, match="Unable to parse range: Nowhere") as raised,
    ):
        spreadsheet.values(["Nowhere!A1"])
    assert not raised.value.transient


@pytest.mark.parametrize("spreadsheet_id", ["", "a/b", "https://docs.google.com/spreadsheets/d/1aB-c_D/edit#gid=0"])
def test_an_id_that_is_none_is_told_before_anything_is_sent(sheets_stub: SheetsStub, spreadsheet_id: str) -> None:
    opening = open_spreadsheet(sheets_stub.settings(), spreadsheet_id, gate=sheets_stub.turns.gate)
    with pytest.raises(ConfigurationError, match="between /d/ and /edit"), opening:
        pass


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (lambda: {"private_key": a_key()["private_key"]}, ["Invalid JWT Signature", "make a new key"]),
        (lambda: {"client_email": "gone@cdp-sandbox.iam.gserviceaccount.com"}, ["account not found", "gone@cdp-"]),
    ],
    ids=["another key", "an account that was deleted"],
)
def test_a_key_that_google_does_not_take_says_so(
    sheets_stub: SheetsStub, fields: Callable[[], dict[str, str]], words: list[str]
) -> None:
    settings = sheets_stub.settings(**fields())
    with sheets_stub.open(settings=settings) as spreadsheet, pytest.raises(ConfigurationError) as raised:
        spreadsheet.change(ADD_REPORT)
    _require_fit_to_show(raised.value, ["does not let", *words])
    assert sheets_stub.arrived() == []


def test_a_clock_that_is_wrong_is_among_the_advice(sheets_stub: SheetsStub) -> None:
    words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    sheets_stub.spoil("token", "status", status=400, body={"error": "invalid_grant", "error_description": words})
    with sheets_stub.open() as spreadsheet, pytest.raises(ConfigurationError) as raised:
        spreadsheet.sheets()
    assert sheets_stub.fired() == [1]
    _require_fit_to_show(raised.value, ["short-lived token", "set the clock of this machine"])


def test_a_token_server_that_is_away_is_trouble_that_passes(sheets_stub: SheetsStub) -> None:
    settings = sheets_stub.settings(token_uri=f"http://127.0.0.1:{free_port()}/token")
    with sheets_stub.open(settings=settings) as spreadsheet, pytest.raises(SourceError) as raised:
        spreadsheet.change(ADD_REPORT)
    assert raised.value.transient
    assert not isinstance(raised.value, OutcomeUnknownError)
    _require_fit_to_show(raised.value, ["token server does not answer", "token_uri"])


def test_a_token_server_that_fails_is_asked_again(sheets_stub: SheetsStub) -> None:
    sheets_stub.spoil("token", "status", status=503)
    with sheets_stub.open() as spreadsheet:
        assert spreadsheet.sheets()
    assert sheets_stub.fired() == [1]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "body": "<html>Welcome to the wifi</html>"},
        {"status": 200, "body": {"token": "x"}},
        {"status": 200, "body": [1]},
        {"status": 404, "body": "<html>not here</html>"},
        {"status": 405, "body": {"error": True, "code": 405}},
    ],
)
def test_an_address_that_gives_no_tokens_is_told(sheets_stub: SheetsStub, answer: dict[str, Any]) -> None:
    sheets_stub.spoil("token", "status", **answer)
    with sheets_stub.open() as spreadsheet, pytest.raises(ConfigurationError) as raised:
        spreadsheet.sheets()
    assert sheets_stub.fired() == [1]
    _require_fit_to_show(raised.value, ["no token", "token_uri"])


def test_the_address_for_people_is_googles_or_that_of_the_stand_in(sheets_stub: SheetsStub) -> None:
    at_google = GoogleSettings(google_service_account_json=json.dumps(a_key()))
    with open_spreadsheet(at_google, "1aB-c_D", gate=sheets_stub.turns.gate) as spreadsheet:
        assert spreadsheet.url == "https://docs.google.com/spreadsheets/d/1aB-c_D/edit"
        assert spreadsheet.account == a_key()["client_email"]
    with sheets_stub.open(settings=sheets_stub.settings(url=f"{sheets_stub.base}/")) as spreadsheet:
        assert spreadsheet.url == f"{sheets_stub.base}/d/{sheets_stub.spreadsheet_id}/edit"
        assert spreadsheet.sheets()


def test_nobody_is_called_but_the_addresses_that_are_set(
    sheets_stub: SheetsStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """google-auth would ask another of Google's services, in a thread, with the token."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        with sheets_stub.open() as spreadsheet:
            spreadsheet.sheets()
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_an_answer_that_does_not_come_is_not_waited_for_any_longer(sheets_stub: SheetsStub) -> None:
    sheets_stub.spoil(":batchUpdate", "delay", seconds=3)
    with sheets_stub.open(limits=RequestLimits(answer_seconds=0.3)) as spreadsheet:
        spreadsheet.sheets()
        with pytest.raises(OutcomeUnknownError, match="no answer comes in time"):
            spreadsheet.change(ADD_REPORT)
    assert sheets_stub.fired() == [1]


def test_nothing_heavy_is_loaded_before_the_first_spreadsheet() -> None:
    code = "import sys, cdp_platform.resources.sheets; print({'gspread', 'google.auth', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def _require_fit_to_show(error: Exception, words: list[str]) -> None:
    said = str(error)
    assert "\n" not in said
    for word in words:
        assert word in said
    # What the client knows of a request, and so the cells, goes no further.
    assert error.__cause__ is None
    assert error.__context__ is None
