"""A document becomes a row, or is rejected with a code and a path. Nothing in between."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.customers import contacts, documents, profiles, transactions
from cdp_platform.customers.batches import Batch
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.ops.tenants import Tenant

TENANT = Tenant("acme", "Acme", "active", "acme", {"phone_region": "VN"})

# ProfileGenderCode of LEO CDP.
GENDERS = {
    0: "female",
    1: "male",
    2: "lgbt",
    3: "lesbian",
    4: "gay",
    5: "bisexual",
    6: "transgender",
    7: "unknown",
}

# Assembled from LEO CDP's classes and schema documentation.
PROFILE: dict[str, Any] = {
    "_key": "5s8YkAqTnVf2mJx0Qe1bRc",
    "_id": "cdp_profile/5s8YkAqTnVf2mJx0Qe1bRc",
    "_rev": "_hZ3n7G6---",
    "type": 2,
    "status": 1,
    "rootProfileId": "",
    "crmRefId": "CRM-10442",
    "identities": ["email:nam@example.com", "phone:+84901234567"],
    "primaryEmail": "Nam@Example.com",
    "secondaryEmails": ["nam.work@example.com", "nowhere"],
    "primaryPhone": "090 123 4567",
    "firstName": "Nam",
    "lastName": "Nguyễn",
    "gender": 1,
    "age": 34,
    "livingCity": "Ho Chi Minh City",
    "jobTitles": ["Investor"],
    "inSegments": [{"id": "2POEJ7", "name": "Happy Customers", "type": "", "indexScore": 9}],
    "inJourneyMaps": [{"id": "id_default_journey", "name": "DEFAULT JOURNEY", "funnelIndex": 4, "leadScore": 12}],
    "eventStatistics": {"id_default_journey-page-view": 120},
    "topEngagedTouchpointIds": ["t1", "gone"],
    "receiveEmail": 1,
    "receiveSMS": 0,
    "extAttributes": {},
    "createdAt": "2025-01-04T02:11:09.120Z",
    "updatedAt": "2025-10-18T06:40:12.004Z",
}

EDGE: dict[str, Any] = {
    "_key": "3kQ",
    "_from": "cdp_profile/5s8Yk",
    "_to": "cdp_productitem/7Lp",
    "eventMetricId": "purchase",
    "eventScore": 100,
    "totalEvent": 0,
    "quantity": 1,
    "transactionId": "ORD-2025-0091",
    "transactionValue": 12990000,
    "currencyCode": "VND",
    "assetGroupIds": ["grp_phone"],
    "segmentIds": [],
    "createdAt": "2025-10-17T09:02:11.000Z",
    "updatedAt": "2025-10-17T09:02:11.000Z",
}


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    return document


def profile_row(**changes: Any) -> dict[str, Any]:
    mapper = ProfileMapper(TENANT, lambda keys: [{"id": key, "name": "Home"} for key in keys if key == "t1"])
    document = {**PROFILE, **changes}
    mapper.prepare(Batch.of([document]))
    row = mapper.row(document, documents.unrevised(document), b"")
    return dict(zip([name for name, _ in profiles.TARGET.columns], row, strict=True))


def edge_row(**changes: Any) -> dict[str, Any]:
    mapper = TransactionMapper(TENANT)
    document = {**EDGE, **changes}
    row = mapper.row(document, documents.unrevised(document), b"")
    return dict(zip([name for name, _ in transactions.TARGET.columns], row, strict=True))


def test_a_profile_as_leo_cdp_writes_it():
    row = profile_row()
    assert row["tenant_id"] == "acme"
    assert row["profile_id"] == PROFILE["_key"]
    assert (row["status"], row["closed_reason"], row["closed_at"]) == ("active", None, None)
    assert (row["primary_email"], row["primary_email_raw"]) == ("nam@example.com", "Nam@Example.com")
    assert (row["primary_phone"], row["primary_phone_raw"]) == ("+84901234567", "090 123 4567")
    assert row["secondary_emails"] == ["nam.work@example.com"]
    assert row["segments"] == [{"id": "2POEJ7", "name": "Happy Customers"}]
    assert row["journey_maps"] == [{"id": "id_default_journey", "name": "DEFAULT JOURNEY", "funnelIndex": 4}]
    assert row["top_engaged_touchpoints"] == [{"id": "t1", "name": "Home"}, {"id": "gone"}]
    assert (row["receive_email"], row["receive_sms"], row["receive_ads"]) == (True, None, None)
    assert row["updated_at"].isoformat() == "2025-10-18T06:40:12.004000+00:00"


@pytest.mark.parametrize(
    ("code", "gender"),
    [*GENDERS.items(), (42, "unknown"), (-1, "unknown"), (None, None)],
)
def test_gender_codes_are_those_of_the_source(code, gender):
    assert profile_row(gender=code)["gender"] == gender


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"status": 1}, "active", None),
        ({"status": 7}, "active", None),
        ({"status": None}, "active", None),
        ({"status": 0}, "suspended", "inactive"),
        ({"status": -1}, "archived", "invalid"),
        ({"status": -4}, "archived", "removed"),
        ({"status": -44}, "archived", "dead"),
        ({"status": -7}, "archived", "invalid"),
        ({"status": -99}, "archived", "invalid"),
        ({"status": 0, "rootProfileId": "another"}, "archived", "merged"),
        ({"status": 1, "rootProfileId": PROFILE["_key"]}, "active", None),
    ],
)
def test_a_profile_that_no_longer_counts_is_closed_with_the_reason(changes, status, reason):
    row = profile_row(**changes)
    assert (row["status"], row["closed_reason"]) == (status, reason)
    assert (row["closed_at"] is None) == (reason is None)


def test_a_touchpoint_that_postgresql_cannot_store_costs_nobody_but_itself():
    mapper = ProfileMapper(TENANT, lambda _keys: [{"id": "t1", "name": "Ho\x00me"}])
    document = {**PROFILE, "topEngagedTouchpointIds": ["t1"]}
    mapper.prepare(Batch.of([document]))
    row = dict(zip([name for name, _ in profiles.TARGET.columns], mapper.row(document, b"{}", b""), strict=True))
    assert row["top_engaged_touchpoints"] == [{"id": "t1"}]


def test_nulls_where_lists_and_objects_belong_are_empty():
    names = ["identities", "secondaryEmails", "inSegments", "eventStatistics", "jobTitles", "topEngagedTouchpointIds"]
    row = profile_row(**dict.fromkeys(names))
    assert row["identities"] == row["segments"] == row["top_engaged_touchpoints"] == []
    assert row["event_statistics"] == {}


def test_a_null_element_of_a_list_says_nothing():
    row = profile_row(
        inSegments=[None, {"id": "2POEJ7", "name": None}],
        identities=[None, "email:nam@example.com", ""],
        jobTitles=[""],
    )
    assert row["segments"] == [{"id": "2POEJ7", "name": None}]
    assert row["identities"] == ["email:nam@example.com"]
    assert row["job_titles"] == []


@pytest.mark.parametrize("empty", [None, ""])
def test_an_object_that_the_source_leaves_empty_is_empty(empty):
    row = profile_row(extAttributes=empty, lastPurchaseEvent=empty)
    assert (row["ext_data"], row["last_purchase_event"]) == ({}, None)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2025-10-18T06:40:12.004Z", datetime(2025, 10, 18, 6, 40, 12, 4000, UTC)),
        ("2025-10-18T13:40:12+07:00", datetime(2025, 10, 18, 6, 40, 12, 0, UTC)),
        ("2025-10-18T06:40:12", datetime(2025, 10, 18, 6, 40, 12, 0, UTC)),
        ("2025-10-18", datetime(2025, 10, 18, tzinfo=UTC)),
        (1760769612004, datetime(2025, 10, 18, 6, 40, 12, 4000, UTC)),
        (1760769612, datetime(2025, 10, 18, 6, 40, 12, 0, UTC)),
        (None, None),
        ("", None),
    ],
)
def test_moments_are_utc_however_they_are_written(value, moment):
    found = profile_row(updatedAt=value)["updated_at"]
    assert found == moment
    assert found is None or found.tzinfo is UTC


def test_a_document_without_a_stamp_is_taken():
    mapper = ProfileMapper(TENANT, lambda _keys: [])
    document = {name: value for name, value in PROFILE.items() if name not in {"updatedAt", "createdAt"}} | {
        "status": 0
    }
    mapper.prepare(Batch.of([document]))
    row = dict(zip([name for name, _ in profiles.TARGET.columns], mapper.row(document, b"{}", b""), strict=True))
    assert (row["updated_at"], row["created_at"]) == (None, None)
    assert row["closed_at"] == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("field", ["Email", "SMS", "WebPush", "AppPush", "Ads"])
@pytest.mark.parametrize(
    ("code", "agreed"),
    [
        (1, True),
        (1.0, True),
        (True, True),
        (-1, False),
        (-4, False),
        (False, False),
        (0, None),
        (2, None),
        (None, None),
    ],
)
def test_consent_is_given_by_one_and_refused_by_less_than_zero_and_zero_says_nothing(field, code, agreed):
    row = profile_row(**{f"receive{field}": code})
    column = {"Email": "email", "SMS": "sms", "WebPush": "web_push", "AppPush": "app_push", "Ads": "ads"}[field]
    assert row[f"receive_{column}"] is agreed


def test_a_profile_that_says_nothing_of_consent_refused_nothing():
    row = profile_row(receiveEmail=None, receiveSMS=None)
    assert {row[name] for name in row if name.startswith("receive_")} == {None}


def test_a_bad_contact_costs_the_contact_and_not_the_customer():
    row = profile_row(primaryEmail="nam(at)example", primaryPhone="12")
    assert (row["primary_email"], row["primary_email_raw"]) == (None, "nam(at)example")
    assert (row["primary_phone"], row["primary_phone_raw"]) == (None, "12")


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"inSegments": {"id": "x"}}, "not_a_list", "$.inSegments"),
        ({"inSegments": ["x"]}, "not_an_object", "$.inSegments[0]"),
        ({"inSegments": [{"name": "x"}]}, "reference_without_id", "$.inSegments[0].id"),
        ({"purchasedItems": [None, 1]}, "not_an_object", "$.purchasedItems[1]"),
        ({"identities": ["x", True]}, "not_a_text", "$.identities[1]"),
        ({"extAttributes": "x"}, "not_an_object", "$.extAttributes"),
        ({"lastPurchaseEvent": []}, "not_an_object", "$.lastPurchaseEvent"),
        ({"eventStatistics": [1]}, "not_an_object", "$.eventStatistics"),
        ({"createdAt": "yesterday"}, "not_a_timestamp", "$.createdAt"),
        ({"createdAt": "2025000000-01-01T00:00:00Z"}, "not_a_timestamp", "$.createdAt"),
        ({"updatedAt": "2025-02-30T00:00:00Z"}, "not_a_timestamp", "$.updatedAt"),
        ({"updatedAt": 2**53}, "not_a_timestamp", "$.updatedAt"),
        ({"createdAt": 0}, "not_a_timestamp", "$.createdAt"),
        ({"createdAt": float("nan")}, "not_a_timestamp", "$.createdAt"),
        ({"createdAt": float("inf")}, "not_a_timestamp", "$.createdAt"),
        ({"createdAt": "1780308000000"}, "not_a_timestamp", "$.createdAt"),
        ({"updatedAt": True}, "not_a_timestamp", "$.updatedAt"),
        ({"age": "34"}, "not_an_integer", "$.age"),
        ({"age": 2**31}, "not_an_integer", "$.age"),
        ({"age": True}, "not_an_integer", "$.age"),
        ({"firstName": {"given": "Nam"}}, "not_a_text", "$.firstName"),
        ({"firstName": "N\x00am"}, "nul_character", "$.firstName"),
        ({"extAttributes": {"deep": ["ok", "\x00"]}}, "nul_character", "$.extAttributes.deep[1]"),
        ({"extAttributes": {"deep": [{"\x00": 1}]}}, "nul_character", "$.extAttributes.deep[0]"),
        ({"lastName": "\ud800"}, "lone_surrogate", "$.lastName"),
        ({"extAttributes": {"deep": ["ok", "\udfff"]}}, "lone_surrogate", "$.extAttributes.deep[1]"),
        ({"extAttributes": {"deep": [{"\ud800": 1}]}}, "lone_surrogate", "$.extAttributes.deep[0]"),
        ({"receiveEmail": "yes"}, "not_an_integer", "$.receiveEmail"),
        ({"rfmScore": float("nan")}, "not_a_number", "$.rfmScore"),
        ({"rfmScore": True}, "not_a_number", "$.rfmScore"),
        ({"extAttributes": {"big": 2**70}}, "number_out_of_range", "$"),
        ({"extAttributes": nested(260)}, "nested_too_deep", "$"),
        ({"extAttributes": nested(900)}, "nested_too_deep", "$"),
    ],
)
def test_a_field_of_another_type_rejects_the_profile_with_code_and_path(changes, code, path):
    with pytest.raises(RejectedDocumentError) as caught:
        profile_row(**changes)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_text_that_spells_a_nul_escape_is_no_nul():
    assert profile_row(firstName="\\u0000")["first_name"] == "\\u0000"


def test_an_edge_as_leo_cdp_writes_it():
    row = edge_row()
    assert (row["line_id"], row["order_id"], row["profile_id"]) == ("3kQ", "ORD-2025-0091", "5s8Yk")
    assert (row["product_id"], row["event_name"]) == ("7Lp", "purchase")
    assert (row["amount"], row["currency"], row["quantity"]) == (Decimal(12990000), "VND", Decimal(1))


def test_counters_are_longs():
    assert edge_row(totalEvent=2**40)["total_event"] == 2**40


def test_what_the_source_leaves_empty_is_null_and_never_guessed():
    row = edge_row(transactionId="", currencyCode=None, transactionValue=None, createdAt=None, _to=None)
    assert [row[name] for name in ("order_id", "currency", "amount", "occurred_at", "product_id")] == [None] * 5


def test_the_code_for_no_currency_and_a_currency_of_old_are_taken():
    assert edge_row(currencyCode="XXX")["currency"] is None
    assert edge_row(currencyCode=" hrk ")["currency"] == "HRK"


@pytest.mark.parametrize(
    ("value", "amount"), [(29.33, "29.33"), (0.1, "0.1"), (1e15, "1000000000000000.0"), ("12.50", "12.50"), (-3, "-3")]
)
def test_amounts_are_exact(value, amount):
    assert edge_row(transactionValue=value)["amount"] == Decimal(amount)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"transactionValue": "n/a"}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": "1.299.000"}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": "NaN"}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": "Infinity"}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": "1e400"}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": json.loads("1e400")}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": float("nan")}, "not_an_amount", "$.transactionValue"),
        ({"transactionValue": True}, "not_an_amount", "$.transactionValue"),
        ({"currencyCode": "dollars"}, "not_a_currency", "$.currencyCode"),
        ({"currencyCode": "RMB"}, "not_a_currency", "$.currencyCode"),
        ({"currencyCode": "ZZZ"}, "not_a_currency", "$.currencyCode"),
        ({"currencyCode": "XTS"}, "not_a_currency", "$.currencyCode"),
        ({"_from": ""}, "not_a_vertex", "$._from"),
        ({"_from": "cdp_segment/1"}, "not_a_vertex", "$._from"),
        ({"_to": "7Lp"}, "not_a_vertex", "$._to"),
    ],
)
def test_a_broken_edge_is_rejected_with_code_and_path(changes, code, path):
    with pytest.raises(RejectedDocumentError) as caught:
        edge_row(**changes)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_rejection_never_repeats_the_value():
    with pytest.raises(RejectedDocumentError) as caught:
        profile_row(livingCity={"given": "Hải Phòng"})
    assert "Phòng" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Nam@Example.COM ", "nam@example.com"),
        ("nam.nguyen+shop@example.com", "nam.nguyen+shop@example.com"),
        ("nam@exämple.de", "nam@exämple.de"),
        ("nam@localhost", None),
        (".nam@example.com", None),
        ("nam..n@example.com", None),
        ('"nam n"@example.com', None),
        ("nam@ex_ample.com", None),
        ("nam@@example.com", None),
        ("@example.com", None),
        ("a" * 65 + "@example.com", None),
        ("", None),
        (None, None),
    ],
)
def test_emails_have_one_normal_form(raw, normal):
    assert contacts.email(raw) == normal


@given(
    st.from_regex(r"[a-zA-Z0-9._+-]{1,70}@(example\.com|ex_ample\.org|localhost|b\u00fccher\.example)", fullmatch=True)
)
def test_the_short_cut_for_plain_addresses_agrees_with_the_validator(raw):
    try:
        expected = validate_email(raw.lower(), check_deliverability=False, strict=True).normalized.lower()
    except EmailNotValidError:
        expected = None
    assert contacts.email(raw) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([name for name in PROFILE if not name.startswith("_")]), json_values)
def test_any_value_in_any_field_gives_a_row_or_a_rejection(name, value):
    rejection = None
    try:
        profile_row(**{name: value})
    except RejectedDocumentError as error:
        rejection = error
    assert rejection is None or (rejection.code and rejection.path.startswith("$"))


@given(st.dictionaries(st.text(), json_values, max_size=5), st.randoms())
def test_the_canonical_document_knows_content_and_not_order_or_revision(content, random):
    shuffled = list(content.items())
    random.shuffle(shuffled)
    try:
        first = documents.unrevised({**content, "_rev": "1"})
    except RejectedDocumentError:
        return
    assert documents.unrevised({"_rev": "2", **dict(shuffled)}) == first
    assert documents.unrevised({**content, "added": 1, "added2": 2}) != first
    assert isinstance(json.loads(first), dict)


@pytest.mark.parametrize(
    "mapper_of", [lambda: ProfileMapper(TENANT, lambda _keys: []), lambda: TransactionMapper(TENANT)]
)
def test_the_hash_changes_with_the_version_of_the_mapping(
    mapper_of: Callable[[], ProfileMapper | TransactionMapper], monkeypatch: pytest.MonkeyPatch
):
    def digest() -> bytes:
        batch, mapper = Batch.of([PROFILE]), mapper_of()
        mapper.prepare(batch)
        return mapper.fingerprint(b"{}", batch.heads[0])

    first = digest()
    assert digest() == first
    monkeypatch.setattr(profiles, "VERSION", profiles.VERSION + 1)
    monkeypatch.setattr(TransactionMapper, "version", TransactionMapper.version + 1)
    assert digest() != first


def test_an_address_that_is_too_long_is_not_usable():
    assert contacts.email("a@" + "b." * 124 + "de") is not None
    assert contacts.email("a@" + "b." * 126 + "de") is None
