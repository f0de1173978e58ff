"""What a real 3.11.14 server answered, and what the stand-in answers."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp_platform_tests.conftest import SUMMARY
from cdp_platform_tests.sandbox.arango.recordings import Recording, Setup, Stage, read
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.processes import free_port

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("CDP_SHARED_DATA", ROOT.parent / "shared" / "data")) / "arangodb-3.11.14" / "http.jsonl"
AREAS = (
    "RestCollection",
    "RestCursor",
    "RestDatabase",
    "RestDocument",
    "RestEdges",
    "RestImport",
    "RestIndex",
    "RestQueryInvalid",
)

# Where the stand-in is known not to agree, and why. Whatever else does not agree is a mistake.
KNOWN = {
    "RestCursorProfileQuery": "SLEEP() is no function here, and a plan has no optimizer rules and expressions",
    "RestIndexCreateNewInverted": "refused: it would change what is found",
}

# The request whose answer is missing among the recorded ones.
UNRECORDED = {"RestDocumentHandlerPatchDocumentMerge": 2}

_EDGES = [
    {"_key": "5", "_from": "vertices/1", "_to": "vertices/3", "$label": "v1 -> v3"},
    {"_key": "6", "_from": "vertices/2", "_to": "vertices/1", "$label": "v2 -> v1"},
    {"_key": "7", "_from": "vertices/4", "_to": "vertices/1", "$label": "v4 -> v1"},
]
_HELLO = [{f"hello{number}": "world1"} for number in range(1, 6)]
_TWO = [{"_key": "1"}, {"_key": "2"}]


def _products(*documents: dict[str, Any], **properties: Any) -> Setup:
    return lambda stage: stage.collection("products", documents, **properties)


def _synced(*documents: dict[str, Any]) -> Setup:
    return _products(*documents, waitForSync=True)


def _numbered(name: str, number: str, **properties: Any) -> Setup:
    def setup(stage: Stage) -> None:
        stage.names[number] = stage.collection(name, **properties)

    return setup


def _known_revision(revisions: dict[str, str], setup: Setup) -> Setup:
    def with_revisions(stage: Stage) -> None:
        setup(stage)
        for recorded, key in revisions.items():
            stage.names[recorded] = stage.revision("products", key)

    return with_revisions


def _indexed(*definitions: dict[str, Any], numbers: tuple[str, ...] = ()) -> Setup:
    def setup(stage: Stage) -> None:
        stage.collection("products")
        for definition, number in zip(definitions, numbers or [""] * len(definitions), strict=True):
            created = stage.http.post("/_api/index?collection=products", json=definition).json()
            if number:
                stage.names[number] = created["id"].removeprefix("products/")

    return setup


def _with_edges(stage: Stage) -> None:
    stage.collection("vertices")
    stage.collection("edges", _EDGES, type=3)


SETUPS: dict[str, Setup] = {
    "RestCollectionDeleteCollectionIdentifier": _numbered("products1", "68221"),
    "RestCollectionDeleteCollectionName": lambda stage: stage.collection("products1"),
    "RestCollectionDeleteCollectionSystem": lambda stage: stage.collection("_example", isSystem=True),
    "RestCollectionGetCollectionCount": _synced(*({"n": number} for number in range(100))),
    "RestCollectionGetCollectionFigures": _products({}),
    "RestCollectionGetCollectionIdentifier": _numbered("products", "67937", waitForSync=True),
    "RestCollectionGetCollectionName": _synced(),
    "RestCollectionIdentifierRename": lambda stage: stage.collection("products1"),
    "RestCursorDeleteIgnore": _products({"_key": "foo"}),
    "RestCursorDeleteQuery": _products({}, {}),
    "RestCursorModifyArray": lambda stage: stage.collection("documents", [{"_key": "test", "arr": [1, 2, 3]}]),
    "RestCursor": _products(*_HELLO),
    "RestDatabase": lambda stage: [stage.http.delete(f"/_api/database/{name}") for name in ("example", "mydb")],
    "RestDatabaseDrop": lambda stage: stage.http.post("/_api/database", json={"name": "example"}),
    "RestDocumentHandlerDeleteDocumentIfMatchOther": _synced({"_key": "68576"}),
    "RestDocumentHandlerDeleteDocumentIdentifierMulti": _synced(*_TWO),
    "RestDocumentHandlerDeleteDocumentKeyMulti": _synced(*_TWO),
    "RestDocumentHandlerDeleteDocumentObjectMulti": _synced(*_TWO),
    "RestDocumentHandlerDeleteDocumentRevConflictMulti": _synced(*_TWO),
    "RestDocumentHandlerDeleteDocumentRevMulti": _known_revision(
        {"_jt3Zdn6---": "1", "_jt3Zdn6--_": "2"}, _synced(*_TWO)
    ),
    "RestDocumentHandlerDeleteDocument": _synced({"_key": "68557"}),
    "RestDocumentHandlerPatchDocumentMerge": _products(
        {"_key": "68544", "inhabitants": {"china": 1366980000, "india": 1263590000, "usa": 319220000}}
    ),
    "RestDocumentHandlerPatchDocument": _products({"_key": "68531", "one": "world"}),
    "RestDocumentHandlerPostCreate1": _synced(),
    "RestDocumentHandlerPostOverwrite": _synced(),
    "RestDocumentHandlerPostUnknownCollection1": lambda stage: None,
    "RestDocumentHandlerReadDocumentHead": _products({"_key": "68444", "hello": "world"}),
    "RestDocumentHandlerReadDocumentIfNoneMatch": _known_revision(
        {"_jt3ZdRG--_": "68428"}, _products({"_key": "68428"})
    ),
    "RestDocumentHandlerReadDocument": _products({"_key": "68419", "hello": "world"}),
    "RestDocumentHandlerReadMultiDocument": _products(
        {"_key": "doc1", "hello": "world"}, {"_key": "doc2", "say": "hi to mom"}
    ),
    "RestDocumentHandlerUpdateDocumentIfMatchOther": _products({"_key": "68519"}),
    "RestDocumentHandlerUpdateDocument": _products({"_key": "68500"}),
    "RestEdges": _with_edges,
    "RestImportCsvEdge": lambda stage: stage.collection("links", type=3),
    "RestImportJsonEdge": lambda stage: stage.collection("links", type=3),
    "RestImportJsonInvalidCollection": lambda stage: None,
    "RestIndexAllIndexes": _indexed(
        {"type": "persistent", "fields": ["name"]}, {"type": "persistent", "fields": ["price"], "sparse": True}
    ),
    "RestIndexDeleteUniquePersistent": _indexed(
        {"type": "persistent", "unique": True, "fields": ["a", "b"]}, numbers=("83948",)
    ),
    "RestIndexCreateNewTtlIndex": lambda stage: stage.collection("sessions"),
    "RestIndexCreateNewZkd": lambda stage: stage.collection("intervals"),
    "Rest": _products(),
}


def _setup_of(name: str) -> Setup:
    """Return the set-up with the longest name that this one starts with."""
    return SETUPS[max((known for known in SETUPS if name.startswith(known)), key=len)]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    if not DATA.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{DATA} is missing")
        pytest.skip(f"no recordings of a real server: {DATA} is absent")
    return read(DATA, AREAS)


@pytest.fixture(scope="module")
def fresh_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("recordings"), free_port())
    process.start()
    yield process
    process.end()


def _disagreement(recording: Recording, sandbox: SandboxProcess) -> str | None:
    of_databases = recording.name.startswith("RestDatabase")
    database = "_system" if of_databases else sandbox.new_database().name
    with sandbox.http() as http:
        http.base_url = f"{sandbox.url}/_db/{database}"
        stage = Stage(http)
        _setup_of(recording.name)(stage)
        ours = stage.replay(recording)
    if not of_databases:
        sandbox.arango().delete_database(database)
    if recording.name in UNRECORDED:
        ours = [answer for number, answer in enumerate(ours, 1) if number != UNRECORDED[recording.name]]
    for theirs, our in zip(recording.answers, ours[-len(recording.answers) :], strict=True):
        for aspect in ("status", "headers", "body"):
            expected, given = getattr(theirs, aspect), getattr(our, aspect)
            if recording.name == "RestCollectionGetAllCollections" and aspect == "body":
                expected, given = (set(listed["result"][0]) for listed in (expected, given))
            if expected != given:
                return f"{aspect}: expected {expected}, got {given}"
    return None


def test_the_stand_in_answers_as_the_real_server_did(
    recordings: list[Recording], fresh_sandbox: SandboxProcess, record_property: Callable[[str, object], None]
) -> None:
    agreeing, all_of_area = Counter[str](), Counter[str]()
    disagreeing: dict[str, str] = {}
    for recording in recordings:
        area = re.match(r"Rest[A-Z][a-z]+", recording.name)
        assert area
        all_of_area[area[0]] += 1
        difference = _disagreement(recording, fresh_sandbox)
        agreeing[area[0]] += difference is None
        if difference is not None:
            disagreeing[recording.name] = difference
    table = [f"{area.removeprefix('Rest'):<12}{agreeing[area]:>4} of {all_of_area[area]:>3}" for area in all_of_area]
    table.append(f"{'all':<12}{agreeing.total():>4} of {all_of_area.total():>3}")
    table += [f"not {name}: {KNOWN.get(name, difference)}" for name, difference in disagreeing.items()]
    record_property(SUMMARY, "\n".join(table))
    assert all_of_area.total() > 100
    # One that agrees by now is no longer known not to.
    assert disagreeing.keys() == KNOWN.keys()
