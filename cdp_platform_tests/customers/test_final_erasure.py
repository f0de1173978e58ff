"""Whatever the order of merge, sync, rejection, replay, restore and erasure: nothing of an erased person is left."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cdp_platform import settings as environment
from cdp_platform.customers import metrics, persons, profiles, segment_sync, transactions
from cdp_platform.customers.replay import replay
from cdp_platform.embeddings import models
from cdp_platform.embeddings.providers import opener
from cdp_platform.embeddings.reconcile import reconcile as reconcile_texts
from cdp_platform.embeddings.worker import drain
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.customers.planted import found
from cdp_platform_tests.leo import Leo
from cdp_platform_tests.referrals.tracker import Tracker

PROFILES = [f"p{number}" for number in range(5)]
LINES = [f"e{number}" for number in range(4)]
KINDS = st.sampled_from(["profiles", "transactions"])
# What a backup of a table holds of a person.
SAVED = (
    "customers.cdp_profiles",
    "customers.transactions",
    "customers.customer_metrics",
    "customers.touched_customer",
    "customers.segment_member",
    "ops.rejected_record",
    "embeddings.embedding_job",
    "embeddings.text_batch",
    "embeddings.embedding",
    "embeddings.passage",
    "embeddings.lookalike_audience",
    "embeddings.profile_cluster",
    "referrals.click_event",
    "referrals.signup_event",
)
_numbers = itertools.count(1)


class Erasure(RuleBasedStateMachine):
    """One tenant. Whoever is erased must be nowhere after each step, not only in the end."""

    new_leo: Callable[..., Leo]
    warehouse: Warehouse

    @initialize()
    def begin(self) -> None:
        number = next(_numbers)
        self.mark = f"zq{number}x"
        self.leo = self.new_leo(f"t{number}")
        self.tenant_id = self.leo.tenant.tenant_id
        self.tracker = Tracker(self.leo.connection, self.leo.tenant)
        self.tracker.begin()
        self.day = 1
        self.asked: set[str] = set()
        self.edges_ever: set[tuple[str, str]] = set()
        self.roots: dict[str, str] = {}
        self.buyers: dict[str, str] = {}
        self.backup: dict[str, bytes] = {}

    def teardown(self) -> None:
        if not hasattr(self, "leo"):
            return
        self.settle()
        with self.warehouse.superuser() as connection:
            connection.execute("SET session_replication_role = replica")
            for table in (*SAVED, "ops.erased_document", "ops.erased_address"):
                connection.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [self.tenant_id])

    # What a test plants, and what has to be true of it.

    def text(self, profile: str) -> str:
        return f"{self.mark}{profile}q"

    def stamps(self, fresh: bool) -> dict[str, Any]:
        if fresh:
            self.day += 1
        moment = f"2026-01-01T00:{self.day // 60:02}:{self.day % 60:02}.000Z"
        return {"updatedAt": moment if fresh else "2025-12-01T00:00:00.000Z"}

    def tombstones(self) -> set[str]:
        rows = self.leo.rows("SELECT document_key FROM ops.erased_document WHERE source = 'cdp_profile'")
        return {key for (key,) in rows}

    def family(self, keys: Iterable[str], edges: Iterable[tuple[str, str]]) -> set[str]:
        family, edges = set(keys), list(edges)
        while more := {key for edge in edges if family & set(edge) for key in edge} - family:
            family |= more
        return family

    @invariant()
    def nothing_is_left_of_whoever_has_a_tombstone(self) -> None:
        if hasattr(self, "leo"):
            erased = self.tombstones()
            assert self.asked <= erased
            # Nobody else than an erased person's profiles.
            assert erased <= self.family(self.asked, self.edges_ever)
            assert found(self.warehouse, map(self.text, erased)) == set()
            assert self.keys_in_tables(erased) == []

    def keys_in_tables(self, erased: set[str]) -> list[tuple[str, str]]:
        """Where a row is about an erased profile by its key alone."""
        by_key = "SELECT '{0}', profile_id FROM {0} WHERE profile_id = ANY (%(erased)s)"
        queries = [by_key.format(table) for table in SAVED if table.startswith("customers.")]
        queries += [by_key.format(f"embeddings.{table}") for table in ("lookalike_audience", "profile_cluster")]
        queries += [
            f"SELECT '{table}', entity_id FROM {table} WHERE kind = 'profile' AND entity_id = ANY (%(erased)s)"
            for table in ("embeddings.embedding_job", "embeddings.embedding", "embeddings.passage")
        ]
        queries.append(
            "SELECT 'waits', id FROM embeddings.text_batch, unnest(entity_ids) AS id WHERE id = ANY (%(erased)s)"
        )
        queries.append("SELECT 'rejected', document_key FROM ops.rejected_record WHERE profile_ids && %(erased)s")
        return self.tracker.rows(" UNION ALL ".join(queries), {"erased": sorted(erased)})

    def settle(self) -> None:
        """Read what is left to read, as syncs and the nightly comparison do."""
        for kind in ("profiles", "transactions"):
            self.leo.sync(kind)
        for kind in ("profiles", "transactions"):
            self.leo.reconcile(kind, approve=True)
        metrics.refresh(self.leo.connection, self.tenant_id)
        self.nothing_is_left_of_whoever_has_a_tombstone()
        erased = self.tombstones()
        assert erased >= self.family(self.asked, self.roots.items())
        held = {
            source: {
                key
                for (key,) in self.leo.rows(f"SELECT {key} FROM {table} WHERE closed_reason IS DISTINCT FROM 'deleted'")
            }
            | {
                key
                for (key,) in self.leo.rows(
                    f"SELECT document_key FROM ops.rejected_record WHERE source = '{source}' AND resolved_at IS NULL"
                )
            }
            for source, table, key in (
                (profiles.COLLECTION, "customers.cdp_profiles", "profile_id"),
                (transactions.COLLECTION, "customers.transactions", "line_id"),
            )
        }
        assert held[profiles.COLLECTION] == self.roots.keys() - erased
        buried = self.leo.rows(
            f"SELECT document_key FROM ops.erased_document WHERE source = '{transactions.COLLECTION}'"
        )
        lines = {line for line, buyer in self.buyers.items() if buyer not in erased} - {key for (key,) in buried}
        assert held[transactions.COLLECTION] == lines

    # What happens in the source.

    @rule(
        key=st.sampled_from(PROFILES),
        root=st.sampled_from(["", *PROFILES]),
        fresh=st.booleans(),
        broken=st.booleans(),
        address=st.sampled_from(["primaryEmail", "secondaryEmails", "identities"]),
    )
    def write_profile(self, key: str, root: str, *, fresh: bool, broken: bool, address: str) -> None:
        text = self.text(key)
        email = f"{text}@example.com"
        value = {"primaryEmail": email, "secondaryEmails": [email], "identities": [f"email:{email}"]}[address]
        self.leo.put(
            profiles.COLLECTION,
            {
                "_key": key,
                "status": 1,
                "rootProfileId": root,
                "firstName": text,
                "contentKeywords": [text],
                address: value,
                "inSegments": {"id": text} if broken else [{"id": "s1", "name": "S1"}],
                **self.stamps(fresh),
            },
        )
        self.roots[key] = root or key
        self.edges_ever.add((key, root or key))

    @rule(line=st.sampled_from(LINES), buyer=st.sampled_from(PROFILES), fresh=st.booleans(), broken=st.booleans())
    def write_purchase(self, line: str, buyer: str, *, fresh: bool, broken: bool) -> None:
        text, stamps = self.text(buyer), self.stamps(fresh)
        self.leo.purchase(
            line,
            buyer,
            eventMetricId=text,
            segmentIds=[text],
            transactionValue=text if broken else 10,
            **stamps,
        )
        self.buyers[line] = buyer

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def delete_profile(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.roots)))
        self.leo.delete(profiles.COLLECTION, key)
        del self.roots[key]

    # What the platform does.

    @rule(kind=KINDS, full=st.booleans())
    def sync(self, kind: str, *, full: bool) -> None:
        self.leo.sync(kind, full=full)

    @rule(kind=KINDS)
    def reconcile(self, kind: str) -> None:
        self.leo.reconcile(kind, approve=True)

    @rule(kind=KINDS)
    def read_segment(self, kind: str) -> None:
        read = {"profiles": segment_sync.sync_profiles, "transactions": segment_sync.sync_transactions}[kind]
        self.leo.rows("SELECT 1")
        with self.leo.reading(kind) as (source, mapper):
            if kind == "transactions" or any(self.roots):
                try:
                    read(self.leo.connection, source, self.leo.tenant, mapper, "s1")
                except segment_sync.UnknownSegmentError:
                    assert kind == "profiles"

    @rule(mended=st.booleans())
    def replay(self, *, mended: bool) -> None:
        if mended:
            # As a later version of the mapping would take them.
            self.leo.rows(
                "UPDATE ops.rejected_record SET document = (document::jsonb"
                """ || '{"inSegments": [], "transactionValue": 5}')::json RETURNING 1"""
            )
        with self.leo.reading() as (source, _):
            replay(self.leo.connection, source, self.leo.tenant)

    @rule()
    def compute(self) -> None:
        metrics.refresh(self.leo.connection, self.tenant_id)

    @rule()
    def embed(self) -> None:
        configured = environment.embeddings()
        models.ensure_default(self.leo.connection, configured, opener(configured))
        for kind in ("profile", "transaction"):
            reconcile_texts(self.leo.connection, self.tenant_id, kind)
            drain(
                lambda: connect(environment.postgres()),
                [self.tenant_id],
                kind,
                open_provider=opener(configured),
                batch_size=64,
            )

    @rule(key=st.sampled_from(PROFILES))
    def find_alike(self, key: str) -> None:
        for columns, values in (
            ("lookalike_audience (tenant_id, segment_id, profile_id, similarity, place)", "'s1', %s, 0.9, 1"),
            ("profile_cluster (tenant_id, profile_id, cluster)", "%s, 1"),
        ):
            self.tracker.execute(
                f"INSERT INTO embeddings.{columns} VALUES ('{self.tenant_id}', {values}) ON CONFLICT DO NOTHING", [key]
            )

    @rule(key=st.sampled_from(PROFILES))
    def sign_up(self, key: str) -> None:
        # Nobody can be told by an address that was never read.
        text = self.text(key)
        if self.is_known_by_address(key):
            click = self.tracker.click(ip="203.0.113.7", user_agent=text)
            self.tracker.signup(click=click, email=f" {text.upper()}@example.com")

    def is_known_by_address(self, key: str) -> bool:
        if self.leo.rows(f"SELECT 1 FROM customers.cdp_profiles WHERE profile_id = '{key}'"):
            return True
        query = (
            "SELECT 1 FROM ops.erased_address JOIN ops.address_salt USING (tenant_id)"
            f" WHERE address_hash = ops.address_hash(salt, '{self.text(key)}@example.com')"
        )
        return bool(self.leo.rows(query))

    # What people do.

    @rule(key=st.sampled_from(PROFILES))
    def erase(self, key: str) -> None:
        receipt = self.leo.erase(key)
        assert key in receipt.profile_ids
        self.asked.add(key)

    @rule(key=st.sampled_from(PROFILES))
    def erase_twice(self, key: str) -> None:
        self.leo.erase(key)
        self.asked.add(key)
        again = self.leo.erase(key)
        assert set(again.rows.values()) == {0}
        assert again.erased_before == again.profile_ids

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.asked)))
        lifted = persons.lift(self.leo.connection, self.tenant_id, [key])
        assert key in lifted
        self.asked.difference_update(lifted)

    @rule()
    def back_up(self) -> None:
        with self.warehouse.superuser() as connection:
            for table in SAVED:
                rows = f"SELECT {self.columns(connection, table)} FROM {table} WHERE tenant_id = '{self.tenant_id}'"
                with connection.cursor().copy(f"COPY ({rows}) TO STDOUT".encode()) as copy:
                    self.backup[table] = b"".join(copy)

    @precondition(lambda self: self.backup)
    @rule(tables=st.lists(st.sampled_from(SAVED), min_size=1, unique=True))
    def restore(self, tables: list[str]) -> None:
        """Rows of a backup come back past the platform, as far as they are not there."""
        with self.warehouse.superuser() as connection:
            for table in tables:
                columns = self.columns(connection, table)
                with connection.transaction():
                    connection.execute(
                        f"CREATE TEMPORARY TABLE old ON COMMIT DROP AS SELECT {columns} FROM {table} LIMIT 0"
                    )
                    with connection.cursor().copy("COPY old FROM STDIN") as copy:
                        copy.write(self.backup[table])
                    connection.execute(
                        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT * FROM old"
                        " ON CONFLICT DO NOTHING"
                    )

    def columns(self, connection: Any, table: str) -> str:
        rows = connection.execute(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [table],
        ).fetchall()
        return ", ".join(name for (name,) in rows)


@pytest.mark.usefixtures("small_batches")
def test_nothing_is_left_of_an_erased_person_in_any_order(new_leo: Callable[..., Leo], warehouse: Warehouse):
    """More and longer ones with `pytest --hypothesis-profile=deep`."""

    class Machine(Erasure):
        pass

    Machine.new_leo, Machine.warehouse = staticmethod(new_leo), warehouse
    deep = settings.get_current_profile_name() == "deep"
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=settings().max_examples if deep else 15,
            stateful_step_count=40 if deep else 20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
