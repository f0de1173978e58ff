"""A person who is erased is nowhere, and does not come back."""

import threading

import pytest

from cdp_platform import settings
from cdp_platform.customers import metrics, value
from cdp_platform.customers.replay import replay
from cdp_platform.embeddings import models
from cdp_platform.embeddings.providers import opener
from cdp_platform.embeddings.worker import drain
from cdp_platform.ops.erasure import while_nobody_is_erased
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.customers.planted import tables
from cdp_platform_tests.leo import Leo

pytestmark = pytest.mark.usefixtures("small_batches")

# The random key is all that they have, as tombstone or as the place that the source was read to.
KEYS_ONLY = {"ops.erased_document", "ops.sync_watermark"}


def mentions(warehouse: Warehouse, *words: str) -> set[str]:
    """The tables of the warehouse in which a row has one of these words anywhere."""
    found = set()
    with warehouse.superuser() as connection:
        for table in tables(connection):
            rows = connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()
            found |= {table for (row,) in rows for word in words if word in row}
    return found


def everything(leo: Leo) -> None:
    for kind in ("profiles", "transactions"):
        leo.sync(kind, full=True)
    metrics.refresh(leo.connection, leo.tenant.tenant_id)
    value.refresh(leo.connection, leo.tenant)
    embed(leo)


def embed(leo: Leo) -> None:
    open_provider = opener(settings.embeddings())
    models.ensure_default(leo.connection, settings.embeddings(), open_provider)
    for kind in ("profile", "transaction"):
        drain(
            lambda: connect(settings.postgres()),
            [leo.tenant.tenant_id],
            kind,
            open_provider=open_provider,
            batch_size=64,
        )


@pytest.fixture
def nam(leo: Leo) -> Leo:
    """A tenant with two customers, of whom Nam is in every store there is."""
    leo.profile("nam1", firstName="NamSecret", primaryEmail="nam@example.com", contentKeywords=["sailing"])
    leo.profile("mai1", firstName="Mai")
    leo.purchase("e-nam", "nam1")
    leo.purchase("e-mai", "mai1")
    leo.purchase("e-broken", "nam1", transactionValue="NamSecret")
    everything(leo)
    leo.profile("nam1", 2, firstName="NamSecret", contentKeywords=["sailing"], inSegments={"id": "x"})
    leo.sync()
    assert len(leo.waiting()) == 2
    # Two customers are too few to be clustered or to resemble anybody.
    leo.rows(
        "INSERT INTO embeddings.lookalike_audience (tenant_id, segment_id, profile_id, similarity, place)"
        " VALUES ('acme', 's1', 'nam1', 0.9, 1) RETURNING 1"
    )
    leo.rows(
        "INSERT INTO embeddings.profile_cluster (tenant_id, profile_id, cluster) VALUES ('acme', 'nam1', 1) RETURNING 1"
    )
    for statement in (
        "officer (officer_id, full_name) VALUES ('acme', 'o1', 'Lan')",
        "campaign (campaign_id, name, starts_at) VALUES ('acme', 'c1', 'Autumn', now())",
        "referral_link (referral_link_id, officer_id, campaign_id, full_link, ref_code)"
        " VALUES ('acme', 'l1', 'o1', 'c1', 'https://example.com', 'code')",
        "click_event (click_event_id, referral_link_id, occurred_at, ip, user_agent)"
        " VALUES ('acme', 'k1', 'l1', now(), '203.0.113.7', 'NamSecret''s browser')",
        "signup_event (signup_event_id, click_event_id, referral_link_id, occurred_at, email)"
        " VALUES ('acme', 's1', 'k1', 'l1', now(), ' Nam@example.com')",
        "signup_event (signup_event_id, click_event_id, referral_link_id, occurred_at, email)"
        " VALUES ('acme', 's2', NULL, 'l1', now(), 'mai@example.com')",
    ):
        leo.rows(f"INSERT INTO referrals.{statement.replace('(', '(tenant_id, ', 1)} RETURNING 1")
    return leo


def test_every_store_loses_the_person_and_the_receipt_says_how_much(nam: Leo, warehouse: Warehouse):
    nam.purchase("e-late", "nam1")
    nam.sync("transactions", full=True)
    receipt = nam.erase("nam1")
    assert receipt.profile_ids == ["nam1"]
    expected = {
        "customers.cdp_profiles": 1,
        "customers.transactions": 2,
        "ops.rejected_record": 2,
        "customers.customer_metrics": 1,
        "customers.customer_value": 1,
        "embeddings.embedding_job": 0,
        "embeddings.text_batch": 1,
        "embeddings.embedding": 2,
        "embeddings.passage": 2,
        "embeddings.lookalike_audience": 1,
        "embeddings.profile_cluster": 1,
        "referrals.click_event": 1,
        "referrals.signup_event": 1,
    }
    assert {store: receipt.rows[store] for store in expected} == expected
    assert mentions(warehouse, "NamSecret", "nam@example.com") == set()
    assert mentions(warehouse, "nam1") <= KEYS_ONLY
    assert nam.keys() == {"mai1"}


def test_no_sync_brings_an_erased_person_back(nam: Leo, warehouse: Warehouse):
    nam.erase("nam1")
    result = nam.sync(full=True)
    assert (result.erased, result.rejected) == (1, 0)
    assert nam.sync("transactions", full=True).erased == 2
    nam.profile("nam1", 20, firstName="NamSecret")
    nam.purchase("e-new", "nam1", 20)
    assert nam.sync().erased == 1
    assert nam.sync("transactions").erased == 3
    nam.reconcile()
    nam.reconcile("transactions")
    metrics.refresh(nam.connection, "acme")
    assert mentions(warehouse, "NamSecret") == set()
    assert mentions(warehouse, "nam1") <= KEYS_ONLY
    assert nam.keys() == {"mai1"}


def test_an_erased_person_does_not_make_every_run_a_full_one(nam: Leo):
    nam.erase("nam1")
    for kind in ("profiles", "transactions"):
        nam.sync(kind, full=True)
        assert not nam.sync(kind).full


def test_no_replay_brings_an_erased_person_back(nam: Leo):
    nam.erase("nam1")
    # As if it had come before tombstones were looked for.
    nam.rows(
        "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
        """ VALUES ('acme', 'cdp_profile', 'nam1', 'x', '$', 'x', '{"_key": "nam1"}') RETURNING 1"""
    )
    with nam.reading() as (source, _):
        replayed = replay(nam.connection, source, nam.tenant)
    assert replayed["cdp_profile"].erased == 1
    assert nam.keys() == {"mai1"}


def test_no_restore_brings_an_erased_person_back(nam: Leo, warehouse: Warehouse):
    saved = (
        "customers.cdp_profiles",
        "customers.transactions",
        "customers.customer_metrics",
        "customers.customer_value",
        "ops.rejected_record",
        "embeddings.embedding",
        "embeddings.passage",
        "embeddings.lookalike_audience",
        "embeddings.profile_cluster",
    )
    with warehouse.superuser() as connection:
        backup = {}
        for table in saved:
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                backup[table] = b"".join(copy)
        nam.erase("nam1")
        for table in saved:
            connection.execute(f"DELETE FROM {table}")
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(backup[table])
        connection.execute("DELETE FROM customers.touched_customer")
    assert nam.keys() == {"mai1"}
    assert nam.keys("transactions") == {"e-mai"}
    assert nam.rows("SELECT entity_id FROM embeddings.embedding") == [("e-mai",)]
    assert mentions(warehouse, "nam1", "NamSecret") <= KEYS_ONLY


def test_profiles_that_were_merged_are_one_person(leo: Leo):
    leo.profile("root")
    leo.profile("alias", status=0, rootProfileId="root")
    leo.profile("broken-alias", rootProfileId="root", inSegments={"id": "x"})
    leo.profile("other")
    leo.sync()
    assert leo.erase("alias").profile_ids == ["alias", "broken-alias", "root"]
    assert leo.keys() == {"other"}
    assert leo.waiting() == []


def test_a_person_is_all_merged_profiles_with_their_addresses_and_phone_numbers(leo: Leo):
    leo.profile("root", primaryEmail="Nam@Example.com", primaryPhone="+84 912 345 678")
    leo.profile("alias", rootProfileId="root", secondaryEmails=["old@example.com"], secondaryPhones=["+84912345679"])
    leo.profile("other", primaryEmail="mai@example.com")
    leo.sync()
    query = "SELECT * FROM customers.person('acme', '{alias}', '{left@example.com}')"
    ((profiles, addresses, phones),) = leo.rows(query)
    assert profiles == ["alias", "root"]
    assert sorted(addresses) == ["left@example.com", "nam@example.com", "old@example.com"]
    assert sorted(phones) == ["+84912345678", "+84912345679"]


def test_a_profile_that_is_merged_with_an_erased_one_later_stays_out_with_its_purchases(leo: Leo):
    leo.profile("root")
    leo.sync()
    leo.erase("root")
    leo.delete("cdp_profile", "root")
    leo.profile("alias", 5, rootProfileId="root")
    leo.purchase("e1", "alias", 5)
    assert leo.sync().erased == 1
    assert leo.sync("transactions").erased == 1


def test_a_merge_after_the_erasure_takes_the_other_profile_too(nam: Leo, warehouse: Warehouse):
    """The other profile has rows in every store when it turns out whose it is."""
    nam.erase("old")
    nam.profile("nam1", 20, firstName="NamSecret", rootProfileId="old")
    result = nam.sync()
    assert (result.erased, result.erased_by_merge) == (1, 1)
    assert mentions(warehouse, "NamSecret", "nam@example.com") == set()
    assert mentions(warehouse, "nam1") <= KEYS_ONLY
    again = nam.erase("nam1")
    assert (again.profile_ids, again.erased_before) == (["nam1", "old"], ["nam1", "old"])
    assert set(again.rows.values()) == {0}


def test_an_erased_profile_that_is_merged_into_another_takes_it_along(nam: Leo, warehouse: Warehouse):
    nam.profile("old", 2, firstName="OldSecret")
    nam.profile("late", 9)
    nam.sync(full=True)
    nam.erase("old")
    # Without a newer stamp: only the comparison of keys and revisions finds it.
    nam.profile("old", 2, firstName="OldSecret", rootProfileId="nam1")
    nam.sync()
    assert nam.keys() == {"nam1", "mai1", "late"}
    assert nam.reconcile().landed.erased_by_merge == 1
    assert mentions(warehouse, "NamSecret", "OldSecret", "nam@example.com") == set()
    assert mentions(warehouse, "nam1") <= KEYS_ONLY
    assert nam.reconcile().landed.read == 0


def test_a_merge_is_followed_through_others_and_within_one_batch(leo: Leo):
    leo.profile("a")
    leo.profile("b", rootProfileId="c")
    leo.profile("cousin", rootProfileId="b")
    leo.profile("other")
    leo.sync()
    leo.erase("a")
    # In this order a single look at the batch would see the first as nobody's.
    leo.profile("d", 5, rootProfileId="cousin")
    leo.profile("c", 6, rootProfileId="a")
    assert leo.sync().erased_by_merge == 4
    assert leo.keys() == {"other"}


def test_numbers_name_a_merged_profile_too(leo: Leo):
    leo.profile("17")
    leo.sync()
    leo.erase("17")
    leo.profile("alias", 5, rootProfileId=17, inSegments={"id": "broken"})
    assert leo.sync().erased == 2
    assert leo.waiting() == []


def test_a_row_that_comes_past_the_platform_erases_whoever_it_is_merged_with(nam: Leo, warehouse: Warehouse):
    nam.erase("old")
    with warehouse.superuser() as connection:
        connection.execute("UPDATE customers.cdp_profiles SET root_profile_id = 'old' WHERE profile_id = 'nam1'")
    assert mentions(warehouse, "NamSecret", "nam@example.com") == set()
    assert mentions(warehouse, "nam1") <= KEYS_ONLY


def test_an_address_that_only_a_document_that_stayed_out_had_is_erased_too(nam: Leo, warehouse: Warehouse):
    nam.erase("nam1")
    nam.rows(
        "INSERT INTO referrals.signup_event (tenant_id, signup_event_id, referral_link_id, occurred_at, email)"
        " VALUES ('acme', 's3', 'l1', now(), 'new@example.com'), ('acme', 's4', 'l1', now(), 'half@example.com')"
        " RETURNING 1"
    )
    nam.profile("alias", 20, rootProfileId="nam1", secondaryEmails=["New@example.com", "\x00"], lastName="a\x00b")
    nam.profile("half", 20, primaryEmail="half@example.com", lastName="NUL \x00")
    nam.sync()
    # The second waits rejected, with an escape that jsonb does not take.
    nam.erase("half")
    assert mentions(warehouse, "new@example.com", "half@example.com") == set()


def test_a_purchase_of_an_erased_person_stays_out_when_it_is_given_to_another(nam: Leo, warehouse: Warehouse):
    nam.erase("nam1")
    nam.purchase("e-nam", "mai1", 20, eventMetricId="NamSecret")
    assert nam.sync("transactions").erased >= 1
    assert mentions(warehouse, "NamSecret") == set()
    # And one that turns out to be theirs leaves the other.
    nam.purchase("e-mai", "nam1", 21)
    nam.sync("transactions")
    assert nam.keys("transactions") == set()


def test_another_tenants_document_says_nothing_of_who_is_one_person(new_leo):
    one = new_leo("one", shared_database=False)
    one.profile("a")
    one.profile("b")
    one.sync()
    one.erase("a")
    one.profile("b", 5, tenant_id="two", rootProfileId="a")
    assert one.sync().erased_by_merge == 0
    assert one.keys() == {"b"}


def test_a_replay_of_an_erased_person_leaves_no_rejected_document(nam: Leo, warehouse: Warehouse):
    nam.erase("nam1")
    nam.rows(
        "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
        """ VALUES ('acme', 'cdp_profile', 'nam1', 'x', '$', 'x', '{"_key": "nam1"}') RETURNING 1"""
    )
    with nam.reading() as (source, _):
        replay(nam.connection, source, nam.tenant)
    assert mentions(warehouse, "nam1") <= KEYS_ONLY


def test_the_same_key_of_another_tenant_is_another_person(new_leo):
    one, other = new_leo("one"), new_leo("other")
    for each in (one, other):
        each.profile("p1")
        each.sync()
    one.erase("p1")
    assert (one.keys(), other.keys()) == (set(), {"p1"})
    assert other.sync(full=True).erased == 0


def test_erasing_twice_or_somebody_unknown_is_no_error(nam: Leo):
    nam.erase("nam1")
    assert set(nam.erase("nam1").rows.values()) == {0}
    assert nam.erase("never-seen").profile_ids == ["never-seen"]
    nam.profile("never-seen", 5)
    assert nam.sync().erased == 2
    assert nam.keys() == {"mai1"}


def test_an_erasure_and_a_batch_exclude_each_other(nam: Leo):
    """A batch that has looked for tombstones has committed before one is made."""
    erased = threading.Event()

    def erase() -> None:
        nam.erase("nam1")
        erased.set()

    with connect(settings.postgres()) as writer:
        with tenant_transaction(writer, "acme"):
            while_nobody_is_erased(writer, "acme")
            thread = threading.Thread(target=erase)
            thread.start()
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while nam.connection.execute(waiting).fetchone() != (1,):
                assert not erased.is_set()
        assert erased.wait(60)
        thread.join()
    assert nam.keys() == {"mai1"}
