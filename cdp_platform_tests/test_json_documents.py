"""What is found in a JSON document, and where."""

import pytest

from cdp_platform.catalog import json_values
from cdp_platform.customers import documents
from cdp_platform.json_documents import first_path
from cdp_platform.ops.rejected import RejectedDocumentError

HOSTILE = "\x1b[2J\n\u202e\0\ud800"


def test_a_path_is_fit_to_be_stored_and_printed():
    path = first_path({HOSTILE: {"x" * 1000: ["bad"]}}, lambda value: value == "bad")
    assert path.startswith("$.?[2J????.xxx")
    assert len(path) == 200
    assert path.isprintable()


def test_where_nothing_is_bad_there_is_no_path():
    assert first_path({"a": [1, {"b": None}]}, lambda value: value == "bad") == ""


@pytest.mark.parametrize("canonical", [json_values.canonical, documents.canonical], ids=["catalog", "customers"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_no_room_keeps_a_hostile_path(canonical, value):
    with pytest.raises(RejectedDocumentError) as caught:
        canonical({"\x1b[31m\n" * 100: {"name": value}})
    assert caught.value.path.startswith("$.?[31m??[31m?")
    assert caught.value.path.isprintable()
    assert len(caught.value.path) == 200
