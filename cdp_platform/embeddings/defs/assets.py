"""The assets of the room: vectors of each kind of text, and clusters and audiences made of the vectors of profiles.

They are thin: `worker`, `clusters` and `lookalikes` read and write.
"""

import base64
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from cdp_platform import settings
from cdp_platform.embeddings import clusters, coverage, indexes, lookalikes, models, worker
from cdp_platform.embeddings.defs.resources import EmbeddingProviders
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.reconcile import ReconcileResult, reconcile
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import progress
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant, partition_keys

GROUP = "embeddings"

# A run ends after this time, and the sensor asks for the next one. A tenant whose first text comes during a run waits
# no longer than this behind the backlogs of other tenants.
RUN_SECONDS = 300.0

_PER_TENANT: dict[str, Any] = {
    "key_prefix": GROUP,
    "group_name": GROUP,
    "owners": ["team:customer-data"],
    "kinds": {"postgres", "pgvector"},
    "partitions_def": tenant_partitions,
    "backfill_policy": dg.BackfillPolicy.single_run(),
}


class EmbeddingConfig(dg.Config):
    """What to embed. By default, the texts in the queue."""

    reconcile: bool = Field(
        False,
        description="First compare all texts with their vectors, and enqueue texts whose vector is missing or stale.",
    )


def _embed(
    kind: Kind,
    context: dg.AssetExecutionContext,
    config: EmbeddingConfig,
    warehouse: WarehouseResource,
    providers: EmbeddingProviders,
) -> dg.MaterializeResult:
    chosen = settings.embeddings()
    reconciled: dict[str, ReconcileResult] = {}
    with warehouse.connect() as connection:
        models.ensure_default(connection, chosen, providers.open)
        active = {tenant.tenant_id for tenant in tenants.registered(connection) if tenant.active}
        served = [tenant_id for tenant_id in partition_keys(context) if tenant_id in active]
        if config.reconcile:
            for tenant_id in served:
                reconciled[tenant_id] = reconcile(connection, tenant_id, kind)
    watches = {tenant_id: progress.of(tenant_id, f"{kind} embeddings") for tenant_id in served}
    done = dict.fromkeys(served, 0)

    def watch(tenant_id: str, texts: int) -> None:
        done[tenant_id] += texts
        watches[tenant_id](done[tenant_id], None)

    began = time.monotonic()
    outcomes = worker.drain(
        warehouse.connect,
        served,
        kind,
        open_provider=providers.open,
        batch_size=chosen.embed_batch_size,
        budget=chosen.embed_daily_budget,
        seconds=RUN_SECONDS,
        progress=watch,
    )
    with warehouse.connect() as connection:
        for model in models.live(connection):
            indexes.finish_load(connection, kind, model.model_id)
    # Tenants take turns, so a tenant has no time of its own.
    seconds = round(time.monotonic() - began, 3)

    def tell(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        outcome = outcomes[tenant.tenant_id]
        if outcome.error is not None:
            raise outcome.error
        model = models.active(connection)
        compared = reconciled.get(tenant.tenant_id)
        return {
            "seconds": seconds,
            "dagster/partition_row_count": coverage.vectors(connection, tenant.tenant_id, kind, model.model_id),
            "model": model.label,
            "embedded": outcome.embedded,
            "unchanged": outcome.unchanged,
            "without_text": outcome.emptied,
            "failed": outcome.failed,
            "dead": outcome.dead,
            "waiting": outcome.waiting,
            "calls": outcome.calls,
            "tokens": outcome.tokens,
            "cost_usd": float(outcome.cost),
            **({"note": outcome.note} if outcome.note else {}),
            **({"reconciled_enqueued": compared.enqueued, "reconciled_removed": compared.removed} if compared else {}),
        }

    return for_each_tenant(context, warehouse, tell)


def _embeddings_of(kind: Kind, source: dg.AssetKey | dg.AssetDep | None, description: str) -> dg.AssetsDefinition:
    # Without a retry policy: texts that were not embedded are in the queue, and the sensor asks for the next run.
    @dg.asset(
        **_PER_TENANT,
        name=f"{'marketing_event' if kind == 'event' else kind}_embeddings",
        deps=[source] if source else [],
        metadata=table("embeddings.embedding"),
        description=description,
    )
    def embeddings(
        context: dg.AssetExecutionContext,
        config: EmbeddingConfig,
        warehouse: WarehouseResource,
        embedding_providers: EmbeddingProviders,
    ) -> dg.MaterializeResult:
        return _embed(kind, context, config, warehouse, embedding_providers)

    return embeddings


EMBEDDINGS: dict[Kind, dg.AssetsDefinition] = {
    "profile": _embeddings_of(
        "profile",
        dg.AssetKey(["customers", "cdp_profiles"]),
        "One vector per open profile and live model, of where the person lives, works and is interested in, without "
        "names and contacts. Follows every change of the text by the queue `embeddings.text_batch`.",
    ),
    "transaction": _embeddings_of(
        "transaction",
        dg.AssetKey(["customers", "transactions"]),
        "One vector per conversion edge and live model, of the event, its amount, its groups and segments. "
        "Follows every change of the text by the queue.",
    ),
    "event": _embeddings_of(
        "event",
        None,
        "One vector per marketing event and live model, of its name and description. Follows every change of the text "
        "by the queue.",
    ),
    "product": _embeddings_of(
        "product",
        # Its partitions are ingestors, of which a tenant can have several.
        dg.AssetDep(dg.AssetKey(["catalog", "product_feed"]), partition_mapping=dg.AllPartitionMapping()),
        "One vector per product in the catalogue and live model, of its name, description, brand, categories, "
        "attributes and stock. Follows every change of the text by the queue.",
    ),
}


class AudienceConfig(dg.Config):
    """The size of audiences."""

    size: int = Field(1_000, description="Greatest number of people in the audience of a segment.")


_OF_PROFILE_VECTORS = [EMBEDDINGS["profile"]]


@dg.asset(
    **_PER_TENANT,
    deps=_OF_PROFILE_VECTORS,
    retry_policy=IO_RETRIES,
    metadata=table("embeddings.profile_cluster"),
)
def profile_clusters(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per profile that has a vector: the cluster of similar profiles that it belongs to.

    The number of clusters is the one that separates the profiles best, by silhouette; one if none separates them.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        found = clusters.cluster_profiles(connection, tenant.tenant_id, models.active(connection))
        rows = [
            f"| {cluster} | {size:,} | {', '.join(found.terms.get(cluster, []))} |"
            for cluster, size in found.sizes.items()
        ]
        picture = base64.b64encode(found.picture).decode() if found.picture else None
        return {
            "dagster/partition_row_count": sum(found.sizes.values()),
            "clusters": len(found.sizes),
            "written": found.written,
            "note": found.note,
            "what_sets_them_apart": dg.MetadataValue.md(
                "\n".join(["| cluster | profiles | terms |", "|---:|---:|---|", *rows])
            ),
            "silhouettes": dg.MetadataValue.json({str(k): round(each, 3) for k, each in found.silhouettes.items()}),
            **({"picture": dg.MetadataValue.md(f"![Clusters](data:image/png;base64,{picture})")} if picture else {}),
        }

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **_PER_TENANT,
    deps=_OF_PROFILE_VECTORS,
    retry_policy=IO_RETRIES,
    metadata=table("embeddings.lookalike_audience"),
)
def lookalike_audiences(
    context: dg.AssetExecutionContext, config: AudienceConfig, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """One row per seed segment and profile outside of it that is like its members.

    Seeds are the segments with at least five people and at most half of all. Profiles are compared with the centroids
    of the members, and the least similarity follows from that of the members.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        model = models.active(connection)
        audiences = lookalikes.refresh_audiences(connection, tenant.tenant_id, model, size=config.size)
        rows = [
            f"| {each.segment_id} | {each.members:,} | {each.centroids} | "
            f"{'' if each.floor is None else f'{each.floor:.2f}'} | {each.size:,} | {each.note or ''} |"
            for each in audiences
        ]
        return {
            "dagster/partition_row_count": sum(each.size for each in audiences),
            "segments": len(audiences),
            "written": sum(each.written for each in audiences),
            "audiences": dg.MetadataValue.md(
                "\n".join(
                    [
                        "| seed segment | members | centroids | floor | audience | note |",
                        "|---|--:|--:|--:|--:|---|",
                        *rows,
                    ]
                )
                if rows
                else "No segment has at least five people and at most half of all."
            ),
        }

    return for_each_tenant(context, warehouse, work)
