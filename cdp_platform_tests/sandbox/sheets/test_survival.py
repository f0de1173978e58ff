"""What was answered is there after the process ended, in whatever way."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gspread
import orjson
import pytest
import requests

from cdp_platform_tests.sandbox.sheets.conftest import google_of
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.processes import free_port
from cdp_sandbox.sheets import KEY_FILE

NewSandbox = Callable[[], SandboxProcess]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_all_that_was_answered_is_there_after_a_restart(new_sandbox: NewSandbox, how: int) -> None:
    sandbox = new_sandbox()
    google = google_of(sandbox)
    client = google.client()
    book = client.open_by_key(google.new(title="Kept"))
    sheet = book.sheet1
    sheet.update([["a", 1.5, True, "=x"], ["gone"], [None, "b"]], "B2")
    sheet.update([["2026-01-02"]], "A9", raw=False)
    sheet.format("A1:B1", {"textFormat": {"bold": True}})
    sheet.insert_note("C3", "a note")
    sheet.merge_cells("D5:E6")
    sheet.define_named_range("A1:B2", "named")
    sheet.hide_rows(3, 4)
    sheet.add_dimension_group_columns(1, 3)
    sheet.set_basic_filter("A1:C3")
    sheet.add_protected_range("A1:A2")
    sheet.batch_clear(["B3"])
    sheet.insert_rows([["first"]], 1)
    other = book.add_worksheet("Other", 5, 5, index=0)
    other.update([["x"]] * 5, "A1")
    other.delete_rows(2, 5)
    book.del_worksheet(book.add_worksheet("Deleted", 2, 2))
    deleted = google.new()
    google.control("DELETE", f"_spreadsheets/{deleted}")
    google.control("PUT", "_quota", {"reads": None})

    def state() -> list[Any]:
        told = google.told(book.id)
        return [book.fetch_sheet_metadata({"includeGridData": "true"}), told, google.control("GET", "_quota")]

    before = state()
    first_key = (Path(sandbox.state_dir) / KEY_FILE).read_bytes()
    assert sandbox.end(how) == (0 if how == signal.SIGTERM else -how)
    sandbox.start()

    # The token of before is taken still.
    assert state() == before
    assert google.control("POST", "_accounts", {"name": google.email.partition("@")[0]}) == google.key
    assert (Path(sandbox.state_dir) / KEY_FILE).read_bytes() == first_key
    assert sheet.append_row(["on"])["updates"]["updatedRows"] == 1
    with pytest.raises(gspread.SpreadsheetNotFound):
        client.open_by_key(deleted)


def test_the_first_key_follows_the_server_to_another_port(new_sandbox: NewSandbox) -> None:
    sandbox = new_sandbox()
    file = Path(sandbox.state_dir) / KEY_FILE
    before = orjson.loads(file.read_bytes())
    sandbox.end()
    sandbox.port = free_port()
    sandbox.start()
    after = orjson.loads(file.read_bytes())
    assert after["token_uri"] == f"{sandbox.url}/sheets/token"
    assert after | {"token_uri": ""} == before | {"token_uri": ""}


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_answered(new_sandbox: NewSandbox) -> None:
    sandbox = new_sandbox()
    google = google_of(sandbox)
    google.control("PUT", "_quota", {"writes": None, "reads": None})
    identity = google.new()
    client = google.client()
    sheet = client.open_by_key(identity).add_worksheet("log", 1, 2)
    answered: list[int] = []
    enough = threading.Event()

    def write() -> None:
        for number in range(100_000):
            try:
                sheet.append_rows([[number, "x" * 500]] * 20)
            except (requests.ConnectionError, gspread.exceptions.APIError):
                return
            answered.append(number)
            if number == 30:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(30)
    os.kill(sandbox.pid, signal.SIGKILL)
    writer.join(30)
    sandbox.end(signal.SIGKILL)
    sandbox.start()

    found = [int(number) for number, _ in google.client().open_by_key(identity).worksheet("log").get_all_values()]
    # The one that was not answered may be there, whole.
    written = len(found) // 20
    assert found == [number for number in range(written) for _ in range(20)]
    assert written in {len(answered), len(answered) + 1}
