"""Recorded exchanges with a real server: reading them, bringing the stand-in to where they began, comparing.

A recording is a sequence of curl commands and the last answers to them. What a server makes up (keys, revisions,
numbers, times) is replaced by its form before two answers are compared, as is what a JSON parser says of a bad text;
statistics are compared by their names and by what they count of writes and of a full result. Everything else must be
equal: status, error number and text, body, and the headers that a client reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

_CURL = re.compile(
    r"curl(?: -X (?P<method>\w+))?(?P<options>.*?) --dump - 'http://localhost:8529(?P<path>[^']*)'"
    r"(?: <<'EOF'\n(?P<body>.*?)\nEOF)?",
    re.DOTALL,
)
_HEADER = re.compile(r"--header '([^:]+): ([^']*)'")
_COMPARED_HEADERS = (
    *("content-type", "etag", "location", "server", "x-arango-error-codes"),
    *("x-arango-queue-time-seconds", "x-content-type-options"),
)
_MADE_UP = {
    *("_key", "_rev", "_oldRev", "id", "objectId", "globallyUniqueId", "lastValue", "revision", "checksum"),
    *("executionTime", "peakMemoryUsage", "documentsSize", "size"),
}
_COUNTED_STATS = {"writesExecuted", "writesIgnored", "fullCount"}


@dataclass(frozen=True)
class Request:
    """One curl command."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None


@dataclass(frozen=True)
class Answer:
    """What must be equal of an answer."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Recording:
    """One exchange: requests, and the answers to the last of them."""

    name: str
    requests: list[Request]
    answers: list[Answer]


@dataclass
class Stage:
    """Where an exchange is replayed: one database of the stand-in.

    Attributes:
        names: What the recorded server called something, and what the stand-in calls it.
    """

    http: httpx2.Client
    names: dict[str, str] = field(default_factory=dict)

    def collection(self, name: str, documents: Iterable[dict[str, Any]] = (), **properties: Any) -> str:
        answer = self.http.post("/_api/collection", json={"name": name, **properties})
        answer.raise_for_status()
        for document in documents:
            self.http.post(f"/_api/document/{name}", json=document).raise_for_status()
        return answer.json()["id"]

    def revision(self, collection: str, key: str) -> str:
        return self.http.get(f"/_api/document/{collection}/{key}").json()["_rev"]

    def replay(self, recording: Recording) -> list[Answer]:
        return [self._send(request) for request in recording.requests]

    def _send(self, request: Request) -> Answer:
        path = self._translated(request.path).removeprefix("/_db/_system")
        answer = self.http.request(
            request.method,
            path,
            headers={name: self._translated(value) for name, value in request.headers.items()},
            content=None if request.body is None else self._translated(request.body).encode(),
        )
        body = answer.json() if answer.content else None
        if isinstance(body, dict) and body.get("hasMore") and "id" in body:
            # The next requests go to this cursor, whatever number it had.
            self.names.setdefault("cursor", body["id"])
        return _comparable(answer.status_code, answer.headers, body)

    def _translated(self, text: str) -> str:
        for recorded, ours in self.names.items():
            text = (
                re.sub(r"(?<=/_api/cursor/)\d{5}", ours, text) if recorded == "cursor" else text.replace(recorded, ours)
            )
        return text


def read(file: Path, prefixes: tuple[str, ...]) -> list[Recording]:
    """Read the exchanges whose names start with one of the prefixes."""
    rows = map(json.loads, file.read_text().splitlines())
    return [
        Recording(row["name"], list(_requests(row["requests"])), list(_answers(row["last_response"])))
        for row in rows
        if row["name"].startswith(prefixes)
    ]


def _requests(text: str) -> Iterable[Request]:
    for match in _CURL.finditer(text):
        headers = dict(_HEADER.findall(match["options"]))
        yield Request(match["method"] or "GET", match["path"], headers, match["body"])


def _answers(text: str) -> Iterable[Answer]:
    for part in re.split(r"\n+(?=HTTP/1\.1 )", text):
        head, _, body = part.partition("\n\n")
        first, *lines = head.splitlines()
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        yield _comparable(int(first.split()[1]), headers, json.loads(body) if body.strip() else None)


def _comparable(status: int, headers: Any, body: Any) -> Answer:
    compared = {name: headers[name] for name in _COMPARED_HEADERS if name in headers}
    if "etag" in compared:
        compared["etag"] = re.sub(r'^"[-_A-Za-z0-9]+"$', "a revision in quotes", compared["etag"])
    if "location" in compared:
        compared["location"] = _form(re.sub(r"^/_db/[^/]+", "/_db/DB", compared["location"]))
    return Answer(status, compared, _shape(body))


def _shape(value: Any, name: str = "") -> Any:
    if name in _MADE_UP:
        return "" if value in ("", None) else type(value).__name__.replace("float", "int")
    if name == "stats" and isinstance(value, dict):
        return {key: member if key in _COUNTED_STATS else "number" for key, member in value.items()}
    if isinstance(value, dict):
        return {_form(key): _shape(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_shape(member) for member in value]
    return _form(value) if isinstance(value, str) else value


def _form(text: str) -> str:
    """Replace what a server makes up inside of a text. In an unsorted result `hello1` can be any of them."""
    text = re.sub(r"^VPackError error: .*", "VPackError error: (what the parser says)", text)
    text = re.sub(r"\b\d{3,}\b|\bidx_\d+|(?<=hello)\d", "#", text)
    return re.sub(r"(?<=\w/)\d+$", "#", text)


Setup = Callable[[Stage], object]
