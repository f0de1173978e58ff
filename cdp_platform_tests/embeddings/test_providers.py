import base64
import pickle
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from cdp_platform import settings
from cdp_platform.embeddings import choosing, providers
from cdp_platform.embeddings.providers import (
    Provider,
    RefusedTextError,
)
from cdp_platform.embeddings.providers.transformers import load_transformer
from cdp_platform.errors import ConfigurationError, PacedError, UnavailableError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform_tests.openai_stub import OpenAIStub

SMALL = "text-embedding-3-small"
TEXTS = ["coffee beans from Dalat", "cà phê sữa đá", "running shoes, size 42", "a gift card", "a gift card of gold"]
LOCAL = "wordllama-l2-supercat-256"


@pytest.fixture
def remote(openai_stub: OpenAIStub) -> Provider:
    return providers.open_provider("openai", SMALL, openai_stub.settings())


@pytest.fixture
def local() -> Provider:
    return providers.open_provider("local", LOCAL, EmbeddingSettings())


def embed(provider: Provider, texts: list[str]) -> np.ndarray:
    vectors = provider.embed(texts, purpose="document").vectors
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), provider.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    return vectors


@contextmanager
def server(answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> Generator[tuple[str, list[dict[str, Any]]]]:
    """A server whose answers the test writes, for faults that the stand-in lacks; yields its address and requests."""
    requests: list[dict[str, Any]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            requests.append(orjson.loads(self.rfile.read(length)))
            status, body = answer(requests[-1])
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
            self.wfile.write(head.encode() + b"connection: close\r\n\r\n" + content)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{listener.server_address[1]}/v1", requests
        listener.shutdown()
        thread.join()


def at(base_url: str, **options: Any) -> EmbeddingSettings:
    return EmbeddingSettings(embedding_provider="openai", openai_base_url=base_url, **options)


# --- the local model ---


def test_the_local_model_gives_what_wordllama_gives(local: Provider) -> None:
    import wordllama

    texts = [*TEXTS, "word " * 300, "x"]
    reference = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    assert np.allclose(embed(local, texts), reference.embed(texts, norm=True), atol=1e-6)


def test_the_local_model_puts_like_to_like(local: Provider) -> None:
    query = local.embed(["a voucher as a present"], purpose="query").vectors[0]
    nearest = int(np.argmax(embed(local, TEXTS) @ query))
    assert TEXTS[nearest].startswith("a gift card")


def test_the_local_model_counts_its_tokens(local: Provider) -> None:
    counts = [local.embed([text], purpose="document").tokens for text in TEXTS]
    assert all(counts)
    assert local.embed(TEXTS, purpose="document").tokens == sum(counts)


def test_a_text_gets_the_same_local_vector_in_any_batch(local: Provider) -> None:
    alone = np.vstack([embed(local, [text]) for text in TEXTS])
    assert np.array_equal(alone, embed(local, [*TEXTS, "long " * 1000])[:-1])


def test_texts_without_a_local_vector_are_named_and_no_others(local: Provider) -> None:
    with pytest.raises(RefusedTextError) as refused:
        local.embed(["fine", "", "fine too", ""], purpose="document")
    assert refused.value.indexes == (1, 3)
    with pytest.raises(RefusedTextError) as refused:
        local.embed(["fine", "half a pair: \ud83d"], purpose="document")
    assert refused.value.indexes == (1,)


def test_the_local_model_needs_no_network_and_leaves_logging_alone(tmp_path: Path) -> None:
    program = """
        import logging, os, sys

        def forbid(event, arguments):
            if event in {"socket.connect", "socket.getaddrinfo"}:
                print("NETWORK", event, arguments, flush=True)
                os._exit(1)

        os.environ.pop("HF_HUB_OFFLINE", None)
        sys.addaudithook(forbid)
        from cdp_platform.embeddings import choosing, providers
        from cdp_platform.settings import EmbeddingSettings

        provider = providers.open_provider("local", "wordllama-l2-supercat-256", EmbeddingSettings())
        print(provider.embed(["hello"], purpose="query").vectors.shape, logging.getLogger().handlers, flush=True)
        import socket
        socket.create_connection(("127.0.0.1", 9))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # The last line proves that a connection would have been seen.
    assert ran.stdout.splitlines()[0] == "(1, 256) []", ran.stderr
    assert ran.stdout.splitlines()[1].startswith("NETWORK socket.")
    assert list(tmp_path.iterdir()) == []


def test_opening_nothing_loads_nothing_heavy() -> None:
    program = "import sys; from cdp_platform.embeddings import providers; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"openai", "wordllama", "numpy", "dagster"} & set(ran.stdout.split())


# --- OpenAI's protocol ---


def test_remote_vectors_come_in_the_order_of_the_texts_with_the_providers_count(
    remote: Provider, openai_stub: OpenAIStub
) -> None:
    vectors = embed(remote, TEXTS)
    assert openai_stub.requests() == [TEXTS]
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.allclose(embed(remote, [text])[0], vector)
    tokens = sum(-(-len(text.encode()) // 4) for text in TEXTS)
    assert remote.embed(TEXTS, purpose="query").tokens == tokens


def test_a_shuffled_answer_is_put_in_order(remote: Provider, openai_stub: OpenAIStub) -> None:
    expected = embed(remote, TEXTS)
    openai_stub.spoil("distort", how="shuffled")
    assert np.array_equal(embed(remote, TEXTS), expected)
    assert openai_stub.fired() == [1]


def test_no_texts_are_no_request(remote: Provider, openai_stub: OpenAIStub) -> None:
    assert remote.embed([], purpose="document").vectors.shape == (0, 1536)
    assert openai_stub.requests() == []


@pytest.mark.parametrize("how", ["fewer_vectors", "duplicate_index", "no_index"])
@pytest.mark.parametrize("count", [1, 5])
def test_an_answer_that_does_not_say_whose_a_vector_is_is_used_for_none(
    remote: Provider, openai_stub: OpenAIStub, how: str, count: int
) -> None:
    openai_stub.spoil("distort", how=how)
    with pytest.raises(RefusedTextError) as refused:
        remote.embed(TEXTS[:count], purpose="document")
    assert refused.value.indexes == ()
    assert openai_stub.fired() == [1]


@pytest.mark.parametrize("how", ["nan", "zero"])
def test_a_vector_that_is_none_is_refused_and_its_text_named(
    remote: Provider, openai_stub: OpenAIStub, how: str
) -> None:
    openai_stub.spoil("distort", how=how)
    with pytest.raises(RefusedTextError) as refused:
        remote.embed(TEXTS, purpose="document")
    assert refused.value.indexes == (0,)
    assert openai_stub.fired() == [1]


def test_vectors_of_other_dimensions_need_a_person(remote: Provider, openai_stub: OpenAIStub) -> None:
    openai_stub.spoil("distort", how="wrong_dimensions")
    with pytest.raises(ConfigurationError, match=r"1535 dimensions where 1536.*EMBED_MODEL_ID"):
        remote.embed(TEXTS, purpose="document")
    assert openai_stub.fired() == [1]


def test_a_text_that_is_refused_carries_the_providers_words(remote: Provider, openai_stub: OpenAIStub) -> None:
    body = {"error": {"message": f"no: {'x' * 600}", "type": "invalid_request_error", "param": None, "code": None}}
    openai_stub.spoil("status", status=400, body=body, contains="gift card", times=None)
    embed(remote, TEXTS[:3])
    for batch in (TEXTS, TEXTS[3:4]):
        with pytest.raises(RefusedTextError, match="HTTP 400: no: x") as refused:
            remote.embed(batch, purpose="document")
        assert 490 < str(refused.value).count("x") < 510
    assert openai_stub.fired() == [2]
    assert openai_stub.requests() == [TEXTS[:3], TEXTS, TEXTS[3:4]]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_may_be_one_texts_fault(remote: Provider, openai_stub: OpenAIStub, status: int) -> None:
    openai_stub.spoil("status", status=status)
    with pytest.raises(RefusedTextError, match=f"HTTP {status}"):
        remote.embed(TEXTS, purpose="document")
    assert openai_stub.fired() == [1]


def test_limits_of_the_service_are_refusals(openai_stub: OpenAIStub, remote: Provider) -> None:
    with pytest.raises(RefusedTextError, match=r"input\[1\].*8192 tokens"):
        remote.embed(["fine", "long" * 8193], purpose="document")
    with pytest.raises(RefusedTextError, match="maximum length 2048"):
        remote.embed(["x"] * 2049, purpose="document")
    with pytest.raises(RefusedTextError, match="max 300000 tokens"):
        remote.embed(["long" * 8000] * 40, purpose="document")


def test_an_error_does_not_quote_the_texts_that_the_provider_quotes(openai_stub: OpenAIStub) -> None:
    secret = "Nguyễn Văn An lives in Hội An"

    def fastapi(_: dict[str, Any]) -> tuple[int, Any]:
        return 422, {"detail": [{"loc": ["body", "input", 0], "msg": f"{secret}: too long", "input": secret}]}

    with server(fastapi) as (url, _):
        provider = providers.open_provider("openai", SMALL, at(url))
        with pytest.raises(RefusedTextError) as refused:
            provider.embed(["fine", secret], purpose="document")
    assert str(refused.value).endswith("(HTTP 422: (text): too long)")
    # An error that is stored is stored with its cause.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after": "soon"}, 5),
        ({"retry-after": "nan"}, 5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "1h2m3.5s"}, 3600),
        ({"x-ratelimit-reset-tokens": "20"}, 20),
        ({"x-ratelimit-reset-tokens": "a while"}, 5),
        ({}, 5),
    ],
)
def test_a_paced_request_says_when_to_come_back(
    remote: Provider, openai_stub: OpenAIStub, headers: dict[str, str], seconds: float
) -> None:
    openai_stub.spoil("status", status=429, headers=headers)
    with pytest.raises(PacedError) as paced:
        remote.embed(TEXTS, purpose="document")
    assert paced.value.retry_after_seconds == seconds
    assert paced.value.transient
    assert openai_stub.fired() == [1]
    # One request: the caller decides when to try again.
    assert openai_stub.requests() == [TEXTS]
    embed(remote, TEXTS)


def test_a_date_to_come_back_at_is_understood(remote: Provider, openai_stub: OpenAIStub) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    openai_stub.spoil("status", status=429, headers={"retry-after": date})
    with pytest.raises(PacedError) as paced:
        remote.embed(TEXTS, purpose="document")
    assert 80 < paced.value.retry_after_seconds <= 90


def test_a_batch_above_the_limit_per_minute_is_refused_and_not_paced(remote: Provider, openai_stub: OpenAIStub) -> None:
    message = f"Request too large for {SMALL} on tokens per min (TPM): Limit 40000, Requested 50000."
    openai_stub.spoil("status", status=429, body={"error": {"message": message, "code": "rate_limit_exceeded"}})
    with pytest.raises(RefusedTextError, match="Request too large"):
        remote.embed(TEXTS, purpose="document")
    assert openai_stub.fired() == [1]


@pytest.mark.parametrize("field", ["code", "type"])
def test_a_quota_that_is_used_up_needs_a_person_and_no_patience(
    remote: Provider, openai_stub: OpenAIStub, field: str
) -> None:
    error = {"message": "You exceeded your current quota.", field: "insufficient_quota"}
    openai_stub.spoil("status", status=429, retry_after=1, body={"error": error})
    with pytest.raises(ConfigurationError, match="Add credit"):
        remote.embed(TEXTS, purpose="document")
    assert openai_stub.fired() == [1]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 409, 425])
def test_a_service_that_fails_is_no_texts_fault(remote: Provider, openai_stub: OpenAIStub, status: int) -> None:
    openai_stub.spoil("status", status=status, times=2)
    with pytest.raises(UnavailableError, match=f"HTTP {status}") as unavailable:
        remote.embed(TEXTS, purpose="document")
    assert unavailable.value.retry_after_seconds is None
    assert openai_stub.fired() == [1]
    assert openai_stub.requests() == [TEXTS]


def test_a_service_that_fails_may_say_until_when(remote: Provider, openai_stub: OpenAIStub) -> None:
    openai_stub.spoil("status", status=503, retry_after=30)
    with pytest.raises(UnavailableError) as unavailable:
        remote.embed(TEXTS, purpose="document")
    assert unavailable.value.retry_after_seconds == 30
    assert openai_stub.fired() == [1]


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "truncate"])
def test_a_connection_that_breaks_is_no_texts_fault(remote: Provider, openai_stub: OpenAIStub, action: str) -> None:
    openai_stub.spoil(action, times=2)
    with pytest.raises(UnavailableError, match="no answer"):
        remote.embed(TEXTS, purpose="document")
    # The second fault is not used: the client did not try again by itself.
    assert openai_stub.fired() == [1]
    assert openai_stub.requests() == [TEXTS]


def test_a_service_that_hangs_is_left_after_the_timeout(openai_stub: OpenAIStub) -> None:
    provider = providers.open_provider("openai", SMALL, openai_stub.settings(), timeout_seconds=0.3)
    openai_stub.spoil("delay", seconds=20)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="no answer comes in time"):
        provider.embed(TEXTS, purpose="document")
    assert 0.3 <= time.monotonic() - began < 15
    assert openai_stub.fired() == [1]


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = providers.open_provider("openai", SMALL, at(f"http://127.0.0.1:{port}/v1"))
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}.*OPENAI_BASE_URL"):
        provider.embed(TEXTS, purpose="document")


def test_a_wrong_key_needs_a_person_and_is_not_shown(openai_stub: OpenAIStub) -> None:
    provider = providers.open_provider("openai", SMALL, openai_stub.settings(openai_api_key="sk-wrong-and-secret"))
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as unusable:
        provider.embed(TEXTS, purpose="document")
    assert "sk-w" not in str(unusable.value)
    assert "HTTP 401" in str(unusable.value)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (403, {"error": {"message": "Country not supported"}}, "Country not supported"),
        (400, {"error": {"message": "API key not valid", "code": "invalid_api_key"}}, "OPENAI_API_KEY"),
        (402, {"error": "Insufficient balance"}, "Add credit"),
        (405, "<html>no</html>", "OPENAI_BASE_URL"),
    ],
)
def test_what_only_a_person_can_mend_says_so(
    remote: Provider, openai_stub: OpenAIStub, status: int, body: Any, says: str
) -> None:
    openai_stub.spoil("status", status=status, body=body)
    with pytest.raises(ConfigurationError, match=says):
        remote.embed(TEXTS, purpose="document")
    assert openai_stub.fired() == [1]


def test_a_model_or_path_that_the_service_has_not_needs_a_person(openai_stub: OpenAIStub) -> None:
    unknown = providers.open_provider("openai", "text-embedding-9", openai_stub.settings())
    with pytest.raises(ConfigurationError, match=r"text-embedding-9.*does not exist.*EMBED_MODEL_ID"):
        unknown.embed(TEXTS, purpose="document")
    elsewhere = openai_stub.settings(openai_base_url=openai_stub.base_url.removesuffix("/v1"))
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL"):
        providers.open_provider("openai", SMALL, elsewhere).embed(TEXTS, purpose="document")


@pytest.mark.parametrize("body", [b"<html>Please sign in</html>", {"error": "busy"}, []])
def test_an_answer_of_something_else_is_no_texts_fault(body: Any) -> None:
    with server(lambda _: (200, body)) as (url, requests):
        provider = providers.open_provider("openai", SMALL, at(url))
        with pytest.raises(UnavailableError, match="OPENAI_BASE_URL"):
            provider.embed(TEXTS, purpose="document")
        assert len(requests) == 1


@pytest.mark.parametrize(
    "odd", [None, "not base64!", [], [1.0], [1.0, "two"], [[1.0, 2.0], [3.0, 4.0]], base64.b64encode(b"123").decode()]
)
def test_one_odd_vector_is_its_texts_fault_alone(odd: Any) -> None:
    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        data = [{"index": index, "embedding": [3.0, 4.0]} for index in range(len(request["input"]))]
        data[2]["embedding"] = odd
        return 200, {"data": data}

    with server(answer) as (url, _):
        provider = providers.open_provider("openai", "a-small-model", at(url), dimensions=2)
        with pytest.raises(RefusedTextError) as refused:
            provider.embed(TEXTS, purpose="document")
    assert refused.value.indexes == (2,)


def test_a_server_that_answers_numbers_and_no_usage_is_understood() -> None:
    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"data": [{"index": index, "embedding": [3e30, -4e30]} for index in range(len(request["input"]))]}

    with server(answer) as (url, requests):
        provider = providers.open_provider("openai", "a-small-model", at(url))
        assert provider.dimensions == 0
        assert providers.probe(provider) == 2
        embedded = provider.embed(TEXTS, purpose="document")
    assert np.allclose(embedded.vectors, [[0.6, -0.8]] * len(TEXTS))
    assert embedded.tokens == 0
    assert provider.dimensions == 2
    assert all("dimensions" not in request for request in requests)


def test_fewer_dimensions_are_asked_for_only_where_the_model_has_them(openai_stub: OpenAIStub) -> None:
    assert (
        embed(providers.open_provider("openai", SMALL, openai_stub.settings(), dimensions=256), TEXTS).shape[1] == 256
    )
    embed(providers.open_provider("openai", SMALL, openai_stub.settings(), dimensions=1536), TEXTS)
    ada = providers.open_provider("openai", "text-embedding-ada-002", openai_stub.settings(), dimensions=256)
    # The service refuses the parameter itself for this model; its answer of 1536 shows that it was not sent.
    with pytest.raises(ConfigurationError, match="1536 dimensions where 256"):
        ada.embed(TEXTS, purpose="document")


@pytest.mark.parametrize("key", ["", "clé", "two\nlines"])
def test_a_key_that_can_be_none_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        providers.open_provider("openai", SMALL, EmbeddingSettings(embedding_provider="openai", openai_api_key=key))


# --- sentence-transformers ---


def test_without_the_extra_its_name_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'cdp-platform\[sentence-transformers\]'"):
        providers.open_provider("sentence-transformers", "intfloat/multilingual-e5-base", EmbeddingSettings())


@pytest.fixture
def transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of the same name whose vectors say what it was asked: the length of the text, and by which method."""
    program = """
        import numpy

        class SentenceTransformer:
            def __init__(self, name):
                if name == "not/here":
                    raise OSError("We couldn't connect, and couldn't find it in the cached files")

            def encode(self, texts, convert_to_numpy, show_progress_bar, kind=1):
                return numpy.array([[len(text), kind] for text in texts], "f4")

            def encode_query(self, texts, **options):
                return self.encode(texts, kind=2, **options)

            def encode_document(self, texts, **options):
                return self.encode(texts, kind=3, **options)
    """
    (tmp_path / "sentence_transformers.py").write_text(textwrap.dedent(program))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("sentence_transformers", None)
    load_transformer.cache_clear()


@pytest.mark.usefixtures("transformers")
@pytest.mark.parametrize(
    ("model", "purpose", "asked"),
    [
        ("intfloat/multilingual-e5-small", "query", [len("query: coffee"), 1]),
        ("intfloat/multilingual-e5-small", "document", [len("passage: coffee"), 1]),
        ("BAAI/bge-m3", "query", [len("coffee"), 2]),
        ("BAAI/bge-m3", "document", [len("coffee"), 3]),
    ],
)
def test_queries_and_documents_are_told_apart_as_the_model_learnt_it(
    model: str, purpose: providers.Purpose, asked: list[int]
) -> None:
    provider = providers.open_provider("sentence-transformers", model, EmbeddingSettings())
    embedded = provider.embed(["coffee"], purpose=purpose)
    assert np.allclose(embedded.vectors[0], np.array(asked) / np.linalg.norm(asked))
    assert (embedded.tokens, provider.dimensions) == (0, 2)


@pytest.mark.usefixtures("transformers")
def test_a_model_that_is_not_on_this_machine_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    with pytest.raises(ConfigurationError, match=r"not/here is not in /models.*EMBED_MODEL_ID"):
        providers.open_provider("sentence-transformers", "not/here", EmbeddingSettings())


@pytest.mark.usefixtures("transformers")
def test_a_model_of_other_dimensions_than_expected_needs_a_person() -> None:
    provider = providers.open_provider("sentence-transformers", "intfloat/multilingual-e5-base", EmbeddingSettings())
    with pytest.raises(ConfigurationError, match="2 dimensions where 768"):
        provider.embed(["coffee"], purpose="query")


# --- models, settings, errors ---


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("", "", ("local", LOCAL, 256, Decimal(0))),
        ("openai", "", ("openai", SMALL, 1536, Decimal("0.02"))),
        ("openai", "text-embedding-3-large", ("openai", "text-embedding-3-large", 3072, Decimal("0.13"))),
        ("openai", "bge-m3", ("openai", "bge-m3", None, Decimal(0))),
        ("sentence-transformers", "", ("sentence-transformers", "intfloat/multilingual-e5-base", 768, Decimal(0))),
    ],
)
def test_the_environment_chooses_the_model(
    monkeypatch: pytest.MonkeyPatch, provider: str, model: str, expected: tuple[Any, ...]
) -> None:
    monkeypatch.setenv("EMBEDDING_PROVIDER", provider)
    monkeypatch.setenv("EMBED_MODEL_ID", model)
    settings.forget()
    choice = choosing.default_model(settings.embeddings())
    assert (choice.provider, choice.name, choice.dimensions, choice.price_per_million_tokens) == expected
    assert choice.max_characters > 0


def test_a_budget_for_a_model_without_a_known_price_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="EMBED_DAILY_BUDGET"):
        choosing.default_model(at("http://127.0.0.1:9/v1", embed_model_id="bge-m3", embed_daily_budget="1"))


@pytest.mark.parametrize(
    ("provider", "model", "says"), [("local", "gpt", "EMBED_MODEL_ID"), ("cohere", "x", "EMBEDDING_PROVIDER")]
)
def test_a_provider_or_local_model_that_there_is_not_is_said(provider: str, model: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        providers.open_provider(provider, model, EmbeddingSettings())


def test_the_local_model_in_other_dimensions_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="256 dimensions where 1536"):
        providers.open_provider("local", LOCAL, EmbeddingSettings(), dimensions=1536)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMBEDDING_PROVIDER", "cohere"),
        ("EMBED_BATCH_SIZE", "0"),
        ("EMBED_BATCH_SIZE", "2049"),
        ("EMBED_DAILY_BUDGET", "-1"),
        ("EMBED_DAILY_BUDGET", "NaN"),
        ("EMBED_DAILY_BUDGET", "much"),
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    settings.forget()
    with pytest.raises(ConfigurationError, match=variable):
        settings.embeddings()


@pytest.mark.parametrize(
    "error",
    [
        RefusedTextError("no", indexes=(1, 2)),
        PacedError("later", retry_after_seconds=3),
        UnavailableError("away", retry_after_seconds=None),
        UnavailableError("away", retry_after_seconds=9.5),
        ConfigurationError("key"),
    ],
)
def test_errors_travel_between_processes_whole(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is type(error)
    assert (str(back), vars(back)) == (str(error), vars(error))
