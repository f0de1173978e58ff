"""What a collection makes of its documents by itself: schemas and computed values."""

from typing import Any

import httpx2
import pytest
from arango.exceptions import DocumentInsertError, DocumentUpdateError

from cdp_platform_tests.sandbox_process import Database

RULE = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["n"],
    "additionalProperties": {"type": ["string", "null"]},
}


def _error(answer: httpx2.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["errorNum"]


@pytest.mark.parametrize("document", [{}, {"n": -1}, {"n": 1.5}, {"n": 1, "tags": ["a", 1]}, {"n": 1, "x": 1}])
def test_a_document_that_does_not_fit_the_schema_is_refused_in_its_words(db: Database, document: dict) -> None:
    people = db.create_collection("people", schema={"rule": RULE, "level": "strict", "message": "does not fit"})
    people.insert({"_key": "a", "n": 1, "tags": ["a"], "x": None, "y": "z"})
    with pytest.raises(DocumentInsertError) as error:
        people.insert(document)
    assert (error.value.error_code, error.value.error_message) == (1620, "does not fit")
    assert len(people) == 1


def test_the_level_of_a_schema_says_what_it_is_asked_about(db: Database) -> None:
    people = db.create_collection("people")
    people.insert_many([{"_key": "bad"}, {"_key": "good", "n": 1}])
    for level, refused in (("none", set()), ("new", set()), ("moderate", {"good"}), ("strict", {"good", "bad"})):
        people.configure(schema={"rule": RULE, "level": level, "message": ""})
        for key in ("good", "bad"):
            if key in refused:
                with pytest.raises(DocumentUpdateError):
                    people.update({"_key": key, "n": "x"})
            else:
                people.update({"_key": key, "z": level})
    assert people.properties()["schema"]["level"] == "strict"


def test_a_schema_that_is_not_checked_in_full_is_refused(http: httpx2.Client) -> None:
    for rule, expected in (({"oneOf": []}, (501, 9)), ({"type": "text"}, (400, 1621)), ("x", (400, 1621))):
        assert _error(http.post("/_api/collection", json={"name": "c", "schema": {"rule": rule}})) == expected
    assert http.post("/_api/collection", json={"name": "c", "schema": {}, "computedValues": []}).status_code == 200


def _value(expression: str, **options: Any) -> dict[str, Any]:
    return {"name": "at", "expression": expression, "overwrite": True, **options}


def test_a_computed_value_is_set_whenever_it_is_to_be(db: Database) -> None:
    on_insert = _value("RETURN CONCAT(@doc.n, '!')", computeOn=["insert"])
    people = db.create_collection("people", computedValues=[on_insert])
    people.insert({"_key": "a", "n": 1, "at": "mine"})
    assert people["a"]["at"] == "1!"
    people.update({"_key": "a", "n": 2})
    assert people["a"]["at"] == "1!"
    db.aql.execute("INSERT {_key: 'b', n: 3} INTO people")
    assert people["b"]["at"] == "3!"
    people.configure(computed_values=[_value("RETURN @doc.n", overwrite=False), _value("RETURN 1", name="one")])
    people.replace({"_key": "a", "n": 4})
    people.replace({"_key": "b", "n": 4, "at": 5})
    assert [(people[key]["at"], people[key]["one"]) for key in "ab"] == [(4, 1), (5, 1)]


def test_a_computed_null_can_mean_no_attribute_and_a_warning_no_document(db: Database) -> None:
    people = db.create_collection("people", computedValues=[_value("RETURN @doc.x", keepNull=False)])
    people.insert({"_key": "a", "at": 1})
    assert "at" not in people["a"]
    people.configure(computed_values=[_value("RETURN 1 / @doc.n", failOnWarning=True)])
    with pytest.raises(DocumentInsertError) as error:
        people.insert({"n": 0})
    assert (error.value.error_code, len(people)) == (1562, 1)


@pytest.mark.parametrize(
    "value",
    [
        _value("FOR d IN people RETURN d"),
        _value("RETURN @other"),
        _value("RETURN LENGTH(people)"),
        _value("RETURN"),
        _value("RETURN 1", name="_key"),
        _value("RETURN 1", computeOn=["remove"]),
        {"name": "at", "expression": "RETURN 1"},
    ],
)
def test_a_computed_value_that_makes_no_sense_is_refused(http: httpx2.Client, value: dict[str, Any]) -> None:
    answer = http.post("/_api/collection", json={"name": "people", "computedValues": [value]})
    assert _error(answer) == (400, 10)


def test_rules_survive_a_restart(new_sandbox: Any) -> None:
    process = new_sandbox()
    name = process.new_database().name
    rules = {"schema": {"rule": RULE, "level": "strict", "message": ""}, "computedValues": [_value("RETURN 7")]}
    process.arango(name).create_collection("people", **rules)
    process.end()
    process.start()
    people = process.arango(name).collection("people")
    with pytest.raises(DocumentInsertError):
        people.insert({})
    with pytest.raises(DocumentInsertError):
        people.insert({"n": 1})
    people.configure(computed_values=[])
    assert people.insert({"n": 1})
