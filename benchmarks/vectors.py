"""Profiles to embed, vectors that lie together in groups as those of texts do, and providers that are watched."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import psycopg

from benchmarks.documents import PROFILES, document
from cdp_platform.embeddings.providers import Embedded, Provider
from cdp_platform.embeddings.providers.contract import Purpose
from cdp_platform.warehouse.connection import tenant_transaction

_SEED = 7
# Vectors of one group are as alike as those of texts about the same: their cosine with its centre is about 0.94.
_GROUPS, _SPREAD = 500, 0.35

_STAGE = """
CREATE TEMPORARY TABLE stage (
    profile_id text, city text, country text, labels jsonb, segments jsonb, content jsonb, product jsonb
) ON COMMIT DROP
"""
_INSERT = """
INSERT INTO customers.cdp_profiles (
    tenant_id, profile_id, status, living_city, living_country, data_labels, segments, content_keywords,
    product_keywords, identities, visitor_ids, secondary_emails, secondary_phones, job_titles, media_channels,
    behavioral_events, campaigns, accounts, journey_maps, event_statistics, top_engaged_touchpoints, purchased_items,
    ext_data, document, document_hash)
SELECT %s, profile_id, 'active', city, country, labels, segments, content, product, '[]', '[]', '[]', '[]', '[]', '[]',
       '[]', '[]', '[]', '[]', '{}', '[]', '[]', '{}', '{}', ''
FROM stage
"""


@dataclass
class Watched:
    """A provider, with every batch that it was asked for and the seconds that it took.

    Attributes:
        dimensions: of the provider.
        max_characters: of the provider.
    """

    provider: Provider
    dimensions: int = 0
    max_characters: int = 0
    batches: list[Sequence[str]] = field(default_factory=list)
    seconds: float = 0.0

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Let the provider embed."""
        self.batches.append(texts)
        began = time.perf_counter()
        embedded = self.provider.embed(texts, purpose=purpose)
        self.seconds += time.perf_counter() - began
        return embedded


@dataclass
class Given:
    """A provider that takes no time: a text ends with the number of its vector.

    Attributes:
        vectors: float32, of length 1.
        dimensions: of the vectors.
        max_characters: no text is that long.
    """

    vectors: np.ndarray
    dimensions: int
    max_characters: int = 8_000

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """Look them up."""
        del purpose
        return Embedded(self.vectors[[int(text.rpartition(" ")[2]) for text in texts]], 0)


def grouped(count: int, dimensions: int, *, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """So many vectors of length 1 in groups, and so many others of the same groups to ask with; always the same."""
    rng = np.random.default_rng(_SEED)
    centres = _normalised(rng.standard_normal((_GROUPS, dimensions), dtype=np.float32))

    def around(number: int) -> np.ndarray:
        noise = rng.standard_normal((number, dimensions), dtype=np.float32)
        return _normalised(centres[rng.integers(_GROUPS, size=number)] + _SPREAD / dimensions**0.5 * noise)

    return around(count), around(queries)


def fill(connection: psycopg.Connection, tenant_id: str, numbers: range, *, numbered: bool = False) -> None:
    """Insert the profiles of these numbers, which enqueues them.

    Args:
        connection: of the platform's role.
        tenant_id: whose profiles.
        numbers: of the documents that `benchmarks.sync` loads.
        numbered: let each text end with its number.
    """
    with tenant_transaction(connection, tenant_id):
        connection.execute(_STAGE)
        with connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN") as copy:
            for number in numbers:
                profile = document(PROFILES, number)
                products = profile["productKeywords"] + [str(number)] * numbered
                lists = (profile["dataLabels"], profile["inSegments"], profile["contentKeywords"], products)
                encoded = (orjson.dumps(each).decode() for each in lists)
                copy.write_row((profile["_key"], profile["livingCity"], profile["livingCountry"], *encoded))
        connection.execute(_INSERT, [tenant_id])


def _normalised(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
