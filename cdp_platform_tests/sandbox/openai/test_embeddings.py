import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest

from cdp_platform_tests.openai_stub import OpenAIStub
from cdp_sandbox.openai import KEY

SMALL = "text-embedding-3-small"


@pytest.fixture
def http(openai_stub: OpenAIStub) -> Any:
    with httpx2.Client(base_url=openai_stub.base_url, headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        yield client


def ask(http: httpx2.Client, given: Any, **options: Any) -> httpx2.Response:
    return http.post("/embeddings", json={"model": SMALL, "input": given, **options})


def vectors(answer: httpx2.Response) -> np.ndarray:
    return np.array([item["embedding"] for item in answer.raise_for_status().json()["data"]])


def error(answer: httpx2.Response) -> dict[str, Any]:
    body = answer.json()["error"]
    assert body.keys() == {"message", "type", "param", "code"}
    return body


def test_an_answer_has_openais_shape(http: httpx2.Client) -> None:
    answer = ask(http, ["twelve bytes", "x"]).json()
    assert {name: value for name, value in answer.items() if name != "data"} == {
        "object": "list",
        "model": SMALL,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert [(item["object"], item["index"], len(item["embedding"])) for item in answer["data"]] == [
        ("embedding", 0, 1536),
        ("embedding", 1, 1536),
    ]


def test_base64_is_the_same_vector_in_float32(http: httpx2.Client) -> None:
    encoded = ask(http, "coffee beans", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(encoded), "<f4"), vectors(ask(http, "coffee beans"))[0])


def test_vectors_are_of_length_one_and_near_where_words_are_shared(http: httpx2.Client) -> None:
    for options in ({}, {"dimensions": 64}, {"model": "text-embedding-3-large"}):
        coffee, tea, shoes, none = vectors(
            ask(http, ["Vietnamese coffee with milk", "vietnamese TEA with milk", "running shoes", "!!!"], **options)
        )
        assert np.allclose(np.linalg.norm([coffee, tea, shoes, none], axis=1), 1)
        assert coffee @ tea > 0.5 > coffee @ shoes


def test_a_text_has_the_same_vector_in_every_process(http: httpx2.Client) -> None:
    vector = vectors(ask(http, "cà phê", dimensions=8))[0]
    assert vector.round(3).tolist() == [0.616, -0.152, 0.23, 0.526, -0.444, -0.016, 0.242, 0.105]


def test_shorter_vectors_are_the_beginning_of_longer_ones_scaled_to_length_one(http: httpx2.Client) -> None:
    whole = vectors(ask(http, ["cà phê sữa đá", "!!!"]))
    for dimensions in (1, 8, 256, 1536):
        expected = whole[:, :dimensions] / np.linalg.norm(whole[:, :dimensions], axis=1, keepdims=True)
        assert np.allclose(vectors(ask(http, ["cà phê sữa đá", "!!!"], dimensions=dimensions)), expected, atol=1e-6)


def test_fields_that_openai_does_not_know_are_refused(http: httpx2.Client) -> None:
    answer = ask(http, "x", prompt="y")
    assert answer.status_code == 400
    assert error(answer) == {
        "message": "Unrecognized request argument supplied: prompt",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert error(ask(http, "x", a=1, b=2))["message"] == "Unrecognized request arguments supplied: a, b"
    assert ask(http, "x", user="somebody", encoding_format=None, dimensions=None).status_code == 200


def test_models_are_listed_and_described(http: httpx2.Client) -> None:
    listed = http.get("/models").raise_for_status().json()
    assert listed["object"] == "list"
    assert {model["id"] for model in listed["data"]} == {
        "text-embedding-3-small",
        "text-embedding-3-large",
        "text-embedding-ada-002",
    }
    for model in listed["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert http.get(f"/models/{model['id']}").json() == model
    unknown = http.get("/models/gpt-9")
    assert (unknown.status_code, error(unknown)["code"]) == (404, "model_not_found")
    assert http.get("/models", headers={"authorization": "Bearer sk-another-key-of-somebody"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "didn't provide an API key"),
        ({"authorization": "Bearer sk-another-key-of-somebody"}, "Incorrect API key provided: sk-a"),
        ({"authorization": f"Basic {KEY}"}, "didn't provide"),
    ],
)
def test_without_its_key_nothing_is_answered(openai_stub: OpenAIStub, headers: dict[str, str], says: str) -> None:
    answer = httpx2.post(f"{openai_stub.base_url}/embeddings", headers=headers, json={"model": SMALL, "input": "x"})
    assert answer.status_code == 401
    assert says in error(answer)["message"]


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"model": "gpt-9"}, 404, "The model `gpt-9` does not exist"),
        ({"model": ""}, 400, "must provide a model"),
        ({"input": []}, 400, "'$.input' is invalid"),
        ({"input": None}, 400, "'$.input' is invalid"),
        ({"input": ["x", ""]}, 400, "'input[1]': input cannot be an empty string"),
        ({"input": ["x"] * 2049}, 400, "maximum length 2048"),
        ({"input": ["x", "four" * 8193]}, 400, "'input[1]': maximum input length is 8192 tokens"),
        ({"input": ["four" * 8192] * 37}, 400, "max 300000 tokens per request"),
        ({"input": [1, 2]}, 501, "no tokens"),
        ({"dimensions": 1537}, 400, "'dimensions'"),
        ({"model": "text-embedding-ada-002", "dimensions": 8}, 400, "does not support specifying dimensions"),
        ({"encoding_format": "hex"}, 400, "'encoding_format'"),
        ({"encoding_format": ["float"]}, 400, "'encoding_format'"),
        ({"input": [True]}, 400, "'$.input' is invalid"),
        ({"input": ["x", 1]}, 400, "'$.input' is invalid"),
        ({"user": 5}, 400, "'user'"),
    ],
)
def test_what_openai_refuses_is_refused(http: httpx2.Client, asked: dict[str, Any], status: int, says: str) -> None:
    answer = http.post("/embeddings", json={"model": SMALL, "input": "x", **asked})
    assert answer.status_code == status
    assert says in error(answer)["message"]


def test_limits_are_taken_to_the_last(http: httpx2.Client) -> None:
    assert len(vectors(ask(http, ["x"] * 2048, dimensions=4))) == 2048
    assert len(vectors(ask(http, ["four" * 8192], dimensions=4))) == 1


def test_what_is_no_json_or_elsewhere_is_refused(http: httpx2.Client) -> None:
    assert error(http.post("/embeddings", content=b"{")).get("message") == (
        "We could not parse the JSON body of your request."
    )
    elsewhere = http.get("/moderations")
    assert (elsewhere.status_code, error(elsewhere)["code"]) == (404, "unknown_url")


def test_requests_are_noted_in_the_order_of_their_arrival(http: httpx2.Client, openai_stub: OpenAIStub) -> None:
    openai_stub.spoil("status", status=503, after=1)
    openai_stub.spoil("drop_before", after=1)
    for number in range(2):
        ask(http, [f"text {number}", "another"])
    with pytest.raises(httpx2.TransportError):
        ask(http, ["dropped"])
    assert openai_stub.fired() == [1, 1]
    assert openai_stub.requests() == [["text 0", "another"], ["text 1", "another"], ["dropped"]]
    openai_stub.clear()
    assert openai_stub.requests() == []


def test_no_request_of_many_at_once_is_missed(http: httpx2.Client, openai_stub: OpenAIStub) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ask(http, [str(number)]).raise_for_status(), range(100)))
    assert sorted(int(texts[0]) for texts in openai_stub.requests()) == list(range(100))


def test_a_rule_for_a_text_spoils_its_requests_alone(http: httpx2.Client, openai_stub: OpenAIStub) -> None:
    openai_stub.spoil("status", status=400, contains="POISON", times=None)
    asked = [["fine"], ["fine", "POISON pill"], ["fine"], ["POISON"]]
    assert [ask(http, texts).status_code for texts in asked] == [200, 400, 200, 400]
    assert openai_stub.fired() == [2]
    openai_stub.clear()
    assert ask(http, ["POISON"]).status_code == 200


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_each_way_to_distort_an_answer_does_what_it_says(
    http: httpx2.Client, openai_stub: OpenAIStub, encoding: str
) -> None:
    texts = ["one", "two", "three", "four"]

    def data(how: str = "") -> list[tuple[int | None, np.ndarray]]:
        if how:
            openai_stub.spoil("distort", how=how)
        items = ask(http, texts, encoding_format=encoding, dimensions=32).raise_for_status().json()["data"]
        assert not how or openai_stub.fired()[-1] == 1
        return [(item.get("index"), _numbers(item["embedding"])) for item in items]

    right = data()
    assert [index for index, _ in data("fewer_vectors")] == [0, 1, 2]
    assert {len(vector) for _, vector in data("wrong_dimensions")} == {31}
    assert [bool(np.isnan(vector).all()) for _, vector in data("nan")] == [True, False, False, False]
    assert [bool(vector.any()) for _, vector in data("zero")] == [False, True, True, True]
    assert [index for index, _ in data("duplicate_index")] == [0, 1, 2, 0]
    assert [index for index, _ in data("no_index")] == [None] * 4
    shuffled = data("shuffled")
    assert [index for index, _ in shuffled] == [3, 1, 0, 2]
    assert all(np.array_equal(vector, right[index][1]) for index, vector in shuffled if index is not None)


def _numbers(embedding: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(embedding), "<f4") if isinstance(embedding, str) else np.array(embedding)


def test_a_way_to_distort_that_nobody_knows_is_refused(openai_stub: OpenAIStub) -> None:
    with pytest.raises(httpx2.HTTPStatusError):
        openai_stub.spoil("distort", how="upside_down")
    assert openai_stub.fired() == []


def test_a_refusal_on_demand_may_have_any_header(http: httpx2.Client, openai_stub: OpenAIStub) -> None:
    openai_stub.spoil("status", status=429, retry_after=3, headers={"x-ratelimit-reset-tokens": "6m0s"})
    answer = ask(http, "x")
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["x-ratelimit-reset-tokens"] == "6m0s"
    assert openai_stub.fired() == [1]
