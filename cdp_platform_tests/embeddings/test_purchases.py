"""Searches for purchases of the demo find those that its generator made."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.types.json import Jsonb

from cdp_platform.embeddings import models, search, worker
from cdp_platform.embeddings.providers import opener
from cdp_platform.ops import tenants
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Server, postgres_settings
from cdp_sandbox.demo import retail
from cdp_sandbox.demo.markets import MARKETS
from cdp_sandbox.demo.model import CONVERSIONS, HARBOUR, PRODUCTS, SAIGON, DemoTenant, Document

SETTINGS = EmbeddingSettings(embedding_provider="local", embed_model_id="", embed_daily_budget=None)
FOUND = 10

_LINES = """
INSERT INTO customers.transactions SELECT r.* FROM jsonb_array_elements(%s) AS e
CROSS JOIN LATERAL jsonb_populate_record(NULL::customers.transactions, jsonb_build_object(
    'tenant_id', %s::text, 'line_id', e ->> '_key', 'order_id', nullif(e ->> 'transactionId', ''),
    'profile_id', split_part(e ->> '_from', '/', 2), 'product_id', split_part(e ->> '_to', '/', 2),
    'event_name', e -> 'eventMetricId', 'amount', e -> 'transactionValue', 'currency', e -> 'currencyCode',
    'quantity', e -> 'quantity', 'total_event', e -> 'totalEvent', 'segment_ids', e -> 'segmentIds',
    'asset_group_ids', e -> 'assetGroupIds', 'occurred_at', e -> 'createdAt', 'document', e, 'document_hash', '',
    'synced_at', now())) AS r
"""
_NAMES = """
INSERT INTO customers.product_name (tenant_id, product_id, name, keywords)
SELECT %s, e ->> '_key', e ->> 'title', ARRAY(SELECT jsonb_array_elements_text(e -> 'keywords'))
FROM jsonb_array_elements(%s) AS e
"""


@dataclass(frozen=True)
class Line:
    """One line of a purchase: its document, and the product."""

    edge: Document
    title: str
    keyword: str


@dataclass(frozen=True)
class Question:
    """What a person types, and which lines are right."""

    tenant: DemoTenant
    query: str
    right: Callable[[Line], bool]


def _titled(tenant: DemoTenant, query: str, title: str) -> Question:
    return Question(tenant, query, lambda line: line.title == title)


def _about(tenant: DemoTenant, query: str, keyword: str) -> Question:
    return Question(tenant, query, lambda line: line.keyword == keyword)


QUESTIONS = [
    _titled(HARBOUR, "waxed rain jacket", "Waxed rain jacket"),
    _titled(HARBOUR, "two pairs of wool socks", "Wool socks, two pairs"),
    _titled(HARBOUR, "smoked salmon", "Smoked salmon gift box"),
    _titled(HARBOUR, "lamp for the desk", "Brass desk lamp"),
    _titled(HARBOUR, "a tent for two people", "Two-person tent"),
    _titled(HARBOUR, "headphones that cancel noise", "Noise-cancelling headphones"),
    _titled(HARBOUR, "books for the beach", "Beach paperback bundle"),
    _titled(HARBOUR, "bed linen", "Linen bed set"),
    _about(HARBOUR, "who bought coffee", "coffee"),
    _about(HARBOUR, "equipment for sailing", "sailing"),
    _about(HARBOUR, "cup of tea", "tea"),
    _about(HARBOUR, "shoes", "shoes"),
    Question(HARBOUR, "paid in VND", lambda line: line.edge["currencyCode"] == "VND"),
    Question(HARBOUR, "booking", lambda line: line.edge["eventMetricId"] == "booking"),
    Question(
        HARBOUR,
        "first purchase of a fitness watch",
        lambda line: line.title == "Fitness watch" and line.edge["eventMetricId"] == "first-purchase",
    ),
    Question(
        HARBOUR,
        "grocery shopping in October 2026: salt caramels",
        lambda line: line.title == "Sea salt caramels" and line.edge["createdAt"].startswith("2026-10"),
    ),
    _about(SAIGON, "ca phe", "coffee"),
    _titled(SAIGON, "nước mắm", "Nước mắm nhĩ 40 độ"),
    _titled(SAIGON, "tai nghe khong day", "Tai nghe không dây Gió"),
    _about(SAIGON, "running", "running"),
]


class Shops:
    """The purchases of the demo's shops with their vectors."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.lines: dict[str, dict[str, Line]] = {}
        for tenant in (HARBOUR, SAIGON):
            made = retail.collections(tenant, "small")
            goods = {good.title: good for good in MARKETS[tenant.id].goods}
            titles = {product["_key"]: product["title"] for product in made[PRODUCTS]}
            edges = [edge for edge in made[CONVERSIONS] if isinstance(edge["transactionValue"], int | float)]
            self.lines[tenant.id] = {
                edge["_key"]: Line(edge, title, goods[title].keyword)
                for edge in edges
                for title in [titles[edge["_to"].partition("/")[2]]]
            }
            tenants.add(connection, tenant.id, arango_database=tenant.database)
            with tenant_transaction(connection, tenant.id):
                connection.execute(_NAMES, [tenant.id, Jsonb(made[PRODUCTS])])
                connection.execute(_LINES, [Jsonb(edges), tenant.id])

    def ask(self, question: Question) -> tuple[float, float]:
        """Recall among the first ten, where there are more right lines than ten of ten; and 1 / rank of the first."""
        lines = self.lines[question.tenant.id]
        right = {key for key, line in lines.items() if question.right(line)}
        hits = search.find(
            self.connection, opener(SETTINGS), question.tenant.id, "transaction", question.query, k=FOUND
        )
        places = [hit.rank for hit in hits if hit.entity_id in right]
        return len(places) / min(FOUND, len(right)), 1 / min(places, default=float("inf"))


@pytest.fixture(scope="module")
def shops(server: Server, _migrated_template: str) -> Iterator[Shops]:
    name = f"{_migrated_template}_purchases"
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated_template} OWNER test_owner")
    settings = postgres_settings(server, name)
    with connect(settings) as connection:
        models.ensure_default(connection, SETTINGS, opener(SETTINGS))
        shops = Shops(connection)
        worker.drain(
            lambda: connect(settings), list(shops.lines), "transaction", open_provider=opener(SETTINGS), batch_size=64
        )
        yield shops
    with server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_searches_find_the_purchases_that_were_made(shops: Shops):
    found = [shops.ask(question) for question in QUESTIONS]
    recall, rank = (sum(column) / len(found) for column in zip(*found, strict=True))
    each = {question.query: figures for question, figures in zip(QUESTIONS, found, strict=True)}
    assert recall >= 0.9, each
    assert rank >= 0.9, each


def test_no_word_of_the_index_is_a_key(shops: Shops):
    for tenant_id, lines in shops.lines.items():
        with tenant_transaction(shops.connection, tenant_id):
            found = shops.connection.execute(
                "SELECT DISTINCT w.lexeme FROM embeddings.passage AS p, unnest(p.words) AS w"
                " WHERE p.kind = 'transaction'"
            ).fetchall()
        words = {word for (word,) in found}
        assert words
        keys = {key for line in lines.values() for key in (line.edge["_key"], *line.edge["_to"].split("/"))}
        assert not words & {key.lower() for key in keys}
