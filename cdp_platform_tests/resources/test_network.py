"""The reason of a failed connection reaches the person, whichever client it was."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import httpx2
import pytest
import requests

from cdp_platform.embeddings.providers import open_provider
from cdp_platform.errors import SourceError, UnavailableError
from cdp_platform.resources.arango import open_database
from cdp_platform.resources.network import reason
from cdp_platform.settings import ArangoSettings, EmbeddingSettings
from cdp_platform_tests import silence

PATIENCE = 1.5


def by_arango(address: str) -> str:
    with (
        pytest.raises(SourceError) as caught,
        open_database(ArangoSettings(host=address), "_system", timeout_seconds=PATIENCE) as database,
    ):
        database.version()
    return str(caught.value)


def by_embeddings(address: str) -> str:
    settings = EmbeddingSettings(openai_base_url=f"{address}/v1")
    provider = open_provider("openai", "text-embedding-3-small", settings, timeout_seconds=PATIENCE)
    with pytest.raises(UnavailableError) as caught:
        provider.embed(["word"], purpose="query")
    return str(caught.value)


def by_httpx2(address: str) -> str:
    with pytest.raises(httpx2.HTTPError) as caught:
        httpx2.get(address, timeout=PATIENCE)
    return reason(caught.value)


def by_requests(address: str) -> str:
    with pytest.raises(requests.RequestException) as caught:
        requests.get(address, timeout=PATIENCE)
    return reason(caught.value)


CLIENTS = {"arango": by_arango, "embeddings": by_embeddings, "httpx2": by_httpx2}

Fault = tuple[Callable[[], AbstractContextManager[int]], str, str | tuple[str, str]]

# How the server is absent, the address with {} for its port, and the words that a person needs.
FAULTS: dict[str, Fault] = {
    "nothing listens": (silence.closed_port, "http://127.0.0.1:{}", "nothing listens there (connection refused)"),
    "packets are dropped": (silence.full_backlog, "http://127.0.0.1:{}", "no answer to the attempt to connect"),
    "it is mute": (silence.mute, "http://127.0.0.1:{}", "the connection is accepted, but no answer comes in time"),
    "it resets": (
        partial(silence.answering, silence.reset),
        "http://127.0.0.1:{}",
        # Which of them depends on whether the request had gone out whole.
        ("the connection was broken off", "the connection was closed without an answer"),
    ),
    "it speaks no TLS": (
        partial(silence.answering, silence.not_http),
        "https://127.0.0.1:{}",
        "it does not speak TLS: is it http:// and not https://?",
    ),
    "no such host": (silence.closed_port, "http://no-such-host.invalid:{}", "the name of the host is not known (DNS)"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_fault_of_the_network_is_told_in_words(client: str, fault: str):
    absent, address, words = FAULTS[fault]
    with absent() as port:
        began = time.monotonic()
        said = CLIENTS[client](address.format(port))
        assert any(each in said for each in ([words] if isinstance(words, str) else words)), said
        assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:8529", "begins with neither http:// nor https://"),
        ("ftp://127.0.0.1:8529", "begins with neither http:// nor https://"),
        ("tcp://127.0.0.1:8529", "begins with neither http:// nor https://"),
        ("http://", "the address is not usable"),
        ("http://[::1", "the address is not usable"),
    ],
)
def test_an_address_that_cannot_be_is_told_in_words(address: str, words: str):
    assert words in by_requests(address)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (silence.not_http, ("the answer is not HTTP", "the connection was broken off")),
        (silence.close_at_once, ("the connection was closed without an answer", "the connection was broken off")),
    ],
)
def test_a_server_that_speaks_something_else_is_told_in_words(answer: silence.Answer, words: tuple[str, ...]):
    with silence.answering(answer) as port:
        said = by_arango(f"http://127.0.0.1:{port}")
    assert any(each in said for each in words), said


def test_an_error_that_nobody_foresaw_is_told_by_its_kind():
    class OddError(Exception):
        pass

    assert reason(OddError("a secret")) == "OddError"
