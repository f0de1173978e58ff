"""The text that is embedded of an entity, without e-mail addresses and phone numbers."""

import hashlib
import re
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from cdp_platform.embeddings import texts
from cdp_platform.embeddings.reconcile import reconcile
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant

_PROFILE = """
INSERT INTO customers.cdp_profiles SELECT r.* FROM jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'profile_id', %s::text, 'status', 'active', 'document_hash', '',
        'synced_at', now()) || %s) AS r
"""
_TRANSACTION = """
INSERT INTO customers.transactions SELECT r.* FROM jsonb_populate_record(NULL::customers.transactions,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.transactions'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'line_id', %s::text, 'profile_id', 'p', 'document_hash', '',
        'synced_at', now()) || %s) AS r
"""


class Author:
    """Writes entities of one tenant, and reads what would be embedded of them."""

    def __init__(self, desk: Desk, tenant: Tenant) -> None:
        self.desk, self.tenant = desk, tenant

    def profile(self, entity_id: str = "p", **columns: Any) -> str | None:
        with tenant_transaction(self.desk.app, self.tenant.tenant_id):
            self.desk.app.execute(_PROFILE, [self.tenant.tenant_id, entity_id, Jsonb(columns)])
        return self.read(entity_id).content

    def transaction(self, entity_id: str = "t", **columns: Any) -> str | None:
        with tenant_transaction(self.desk.app, self.tenant.tenant_id):
            self.desk.app.execute(_TRANSACTION, [self.tenant.tenant_id, entity_id, Jsonb(columns)])
        return self.read(entity_id, "transaction").content

    def name_product(self, product_id: str, name: str, *keywords: str, tenant_id: str = "acme") -> None:
        with tenant_transaction(self.desk.app, tenant_id):
            self.desk.app.execute(
                "INSERT INTO customers.product_name (tenant_id, product_id, name, keywords) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (tenant_id, product_id) DO UPDATE SET name = excluded.name",
                [tenant_id, product_id, name, list(keywords)],
            )

    def read(self, entity_id: str, kind: Any = "profile") -> texts.EntityText:
        found = texts.read(self.desk.app, self.tenant.tenant_id, kind, entity_id, self.desk.model)
        assert found is not None
        return found


@pytest.fixture
def author(desk: Desk, acme: Tenant) -> Author:
    return Author(desk, acme)


def test_a_profile_is_where_somebody_lives_works_and_is_interested_in(author: Author):
    assert (
        author.profile(
            living_location="Quận 1, TP. Hồ Chí Minh",
            job_titles=["marketing manager"],
            data_labels=["vip"],
            segments=[{"id": "s1", "name": "High value"}, {"id": "s2"}],
            content_keywords=["coffee", "travel"],
            product_keywords=["espresso machine"],
        )
        == "Quận 1, TP. Hồ Chí Minh; marketing manager, vip, High value, s2, coffee, travel, espresso machine"
    )


def test_the_person_is_not_in_the_text(author: Author):
    text = author.profile(
        first_name="Linh",
        last_name="Trần",
        primary_email="linh@example.com",
        primary_phone="+84912345678",
        secondary_emails=["tran@example.com"],
        identities=["email:linh@example.com"],
        content_keywords=["coffee", "write to linh.tran@example.com", "zalo 0912 345 678", "0987654321"],
        living_location="Đà Nẵng (tel. +84 236 3822 111)",
    )
    assert text is not None
    assert "coffee" in text
    assert "Đà Nẵng" in text
    assert not re.search(r"linh|trần|tran|@|\d", text, re.IGNORECASE)


@pytest.mark.parametrize("nothing", ["[]", "{}", "null", '""', '["", null]', '["[]"]', "[[], {}]"])
def test_an_empty_list_leaves_nothing_in_the_text(author: Author, nothing: str):
    listed = author.desk.app.execute("SELECT embeddings.listed(%s::jsonb)", [nothing]).fetchone()
    assert listed == (None,)


def test_a_profile_that_says_nothing_has_no_text(author: Author):
    assert author.profile(living_location="") is None
    assert author.profile("q", living_location=None, content_keywords=["0912345678", "a@b.vn"]) is None


def test_a_closed_entity_has_no_text(author: Author):
    closed = {"closed_at": "2026-01-01", "closed_reason": "deleted"}
    assert author.profile(living_location="Huế", **closed) is None
    assert author.transaction(event_name="purchase", currency="VND", **closed) is None


def test_a_transaction_is_what_was_done_and_of_what_worth(author: Author):
    text = author.transaction(
        event_name="first-purchase",
        order_id="ORD-20240131-000123",
        amount="1250000.50",
        currency="VND",
        quantity=2,
        product_id="p7",
        asset_group_ids=["240d5e8c1fa24b6f9d0c"],
        segment_ids=["2POEJ7QXFb5S4quoYYMjq6"],
        total_event=3,
        occurred_at="2024-01-31T23:30:00Z",
    )
    assert text == "first purchase; 2 pieces; 1250000.5 VND; 31 January 2024; order ORD-20240131-000123"


def test_a_transaction_says_the_name_and_the_keywords_of_its_product(author: Author):
    author.name_product("p7", "Cà phê phin", "coffee", "gift")
    text = author.transaction(event_name="purchase", product_id="p7", currency="VND", quantity=1)
    assert text == "purchase; Cà phê phin; coffee, gift; VND"
    author.desk.tenant("bonsai")
    author.name_product("p8", "of another tenant", tenant_id="bonsai")
    assert author.transaction("u", event_name="purchase", product_id="p8") == "purchase"


@pytest.mark.parametrize("opaque", ["240d5e8c1fa24b6f9d0c", "240D5E8C-1FA2-4B6F-9D0C", "2POEJ7QXFb5S4quoYYMjq6"])
def test_an_order_number_that_nobody_types_is_left_out(author: Author, opaque: str):
    assert author.transaction(event_name="purchase", order_id=opaque, currency="VND") == "purchase; VND"


@pytest.mark.parametrize("number", ["ORD-2025-0091", "2026042300001234", "CDNOW-4-19970101-2", "deadbeef", "4711"])
def test_an_order_number_that_people_type_stays(author: Author, number: str):
    text = author.transaction(event_name="purchase", order_id=number)
    assert text == f"purchase; order {number}"


def test_a_change_of_what_the_text_says_waits_for_its_vector_and_no_other(author: Author):
    author.transaction(event_name="purchase", product_id="p7", currency="VND", quantity=1)

    def waits_after(change: str) -> bool:
        author.desk.drain(Recorder(), author.tenant, kind="transaction")
        author.tenant.change(f"UPDATE customers.transactions SET {change}")
        return ("acme", "transaction") in author.tenant.rows("SELECT tenant_id, kind FROM embeddings.waiting()")

    for change in ("product_id = 'p8'", "amount = 12", "order_id = 'o2'", "occurred_at = '2026-01-01'", "quantity = 3"):
        assert waits_after(change), change
    for change in ("segment_ids = '[\"s\"]'", "asset_group_ids = '[\"g\"]'", "total_event = 4", "amount = 12.00"):
        assert not waits_after(change), change


def test_the_nightly_comparison_finds_the_purchases_of_a_renamed_product(author: Author):
    author.name_product("p7", "Rain jacket")
    author.transaction(event_name="purchase", product_id="p7")
    author.transaction("other", event_name="purchase", product_id="p8")
    author.desk.drain(Recorder(), author.tenant, kind="transaction")
    author.name_product("p7", "Waxed rain jacket")
    assert reconcile(author.desk.app, author.tenant.tenant_id, "transaction").enqueued == 1
    recorder = Recorder()
    author.desk.drain(recorder, author.tenant, kind="transaction")
    assert recorder.texts == ["purchase; Waxed rain jacket"]


def test_nobodys_address_is_in_the_text_of_a_transaction(author: Author):
    text = author.transaction(event_name="invite linh@example.com", order_id="o1", currency="VND")
    assert text is not None
    assert "@" not in text
    assert "o1" in text


def test_a_long_text_is_cut_to_what_the_model_reads_and_hashed_as_it_is_cut(author: Author):
    content = author.profile(living_location="Huế " * 250_000)
    found = author.read("p")
    assert content is not None
    assert len(content) == author.desk.model.max_characters < found.characters
    assert found.content_hash == hashlib.sha256(content.encode()).hexdigest()
    (longest,) = author.tenant.rows("SELECT max(length(content)) FROM embeddings.entity_text")
    assert longest[0] <= 40_000


def test_an_entity_that_there_is_not_has_no_text(author: Author, desk: Desk):
    author.profile(living_location="Huế")
    bonsai = desk.tenant("bonsai").tenant_id
    assert texts.read(desk.app, "acme", "profile", "nobody", desk.model) is None
    assert texts.read(desk.app, "acme", "transaction", "p", desk.model) is None
    assert texts.read(desk.app, bonsai, "profile", "p", desk.model) is None


# How people write phone numbers and addresses.
PHONES = """
0912345678 | +84912345678 | 84912345678 | 0912 345 678 | 0912.345.678 | 0912-345-678 | (028) 3823 4567 | 028/38234567
+1 (415) 555-2671 | 415-555-2671 | (415)555-2671 | 555-1234 | 06 12 34 56 78 | 00 44 20 7946 0958 | +49/30/1234567
9123 4567 | 0912\u2013345\u2013678 | +84.912.345.678
"""
EMAILS = """
linh@example.com | Linh.Tran+x@mail.example.vn | <a@b.co> | mailto:x_y@host | đ@ví-dụ.vn | a\uff20b.com | x@localhost
"""
KEPT = """
2024 2025 | 2019-2024 | 2023 2024 2025 | 2024-01-31 | 20240131 | 31.01.2024 | 31/12/2024 | 1.500.000 | 1.500.000.000 VND
1,500,000.50 | 10000000 | 1234567.89 | 700000 | 90210 | 75001 Paris | 10.7769, 106.7009 | iPhone 15 2024 | room 101 202
size 38 | 24/7 | 50-100 USD
"""


def each_of(listed: str) -> list[str]:
    return [one.strip() for line in listed.strip().splitlines() for one in line.split("|")]


def without_contacts(connection: psycopg.Connection, content: str) -> str | None:
    ((text,),) = connection.execute("SELECT embeddings.without_contacts(%s)", [content]).fetchall()
    return text


@pytest.mark.parametrize("contact", each_of(PHONES) + each_of(EMAILS))
def test_a_contact_is_taken_out_however_it_is_written(app: psycopg.Connection, contact: str):
    assert without_contacts(app, contact) is None
    left = without_contacts(app, f"coffee, zalo{contact}; tea")
    assert left is not None
    assert not re.search("[@\uff20\\d]", left)
    assert left.startswith("coffee")
    assert left.endswith("tea")


@pytest.mark.parametrize("content", each_of(KEPT))
def test_years_dates_amounts_and_postal_codes_stay(app: psycopg.Connection, content: str):
    assert without_contacts(app, content) == content
    assert without_contacts(app, f"a@b.vn, {content}") == content


_words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
_local = st.from_regex(r"[a-z][a-z0-9._+-]{0,20}", fullmatch=True)
_emails = st.builds(
    "{}@{}.{}".format, _local, st.sampled_from(["gmail", "mail.example"]), st.sampled_from(["com", "vn"])
)
_phones = st.tuples(
    st.sampled_from(["0", "+84", "0084 ", "(0)", "+1 "]),
    st.lists(st.from_regex(r"[0-9]{2,4}", fullmatch=True), min_size=4, max_size=4),
    st.sampled_from(["", " ", ".", "-", " - "]),
).map(lambda parts: parts[0] + parts[2].join(parts[1]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_words, contact=st.one_of(_emails, _phones), after=_words)
def test_no_contact_survives_in_whatever_stands_around_it(
    app: psycopg.Connection, before: str, contact: str, after: str
):
    left = without_contacts(app, f"{before}, {contact}, {after}") or ""
    assert contact not in left
    assert "@" not in left or "@" in before + after
    digits = re.sub(r"\D", "", contact)
    assert (
        "@" in contact or digits not in re.sub(r"[^0-9]", "", left) or digits in re.sub(r"[^0-9]", "", before + after)
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.from_regex(r"[a-zà-ỹ]{1,12}( [0-9]{1,4})?", fullmatch=True), min_size=1, max_size=8))
def test_a_text_without_contacts_stays_as_it_is(app: psycopg.Connection, words: list[str]):
    assert without_contacts(app, "; ".join(words)) == "; ".join(words)


@pytest.mark.parametrize("piece", ["a", "1", "1 ", "@", "a@ ", "a@b.c 12-31.2024, ", "1234567 a ", "2024-01-31 ", "("])
def test_no_text_takes_long(author: Author, piece: str):
    with author.desk.app.transaction():
        author.desk.app.execute("SET LOCAL statement_timeout = '5s'")
        author.profile(living_location=(piece * 1_000_000)[:1_000_000])


def test_words_are_found_without_case_and_accents(app: psycopg.Connection):
    folded = app.execute("SELECT embeddings.folded('ĐÀ NẴNG, Quận Bình Thạnh; Öl')").fetchone()
    assert folded == ("da nang, quan binh thanh; ol",)
