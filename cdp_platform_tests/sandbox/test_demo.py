"""The demo tenants: what is generated, purely, and that it arrives in ArangoDB, over the wire."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import phonenumbers
import pytest
from arango.client import ArangoClient
from arango.database import StandardDatabase
from email_validator import EmailNotValidError, validate_email

from cdp_sandbox.demo import cdnow, retail
from cdp_sandbox.demo.fill import fill, touch
from cdp_sandbox.demo.model import (
    CDNOW,
    CONVERSIONS,
    HARBOUR,
    PRODUCTS,
    PROFILES,
    REFERENCE,
    SAIGON,
    SEGMENTS,
    TENANTS,
    TOUCHPOINTS,
    Collections,
    DemoTenant,
    Document,
    stamp,
)
from cdp_sandbox.processes import HOST, SandboxError, free_port
from cdp_sandbox.services import ServicesProcess

RETAIL = (SAIGON, HARBOUR)


@pytest.fixture(scope="module", params=RETAIL, ids=lambda tenant: tenant.id)
def tenant(request: pytest.FixtureRequest) -> DemoTenant:
    return request.param


@pytest.fixture(scope="module")
def made(tenant: DemoTenant) -> Collections:
    return retail.collections(tenant, "default")


@pytest.fixture(scope="module")
def broken(tenant: DemoTenant) -> dict[str, list[str]]:
    return retail.broken_documents(tenant, "default")


def whole(made: Collections, collection: str, broken: dict[str, list[str]]) -> list[Document]:
    wrong = {document for documents in broken.values() for document in documents}
    return [document for document in made[collection] if f"{collection}/{document['_key']}" not in wrong]


# --- the invented tenants ---------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tenant: DemoTenant):
    code = (
        "import hashlib, json, sys; from cdp_sandbox.demo import model, retail;"
        "tenant = next(t for t in model.TENANTS if t.id == sys.argv[1]);"
        "print(hashlib.sha256(json.dumps(retail.collections(tenant, 'small')).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, tenant.id],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_customer_is_the_same_at_every_scale(tenant: DemoTenant, made: Collections):
    small = retail.collections(tenant, "small")
    for name in (PROFILES, PRODUCTS, TOUCHPOINTS):
        assert small[name] == made[name][: len(small[name])]


def test_there_is_as_much_as_was_promised(made: Collections):
    assert len(made[PROFILES]) == 3_000
    assert 5_000 <= len(made[CONVERSIONS]) <= 6_000


def test_no_key_occurs_twice(made: Collections):
    for documents in made.values():
        keys = [document["_key"] for document in documents]
        assert len(keys) == len(set(keys))


def test_stamps_are_milliseconds_in_utc_and_in_order(made: Collections, broken: dict[str, list[str]]):
    for name in (PROFILES, CONVERSIONS):
        for document in whole(made, name, broken):
            created, updated = document["createdAt"], document["updatedAt"]
            assert stamp(datetime.fromisoformat(created)) == created
            assert created <= updated < stamp(REFERENCE)


def test_another_reference_moves_the_whole_history(tenant: DemoTenant):
    later = REFERENCE + timedelta(days=100)
    for before, after in zip(
        retail.collections(tenant, "small")[PROFILES], retail.collections(tenant, "small", later)[PROFILES], strict=True
    ):
        assert before["_key"] == after["_key"]
        moved = datetime.fromisoformat(after["updatedAt"]) - datetime.fromisoformat(before["updatedAt"])
        assert abs(moved - timedelta(days=100)) < timedelta(milliseconds=2)


def test_every_edge_leads_from_a_profile_to_a_product(made: Collections, broken: dict[str, list[str]]):
    profiles = {f"{PROFILES}/{profile['_key']}" for profile in made[PROFILES]}
    products = {f"{PRODUCTS}/{product['_key']}" for product in made[PRODUCTS]}
    for edge in whole(made, CONVERSIONS, broken):
        assert edge["_from"] in profiles
        assert edge["_to"] in products


def test_orders_have_one_to_four_lines_and_some_have_no_number(made: Collections):
    lines = Counter(edge["transactionId"] for edge in made[CONVERSIONS])
    assert lines.pop("") > 50
    assert set(lines.values()) >= {1, 2, 3, 4}


def test_amounts_are_whole_dong_or_dollars_and_cents(made: Collections, broken: dict[str, list[str]]):
    for edge in whole(made, CONVERSIONS, broken):
        amount = Decimal(repr(edge["transactionValue"]))
        if edge["currencyCode"] == "VND":
            assert isinstance(edge["transactionValue"], int)
            assert amount % 1000 == 0
        assert 0 <= amount == round(amount, 2)


def test_some_customers_pay_in_two_currencies_and_some_edges_have_none(made: Collections):
    currencies = defaultdict(set)
    for edge in made[CONVERSIONS]:
        currencies[edge["_from"]].add(edge["currencyCode"])
    assert sum(len(used - {None}) == 2 for used in currencies.values()) > 30
    assert sum(None in used for used in currencies.values()) > 30


def test_contacts_are_readable_except_for_a_few(tenant: DemoTenant, made: Collections):
    def readable_phone(text: str) -> bool:
        try:
            return phonenumbers.is_valid_number(phonenumbers.parse(text, tenant.settings["phone_region"]))
        except phonenumbers.NumberParseException:
            return False

    def readable_email(text: str) -> bool:
        try:
            validate_email(text, check_deliverability=False)
        except EmailNotValidError:
            return False
        return True

    for one, more, readable in (
        ("primaryPhone", "secondaryPhones", readable_phone),
        ("primaryEmail", "secondaryEmails", readable_email),
    ):
        given = [profile[one] for profile in made[PROFILES] if profile[one]]
        unreadable = [text for text in given if not readable(text)]
        assert 0.005 < len(unreadable) / len(given) < 0.03
        assert all(readable(text) for profile in made[PROFILES] for text in profile[more])


def test_mail_addresses_belong_to_nobody(made: Collections):
    for profile in made[PROFILES]:
        for text in (profile["primaryEmail"], *profile["secondaryEmails"]):
            assert text == "none" or text.partition("@")[2].lstrip("@") in (
                "",
                "example.com",
                "example.org",
                "example.net",
            )


def test_phone_numbers_are_spelled_in_several_ways(made: Collections):
    openings = {profile["primaryPhone"][:3] for profile in made[PROFILES]}
    assert len(openings) >= 4
    assert any(" " in profile["primaryPhone"] for profile in made[PROFILES])


def test_names_keep_their_diacritics():
    names = {profile["lastName"] for profile in retail.collections(SAIGON, "small")[PROFILES]}
    assert {"Nguyễn", "Trần"} <= names


def test_merged_profiles_point_to_an_active_one_and_own_no_edges(made: Collections):
    by_key = {profile["_key"]: profile for profile in made[PROFILES]}
    buyers = {edge["_from"].partition("/")[2] for edge in made[CONVERSIONS]}
    merged = [profile for profile in made[PROFILES] if profile["rootProfileId"]]
    assert len(merged) == 60
    for profile in merged:
        assert profile["status"] == 0
        assert by_key[profile["rootProfileId"]]["status"] == 1
        assert profile["_key"] not in buyers


def test_every_status_occurs(made: Collections):
    statuses = Counter(profile["status"] for profile in made[PROFILES])
    assert statuses == {1: 2850, 0: 120, -4: 30}


def test_all_five_metric_segments_occur(made: Collections, broken: dict[str, list[str]]):
    """By the formulae of the customer metrics, with their defaults, in dollars and for buyers in dollars only."""
    orders: dict[str, dict[Any, float]] = defaultdict(lambda: defaultdict(float))
    foreign = set()
    for edge in whole(made, CONVERSIONS, broken):
        orders[edge["_from"]][edge["transactionId"], edge["createdAt"]] += edge["transactionValue"]
        if edge["currencyCode"] != "USD":
            foreign.add(edge["_from"])
    found = Counter()
    for profile in made[PROFILES]:
        key = f"{PROFILES}/{profile['_key']}"
        if key in foreign:
            continue
        ages = {order: REFERENCE - datetime.fromisoformat(order[1]) for order in orders[key]}
        recent = [order for order, age in ages.items() if age <= timedelta(days=90)]
        values = [value for value in orders[key].values() if value > 0]
        average = sum(values) / len(values) if values else 0
        lifetime = average * len(recent) * 365 / 90 * 3 - 5
        spent = sum(orders[key][order] for order in recent)
        last = min(ages.values(), default=None)
        recency = -60 if last is None else 40 if last.days <= 30 else 10 if last.days <= 90 else -10
        experience = recency + max(-30, min(30, spent / max(average, 1))) + min(30, 2 * len(recent))
        if lifetime >= 500 and experience >= 30:
            found["happy"] += 1
        elif not orders[key]:
            found["prospective"] += 1
        elif not recent:
            found["inactive"] += 1
        else:
            found["first_time" if 100 <= lifetime <= 499 else "target"] += 1
    assert set(found) == {"happy", "prospective", "inactive", "first_time", "target"}


def test_segments_count_their_active_members(made: Collections, broken: dict[str, list[str]]):
    members = Counter(
        segment["name"]
        for profile in made[PROFILES]
        if profile["status"] == 1 and isinstance(profile["inSegments"], list)
        for segment in profile["inSegments"]
    )
    living = [segment for segment in made[SEGMENTS] if segment["status"] > 0]
    assert {segment["name"]: segment["totalCount"] for segment in living} == dict(members)
    assert all(json.loads(segment["jsonQueryRules"])["rules"] for segment in living)


def test_engaged_touchpoints_exist(made: Collections):
    known = {touchpoint["_key"] for touchpoint in made[TOUCHPOINTS]}
    assert all(known.issuperset(profile["topEngagedTouchpointIds"]) for profile in made[PROFILES])


def test_exactly_the_listed_documents_are_broken(tenant: DemoTenant, made: Collections, broken: dict[str, list[str]]):
    found = defaultdict(list)
    for profile in made[PROFILES]:
        name = f"{PROFILES}/{profile['_key']}"
        if not isinstance(profile["inSegments"], list):
            found["segments_not_a_list"].append(name)
        if not profile["createdAt"].endswith("Z"):
            found["created_at_not_a_date"].append(name)
        if "\x00" in json.dumps(profile, ensure_ascii=False) or "\\u0000" in json.dumps(profile):
            found["nul_character"].append(name)
    for edge in made[CONVERSIONS]:
        name = f"{CONVERSIONS}/{edge['_key']}"
        if not isinstance(edge["transactionValue"], int | float):
            found["amount_not_a_number"].append(name)
        if not edge["_from"].startswith(f"{PROFILES}/"):
            found["buyer_not_a_profile"].append(name)
    assert found == broken
    total = len(made[PROFILES]) + len(made[CONVERSIONS])
    assert 0.002 < sum(map(len, broken.values())) / total < 0.005
    assert all(retail.broken_documents(tenant, "small").values()), "a test's demo has one of each"


# --- CDNOW ------------------------------------------------------------------------------------------------------------


def test_the_full_cdnow_tenant_sums_to_the_cent():
    made = cdnow.collections("full")
    assert len(made[PROFILES]) == 23_570
    assert len(made[CONVERSIONS]) == len({edge["_key"] for edge in made[CONVERSIONS]}) == 69_659
    assert sum(Decimal(repr(edge["transactionValue"])) for edge in made[CONVERSIONS]) == Decimal("2500315.63")
    assert len({edge["transactionId"] for edge in made[CONVERSIONS]}) == 69_659


def test_cdnow_customers_have_all_of_their_purchases_at_every_scale():
    full, small = cdnow.collections("full"), cdnow.collections("small")
    assert small[PROFILES] == full[PROFILES][:150]
    keys = {f"{PROFILES}/{profile['_key']}" for profile in small[PROFILES]}
    assert small[CONVERSIONS] == [edge for edge in full[CONVERSIONS] if edge["_from"] in keys]
    default = cdnow.collections("default")
    assert len(default[PROFILES]) == 2_000
    assert 6_000 <= len(default[CONVERSIONS]) <= 7_000


def test_nothing_personal_is_invented_for_cdnow():
    for profile in cdnow.collections("small")[PROFILES]:
        assert not any(
            profile[name] for name in ("primaryEmail", "primaryPhone", "firstName", "lastName", "inSegments")
        )


# --- over the wire ----------------------------------------------------------------------------------------------------

SERVER = ("root", "test-only")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("services")
    services = ServicesProcess(folder / "state", free_port(), free_port(), folder / "services.log")
    services.start(environment={"ARANGO_USER": SERVER[0], "ARANGO_PASSWORD": SERVER[1]})
    yield f"http://{HOST}:{services.port}"
    services.stop()


@pytest.fixture
def databases(hosts: str) -> Iterator[dict[str, StandardDatabase]]:
    """The tenants' databases, absent at the beginning of each test."""
    client = ArangoClient(hosts=hosts)
    system = client.db("_system", *SERVER)
    for tenant in TENANTS:
        system.delete_database(tenant.database, ignore_missing=True)
    yield {tenant.id: client.db(tenant.database, *SERVER) for tenant in TENANTS}
    client.close()


def everything(database: StandardDatabase) -> dict[str, dict[str, Document]]:
    found = {}
    for name in (PROFILES, CONVERSIONS, PRODUCTS, TOUCHPOINTS, SEGMENTS):
        cursor = database.aql.execute("FOR document IN @@collection RETURN document", bind_vars={"@collection": name})
        found[name] = {document["_key"]: document for document in cursor}  # ty: ignore[not-iterable]
    return found


def without_system_fields(documents: dict[str, Document]) -> list[Document]:
    stored = [{name: value for name, value in d.items() if name not in ("_id", "_rev")} for d in documents.values()]
    return sorted(stored, key=lambda document: document["_key"])


def test_what_arrives_is_what_was_made(hosts: str, databases: dict[str, StandardDatabase]):
    filled = fill(hosts, *SERVER, scale="small", reference=REFERENCE)
    assert all(row.unchanged == 0 for row in filled)
    for tenant, made in (
        (SAIGON, retail.collections(SAIGON, "small")),
        (HARBOUR, retail.collections(HARBOUR, "small")),
        (CDNOW, cdnow.collections("small")),
    ):
        stored = everything(databases[tenant.id])
        for name, documents in made.items():
            assert without_system_fields(stored[name]) == sorted(documents, key=lambda document: document["_key"])
            assert (tenant.id, name, len(documents), 0) in filled


def test_a_second_fill_changes_nothing(hosts: str, databases: dict[str, StandardDatabase]):
    fill(hosts, *SERVER, scale="small")
    before = {name: everything(database) for name, database in databases.items()}
    filled = fill(hosts, *SERVER, scale="small")
    assert all(row.written == 0 for row in filled)
    # Revisions included: nothing was written again with the same content either.
    assert {name: everything(database) for name, database in databases.items()} == before


def test_history_ends_on_the_day_of_the_first_fill(hosts: str, databases: dict[str, StandardDatabase]):
    fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    newest = max(profile["updatedAt"] for profile in everything(databases["saigon"])[PROFILES].values())
    assert stamp(datetime.now(UTC) - timedelta(days=30)) < newest <= stamp(datetime.now(UTC))


def test_only_the_chosen_tenants_are_filled(hosts: str, databases: dict[str, StandardDatabase]):
    filled = fill(hosts, *SERVER, scale="small", tenants=[HARBOUR])
    assert {row.tenant for row in filled} == {"harbour"}
    client = ArangoClient(hosts=hosts)
    assert not client.db("_system", *SERVER).has_database(SAIGON.database)
    client.close()


def test_deleted_documents_are_put_back_and_changed_ones_left_alone(hosts: str, databases: dict[str, StandardDatabase]):
    fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    profiles = databases["saigon"].collection(PROFILES)
    keys = sorted(everything(databases["saigon"])[PROFILES])
    profiles.delete(keys[0])
    profiles.update({"_key": keys[1], "firstName": "changed"})
    filled = fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    assert [row.written for row in filled if row.written] == [1]
    after = everything(databases["saigon"])[PROFILES]
    assert keys[0] in after
    assert after[keys[1]]["firstName"] == "changed"


def test_changes_since_a_moment_can_be_read_by_an_index(hosts: str, databases: dict[str, StandardDatabase]):
    fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    for name in (PROFILES, CONVERSIONS):
        indexes = databases["saigon"].collection(name).indexes()
        assert isinstance(indexes, list)
        assert ["updatedAt", "_key"] in [index["fields"] for index in indexes]


def test_touching_makes_newer_documents_and_a_fill_keeps_them(hosts: str, databases: dict[str, StandardDatabase]):
    for tenant in TENANTS:
        fill(hosts, *SERVER, scale="small", tenants=[tenant])
        database = databases[tenant.id]
        before = everything(database)
        moment = datetime.now(UTC)
        keys = touch(hosts, *SERVER, tenant=tenant, moment=moment, customers=3)
        assert touch(hosts, *SERVER, tenant=tenant, moment=moment, customers=3) == keys
        after = everything(database)
        assert set(after[CONVERSIONS]) - set(before[CONVERSIONS]) == set(keys)
        for name in (PROFILES, CONVERSIONS):
            newer = [document for document in after[name].values() if document["updatedAt"] == stamp(moment)]
            assert len(newer) == 3
            assert max(document["updatedAt"] for document in after[name].values()) == stamp(moment)
        filled = fill(hosts, *SERVER, scale="small", tenants=[tenant])
        assert all(row.written == 0 for row in filled)
        assert everything(database) == after


def test_profiles_that_the_demo_did_not_write_are_left_alone(hosts: str, databases: dict[str, StandardDatabase]):
    client = ArangoClient(hosts=hosts)
    client.db("_system", *SERVER).create_database(SAIGON.database)
    databases["saigon"].create_collection(PROFILES)
    with pytest.raises(SandboxError, match=SAIGON.database):
        fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    assert databases["saigon"].collection(PROFILES).count() == 0
    client.close()


def test_progress_is_told_up_to_the_last_document(hosts: str, databases: dict[str, StandardDatabase]):
    told: dict[str, list[tuple[int, int]]] = defaultdict(list)
    fill(hosts, *SERVER, scale="small", tenants=[SAIGON], progress=lambda name, *count: told[name].append(count))
    assert all(counts[-1][0] == counts[-1][1] for counts in told.values())
    assert told[f"saigon/{PROFILES}"] == [(150, 150)]


def test_a_server_that_is_not_there_is_an_error_that_names_it():
    hosts = f"http://{HOST}:{free_port()}"
    with pytest.raises(SandboxError, match=hosts):
        fill(hosts, *SERVER, scale="small")


def test_a_refused_document_is_an_error(hosts: str, databases: dict[str, StandardDatabase], monkeypatch):
    made = retail.collections(SAIGON, "small")
    made[CONVERSIONS][7]["_from"] = ""
    monkeypatch.setattr(retail, "collections", lambda *_: made)
    with pytest.raises(SandboxError):
        fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    # The next fill, with nothing refused, makes up for it.
    monkeypatch.undo()
    fill(hosts, *SERVER, scale="small", tenants=[SAIGON])
    expected = len(retail.collections(SAIGON, "small")[CONVERSIONS])
    assert databases["saigon"].collection(CONVERSIONS).count() == expected


def test_the_data_file_is_found_without_importing_its_package():
    code = (
        "import sys; from cdp_sandbox.demo import cdnow;cdnow.collections('small'); print('lifetimes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
