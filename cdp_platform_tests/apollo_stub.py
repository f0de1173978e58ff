"""Apollo as the sandbox's stand-in answers it, over real sockets; the credits that it counted are the judge."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.apollo import KEY, PATH

BULK_MATCH = "/api/v1/people/bulk_match"
_http = httpx2.Client(timeout=30, trust_env=False)


@dataclass(frozen=True)
class ApolloStub:
    """The stand-in of a sandbox. Numbers with decimals are read as Decimal."""

    sandbox: SandboxProcess

    @property
    def base_url(self) -> str:
        return f"{self.sandbox.url}{PATH}"

    def environment(self) -> dict[str, str]:
        return {"APOLLO_BASE_URL": self.base_url, "APOLLO_API_KEY": KEY}

    def post(
        self, path: str = BULK_MATCH, body: Any = None, *, key: str = KEY, content: bytes | None = None, **query: Any
    ) -> httpx2.Response:
        headers = {"x-api-key": key} if key else {}
        return _http.post(f"{self.base_url}{path}", json=body, content=content, params=query, headers=headers)

    def ask(self, *details: Any, **query: Any) -> dict[str, Any]:
        """Ask `bulk_match` for people and return the answer; a text is an address."""
        people = [{"email": one} if isinstance(one, str) else one for one in details]
        return read(self.post(body={"details": people}, **query).raise_for_status())

    def calls(self) -> list[dict[str, Any]]:
        """All requests for people, the oldest first, refused ones too."""
        return self._control("GET", "_calls")

    def charges(self) -> list[dict[str, Any]]:
        """The cost of each person in each call."""
        return self._control("GET", "_charges")

    def deliveries(self) -> list[dict[str, Any]]:
        """Phone numbers that were or will be posted to webhooks, and how often they were."""
        return self._control("GET", "_deliveries")

    def deliver(self, call: int) -> None:
        """Post the phone numbers of a call now, once more."""
        self._control("POST", f"_deliveries/{call}")

    def result(self, request_id: int | str) -> httpx2.Response:
        """Ask for the phone numbers that a request asked for."""
        url = f"{self.base_url}/api/v1/webhook_result/{request_id}"
        return _http.get(url, headers={"x-api-key": KEY})

    def credits(self) -> Decimal:
        """All credits that were charged."""
        return sum((Decimal(call["credits"]) for call in self.calls()), Decimal(0))

    def set(self, **settings: Any) -> None:
        """Change settings, which `cdp_sandbox.apollo.settings` lists."""
        self._control("PUT", "_settings", settings)

    def spoil(self, action: str, *, contains: str = "", after: int = 0, path: str = BULK_MATCH, **options: Any) -> None:
        """Spoil the next request (`times=3`: the next three, `times=None`: all until `clear`).

        `contains` and `after` choose among them; the rest is said in `cdp_sandbox.faults`.
        """
        match = {"path_regex": f"^{PATH}{path}$", "contains": contains, "after": after}
        self.sandbox.spoil({"match": match, "action": action, **options})

    def fired(self) -> list[int]:
        return self.sandbox.fired()

    def clear(self) -> None:
        """No faults, calls, charges and deliveries any more, open limits, and the settings of a new account."""
        self.sandbox.clear()
        self._control("DELETE", "_settings")
        self._control("DELETE", "_calls")

    def _control(self, method: str, name: str, body: Any = None) -> Any:
        return read(_http.request(method, f"{self.base_url}/{name}", json=body).raise_for_status())


def read(answer: httpx2.Response) -> Any:
    """The JSON of an answer, without losing a digit."""
    return json.loads(answer.text, parse_float=Decimal)


@pytest.fixture
def apollo(sandbox: SandboxProcess) -> Iterator[ApolloStub]:
    """A new account at the sandbox of the session."""
    stub = ApolloStub(sandbox)
    stub.clear()
    yield stub
    stub.clear()
