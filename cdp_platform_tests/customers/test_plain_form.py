"""The columns of documents in the plain form are those of the mapper, for every document that is taken."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.customers import documents, profile_form, transactions
from cdp_platform.customers.batches import Batch
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.resources.arango import parsed
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.customers.test_mapping import EDGE, PROFILE, TENANT
from cdp_platform_tests.leo import Leo

ROOT = Path(__file__).parents[2]
RECORDED = Path(os.environ.get("CDP_SHARED_DATA", ROOT.parent / "shared" / "data")) / "arangodb-3.11.14" / "aql.jsonl"


def profile_mapper() -> Mapper:
    return ProfileMapper(TENANT, lambda keys: [{"id": key, "name": "Home"} for key in keys if key == "t1"])


def as_doubles(text: bytes) -> Any:
    """JSON with its numbers as the mapper reads them: `document` has every digit, also of those beyond 64 bits."""
    return json.loads(text, parse_int=orjson.loads, parse_float=finite)


def finite(digits: str) -> float | None:
    return number if math.isfinite(number := float(digits)) else None


def both(make: Callable[[], Mapper], source: bytes) -> tuple[Any, Any] | None:
    """The row of a document by columns and by the mapper, both with their remarks; None if columns leave it out."""
    fast, slow = make(), make()
    batch = Batch([source])
    fast.prepare(batch)
    slow.prepare(batch)
    try:
        content = documents.cut(source)
    except RejectedDocumentError:
        # It is not in the plain form, since its revision is not where ArangoDB writes it.
        return None
    places, columns = fast.columns(batch.sources, [content], [b"hash"])
    if not places:
        return None
    document = parsed(source)
    row = load.encoded(slow.target, slow.row(document, documents.unrevised(document), b"hash"))
    names = [name for name, _ in slow.target.columns]
    jsonb = {name for name, kind in slow.target.columns if kind == "jsonb"}

    def shown(name: str, value: Any) -> Any:
        return as_doubles(value[1:]) if name in jsonb and value is not None else value

    return (
        ({name: shown(name, columns[name][0]) for name in names}, +fast.remarks),
        ({name: shown(name, value) for name, value in zip(names, row, strict=True)}, +slow.remarks),
    )


def source_of(document: dict[str, Any], **texts: str) -> bytes:
    """JSON of a document, and more attributes whose values are written as JSON already."""
    whole = {"_key": document["_key"], "_id": "c/1", "_rev": "_h1", **document}
    more = "".join(f",{json.dumps(name)}:{text}" for name, text in texts.items())
    return (json.dumps(whole, ensure_ascii=False, separators=(",", ":"))[:-1] + more + "}").encode(
        errors="surrogatepass"
    )


NUMBERS = """0 -0 -0.0 1.0 1e2 1E+2 1.5 0.1 1e-7 1e22 123456789012345678 2147483647 2147483648 -2147483648 -2147483649
    9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775809 1e400 -1e400
    1e-400 5e-324 1.7976931348623157e308 0.30000000000000004 1760769612 1760769612004 1e9""".split()
TEXTS = [
    '""', '" "', '"a"', '"1"', '"12.50"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u00e9"', '"\\n"',
    '"\\\\u0000"', '"\\/"', '"Nam@Example.com"', '"nam(at)example"', '"090 123 4567"', '"vnd"', '"VND"', '"XXX"',
    '"cdp_profile/p1"', '"cdp_segment/1"', '"/x"', '"2025-10-18T06:40:12.004Z"', '"2025-10-18T06:40:12.1234567Z"',
    '"2025-10-18"',
    '"2025-02-30T00:00:00Z"', '"2025-10-18T13:40:12+07:00"', '"0001-01-01T00:00:00+07:00"', '"yesterday"',
]  # fmt: skip
OTHERS = [
    "null", "true", "false", "[]", "{}", '[""]', "[null]", '["a","b"]', '["a",1]', '["t1","gone"]', '[{"id":"s"}]',
    '[{"id":"s","name":"N","x":1}]', '[{"id":""}]', '[{"id":7,"name":"N"}]', '[{"id":"s","name":5,"funnelIndex":2.0}]',
    '[{"id":"s","funnelIndex":4}]', '{"a":1,"a":2}', '{"a":1e400}', '{"a":18446744073709551616}',
    '{"a":{"b":[1.0,-0.0]}}', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300,
    '["nam.work@example.com","nowhere"]', '["090 123 4567"]',
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(NUMBERS + TEXTS + OTHERS),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text().map(lambda text: json.dumps(text, ensure_ascii=False)).filter(lambda text: text.isprintable()),
    st.lists(st.text(max_size=3), max_size=3).map(json.dumps),
)
FORMS: dict[str, tuple[Callable[[], Mapper], dict[str, Any], list[str]]] = {
    "profile": (profile_mapper, PROFILE, profile_form.form().attributes),
    "conversion": (lambda: TransactionMapper(TENANT), EDGE, transactions.form("cdp_profile").attributes),
}


@pytest.mark.parametrize("kind", FORMS)
def test_every_value_in_every_attribute_gives_what_the_mapper_gives(kind):
    make, document, attributes = FORMS[kind]
    taken = 0
    for name in [*attributes, "anything"]:
        for value in NUMBERS + TEXTS + OTHERS:
            # Most attributes are there already, and of two the last one counts.
            if (rows := both(make, source_of(document, **{name: value}))) is not None:
                taken += 1
                assert rows[0] == rows[1], (name, value)
    assert taken > len(attributes) * 10


@pytest.mark.parametrize("kind", FORMS)
def test_every_value_that_a_real_server_answered_gives_what_the_mapper_gives(kind):
    if not RECORDED.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"recordings are missing at {RECORDED}")
        pytest.skip(f"no recordings at {RECORDED}")
    make, document, attributes = FORMS[kind]
    answers = [json.loads(line)["result"] for line in RECORDED.read_text().splitlines()]
    values = {json.dumps(value, ensure_ascii=False) for answer in answers for value in answer}
    assert len(values) > 100
    taken = 0
    for name in attributes:
        for value in values:
            if (rows := both(make, source_of(document, **{name: value}))) is not None:
                taken += 1
                assert rows[0] == rows[1], (name, value)
    assert taken > len(attributes) * 10


@pytest.mark.parametrize("kind", FORMS)
@given(data=st.data())
def test_any_values_together_give_what_the_mapper_gives(kind, data):
    make, document, attributes = FORMS[kind]
    named = data.draw(st.dictionaries(st.sampled_from([*attributes, "anything", "_rev"]), VALUES, max_size=4))
    if (rows := both(make, source_of(document, **named))) is not None:
        assert rows[0] == rows[1]


def test_a_batch_takes_the_documents_in_the_plain_form_and_leaves_the_others():
    mapper = TransactionMapper(TENANT)
    others = [
        {"transactionValue": "12.50"},
        {"_from": "cdp_segment/1"},
        {"createdAt": "yesterday"},
        {"currencyCode": "?"},
    ]
    sources = [source_of({**EDGE, **changes}) for changes in ({}, *others, {"quantity": 2})]
    places, columns = mapper.columns(sources, sources, sources)
    assert places == [0, 5]
    assert columns["quantity"] == [1, 2]
    assert columns["document_hash"] == [sources[0], sources[5]]


def test_a_document_without_its_revision_is_the_same_bytes_whatever_the_revision():
    first, second = (documents.cut(source_of({**PROFILE, "_rev": revision})) for revision in ("_h1", "_h2"))
    assert first == second
    assert json.loads(first) == {
        name: value for name, value in json.loads(source_of(PROFILE)).items() if name != "_rev"
    }


@pytest.mark.parametrize(
    "source",
    [
        b'{"_rev":"_h1","_key":"k","a":1}',
        b'{"_key":"k","a":{"_rev":"inner"},"_rev":"_h1"}',
        b'{"_key":"k","a":{"_rev":"inner"}}',
        b'{"_key":"k", "_rev" : "_h1", "a":1}',
        b'{"_key":"k","_rev":"a\\"b","a":1}',
        b'{"_key":"k","_rev":"_h1","a":1,"_rev":"_h2"}',
        b'{"_key":"k","a":"\\",\\"_rev\\":\\"x","_rev":"_h1"}',
        b'{"_key":"k","_rev":7,"a":1}',
        b'{"_key":"k","a":1}',
    ],
)
def test_only_the_revision_of_the_document_is_cut_wherever_it_is(source):
    document = json.loads(source)
    document.pop("_rev", None)
    assert json.loads(documents.cut(source)) == document


def test_a_value_is_never_taken_for_the_revision():
    assert documents.cut(b'{"_key":"k","a":{"_rev":"1"}}') != documents.cut(b'{"_key":"k","a":{"_rev":"2"}}')
    assert documents.cut(b'{"_key":"k","_rev":"1","a":1}') != documents.cut(b'{"_key":"k","_rev":"1","a":2}')


def test_a_column_without_values_is_not_sent_and_becomes_what_the_mapper_writes(leo: Leo):
    full = {name: value for name, value in PROFILE.items() if name not in {"_key", "_id", "_rev", "updatedAt"}}
    leo.profile("p1", day=1, **full)
    leo.profile("p2", day=1)
    leo.sync()
    leo.profile("p1", day=2)
    assert leo.sync().changed == 1
    (first, second) = leo.rows(
        "SELECT to_jsonb(p) - '{profile_id,document,document_hash,revision,updated_at,synced_at}'::text[]"
        " FROM customers.cdp_profiles AS p"
    )
    assert first == second


@pytest.mark.parametrize("kind", ["profiles", "transactions"])
@pytest.mark.parametrize("fault", ["in Python", "in PostgreSQL"])
def test_a_batch_whose_columns_fail_is_mapped_by_the_mapper_and_loses_nothing(
    leo: Leo, monkeypatch, caplog, kind, fault
):
    mapper = {"profiles": ProfileMapper, "transactions": TransactionMapper}[kind]
    table = {"profiles": "cdp_profiles", "transactions": "transactions"}[kind]
    columns = mapper.columns

    def fails(self: Any, *given: Any) -> Any:
        if fault == "in Python":
            raise ValueError("planted")
        places, made = columns(self, *given)
        made["document"][-1] = b"\x01no JSON"
        return places, made

    for key in ("p1", "p2", "p3"):
        leo.profile(key, primaryEmail="nowhere", dataLabels=["VIP"])
        leo.purchase(key, key)
    expected = leo.sync(kind)
    shown = f"SELECT to_jsonb(t) - 'synced_at' - 'document_hash' FROM customers.{table} AS t ORDER BY 1"
    rows = leo.rows(shown)
    assert not caplog.records
    with tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute(f"DELETE FROM customers.{table}")
    monkeypatch.setattr(mapper, "columns", fails)
    result = leo.sync(kind, full=True)
    assert ["is mapped document by document" in record.message for record in caplog.records] == [True]
    assert (result.new, result.remarks) == (expected.new, expected.remarks) == (3, expected.remarks)
    assert leo.rows(shown) == rows
