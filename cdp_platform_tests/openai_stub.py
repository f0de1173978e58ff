"""OpenAI's embeddings as the sandbox's stand-in answers them, over real sockets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from cdp_platform.settings import EmbeddingSettings
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.openai import KEY, PATH


@dataclass(frozen=True)
class OpenAIStub:
    """The stand-in of the session's sandbox."""

    sandbox: SandboxProcess

    @property
    def base_url(self) -> str:
        return f"{self.sandbox.url}{PATH}/v1"

    def settings(self, **options: Any) -> EmbeddingSettings:
        given: dict[str, Any] = {
            "embedding_provider": "openai",
            "openai_base_url": self.base_url,
            "openai_api_key": KEY,
        }
        return EmbeddingSettings(**given | options)

    def environment(self) -> dict[str, str]:
        return {"EMBEDDING_PROVIDER": "openai", "OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": KEY}

    def spoil(self, action: str, *, contains: str = "", after: int = 0, **options: Any) -> None:
        """Spoil the next request (`times=3`: the next three, `times=None`: all until `clear`).

        `contains` and `after` choose among them; the rest is said in `cdp_sandbox.faults`.
        """
        match = {"path_regex": f"^{PATH}/v1/embeddings$", "contains": contains, "after": after}
        self.sandbox.spoil({"match": match, "action": action, **options})

    def fired(self) -> list[int]:
        return self.sandbox.fired()

    def requests(self) -> list[list[str]]:
        """The texts of every request that came in whole, in order of arrival, spoiled ones too."""
        arrived = httpx2.get(f"{self.sandbox.url}/_sandbox/requests").raise_for_status().json()
        return [one["body"]["input"] for one in arrived if one["body"] is not None]

    def clear(self) -> None:
        """No faults any more, and no requests noted."""
        self.sandbox.clear()
        httpx2.delete(f"{self.sandbox.url}/_sandbox/requests").raise_for_status()


@pytest.fixture
def openai_stub(sandbox: SandboxProcess) -> Iterator[OpenAIStub]:
    stub = OpenAIStub(sandbox)
    stub.clear()
    yield stub
    stub.clear()
