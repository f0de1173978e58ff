"""The engine against answers of a real ArangoDB 3.11.14."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cdp_platform_tests.sandbox.aql.memory import Collections
from cdp_sandbox.arango.aql import execute
from cdp_sandbox.arango.errors import ArangoError

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("CDP_SHARED_DATA", ROOT.parent / "shared" / "data")) / "arangodb-3.11.14" / "aql.jsonl"


@pytest.fixture(scope="module")
def recordings() -> list[dict[str, Any]]:
    if not DATA.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"recordings are missing at {DATA}")
        pytest.skip(f"no recordings at {DATA}")
    return [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


def test_no_recording_is_answered_differently(recordings, capsys):
    answered, refused, different = [], [], []
    for recording in recordings:
        try:
            result = execute(recording["query"], recording["bindVars"], Collections())
        except ArangoError as error:
            refused.append(f"{recording['name']}: {error.message}")
            continue
        same = same_json(list(result.rows), recording["result"])
        (answered if same else different).append(recording["name"])
    with capsys.disabled():
        print(f"\nAQL recordings: {len(answered)} answered, {len(refused)} refused, {len(different)} different")  # noqa: T201
    assert different == []
    assert len(answered) >= 130, refused


def same_json(left: Any, right: Any) -> bool:
    """Like ==, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[name], right[name]) for name in left)
    return left == right
