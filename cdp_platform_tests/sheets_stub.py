"""Google Sheets as the sandbox's stand-in answers it, over real sockets."""

import json
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from cdp_platform.resources.sheets import OpenGate, RequestLimits, Spreadsheet, open_spreadsheet
from cdp_platform.settings import GoogleSettings
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.sheets import PATH

# Waits that a test can afford, and that are long enough to be told from none.
BRISK = RequestLimits(connect_seconds=2, answer_seconds=20, attempts=4, pause_seconds=2, backoff_seconds=0.01)


@dataclass
class Turns:
    """Gates without waiting that remember what they were asked for."""

    taken: list[tuple[str, Mapping[int, int]]] = field(default_factory=list)
    rests: list[tuple[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def gate(self, name: str, limits: Mapping[int, int]) -> "OneGate":
        return OneGate(self, name, limits)


@dataclass
class OneGate:
    """One gate of `Turns`."""

    turns: Turns
    name: str
    limits: Mapping[int, int]

    def take(self, turns: int = 1, *, wait_seconds: float) -> None:
        assert turns == 1
        assert wait_seconds > 0
        self.turns.taken.append((self.name, self.limits))

    def rest(self, seconds: float, reason: str = "") -> None:
        assert reason
        self.turns.rests.append((self.name, seconds))

    def failed(self, reason: str) -> None:
        assert reason
        self.turns.failures.append(self.name)

    def answered(self) -> None:
        pass


@dataclass
class SheetsStub:
    """The stand-in, with an account and a spreadsheet of this test."""

    sandbox: SandboxProcess
    key: dict[str, Any]
    spreadsheet_id: str
    turns: Turns = field(default_factory=Turns)

    @property
    def base(self) -> str:
        return f"{self.sandbox.url}{PATH}"

    @property
    def account(self) -> str:
        return self.key["client_email"]

    def settings(self, *, url: str = "", **fields: Any) -> GoogleSettings:
        return GoogleSettings(
            google_service_account_json=json.dumps(self.key | fields), google_sheets_url=url or self.base
        )

    @contextmanager
    def open(
        self,
        spreadsheet_id: str = "",
        *,
        gate: OpenGate | None = None,
        limits: RequestLimits = BRISK,
        settings: GoogleSettings | None = None,
    ) -> Generator[Spreadsheet]:
        with open_spreadsheet(
            settings or self.settings(),
            spreadsheet_id or self.spreadsheet_id,
            gate=gate or self.turns.gate,
            limits=limits,
        ) as spreadsheet:
            yield spreadsheet

    def new_spreadsheet(self, *shared_with: str) -> str:
        spreadsheet_id = f"test-{uuid.uuid4().hex}"
        httpx2.put(
            f"{self.base}/_spreadsheets/{spreadsheet_id}", json={"title": "Test", "shared_with": list(shared_with)}
        ).raise_for_status()
        return spreadsheet_id

    def spoil(self, path: str, action: str, **options: Any) -> None:
        """Spoil the next call whose path ends like this (`times=None`: all), of those that pass `after`."""
        match = {"path_regex": f"^{PATH}/.*{path}$", "after": options.pop("after", 0)}
        self.sandbox.spoil({"match": match, "action": action, **options})

    def fired(self) -> list[int]:
        return self.sandbox.fired()

    def arrived(self) -> list[str]:
        """Method and last part of the path of every call of this test's spreadsheet, in order, spoiled ones too."""
        requests = httpx2.get(f"{self.sandbox.url}/_sandbox/requests").raise_for_status().json()
        return [
            f"{one['method']} {one['path'].partition(self.spreadsheet_id)[2]}"
            for one in requests
            if self.spreadsheet_id in one["path"] and "/_spreadsheets/" not in one["path"]
        ]


@pytest.fixture
def sheets_stub(sandbox: SandboxProcess) -> Iterator[SheetsStub]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    answer = httpx2.post(f"{sandbox.url}{PATH}/_accounts", json={"name": name}, timeout=30).raise_for_status()
    stub = SheetsStub(sandbox, answer.json(), "")
    stub.spreadsheet_id = stub.new_spreadsheet(stub.account)
    yield stub
    sandbox.clear()
