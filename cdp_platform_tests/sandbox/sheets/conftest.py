"""Google Sheets as the sandbox's stand-in answers it, through the real gspread over real sockets."""

import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gspread
import httpx2
import orjson
import pytest
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as ServiceAccount
from gspread.exceptions import APIError
from gspread.http_client import HTTPClient

from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.sheets import PATH

WRITES = "https://www.googleapis.com/auth/spreadsheets"
READS = "https://www.googleapis.com/auth/spreadsheets.readonly"


# A service account of google-auth that is asked for its headers looks for regions at a server of Google's, which no
# test may reach: the token alone is taken from it.
@lru_cache(maxsize=256)
def _token(key: bytes, scopes: tuple[str, ...]) -> str:
    account = ServiceAccount.from_service_account_info(orjson.loads(key), scopes=scopes)
    account.refresh(Request())
    return account.token


@dataclass(frozen=True)
class Google:
    """The stand-in of one sandbox, as an account of its own sees it."""

    sandbox: SandboxProcess
    key: dict[str, Any]

    @property
    def base(self) -> str:
        return f"{self.sandbox.url}{PATH}"

    @property
    def email(self) -> str:
        return self.key["client_email"]

    def token(self, *scopes: str) -> str:
        """An access token of this account, as google-auth gets it. It is asked for once."""
        return _token(orjson.dumps(self.key), scopes or (WRITES,))

    def client(self, *scopes: str) -> gspread.Client:
        """gspread with all requests for Google sent to the stand-in."""
        base = self.base

        class Redirected(HTTPClient):
            def request(self, method: str, endpoint: str, *args: Any, **options: Any) -> Any:
                for google in ("https://sheets.googleapis.com", "https://www.googleapis.com"):
                    endpoint = endpoint.replace(google, base)
                return super().request(method, endpoint, *args, **options)

        return gspread.authorize(Credentials(self.token(*scopes)), http_client=Redirected)

    def new(self, *, shared_with: list[str] | str | None = None, title: str = "Test") -> str:
        """Make a spreadsheet and return its id."""
        identity = f"test-{uuid.uuid4().hex}"
        shared = [self.email] if shared_with is None else shared_with
        self.control("PUT", f"_spreadsheets/{identity}", {"title": title, "shared_with": shared})
        return identity

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return httpx2.request(method, f"{self.base}/{path}", json=body, timeout=30).raise_for_status().json()

    def told(self, identity: str) -> dict[str, Any]:
        """What the stand-in says about a spreadsheet to whoever asks."""
        return next(one for one in self.control("GET", "_spreadsheets") if one["id"] == identity)


def google_of(sandbox: SandboxProcess) -> Google:
    answer = httpx2.post(f"{sandbox.url}{PATH}/_accounts", json={"name": f"t{uuid.uuid4().hex[:20]}"}, timeout=30)
    return Google(sandbox, answer.raise_for_status().json())


@pytest.fixture
def google(sandbox: SandboxProcess) -> Google:
    """The stand-in, as an account that this test alone has, so that no other test uses up its quota."""
    return google_of(sandbox)


@pytest.fixture
def book(google: Google) -> gspread.Spreadsheet:
    """An empty spreadsheet of this test."""
    return google.client().open_by_key(google.new())


@pytest.fixture
def sheet(book: gspread.Spreadsheet) -> gspread.Worksheet:
    """Its only sheet: 1000 rows of 26 columns."""
    return book.sheet1


@pytest.fixture
def unlimited(google: Google) -> Iterator[None]:
    """No quotas while the test runs."""
    google.control("PUT", "_quota", {"writes": None, "reads": None})
    yield
    google.control("PUT", "_quota", {"writes": 60, "reads": 60})


@contextmanager
def refused(code: int, says: str) -> Generator[list[dict[str, Any]]]:
    """Something in here is refused, in Google's shape, with this code and with this in its message."""
    errors: list[dict[str, Any]] = []
    with pytest.raises(APIError) as caught:
        yield errors
    error = caught.value.response.json()["error"]
    assert error.keys() - {"details"} == {"code", "message", "status"}
    assert (caught.value.response.status_code, error["code"]) == (code, code)
    assert says in error["message"]
    errors.append(error)


Batch = Callable[..., Any]


@pytest.fixture
def batch(book: gspread.Spreadsheet) -> Batch:
    """Sends requests as one batch and returns the replies."""
    return lambda *requests: book.batch_update({"requests": list(requests)})["replies"]
