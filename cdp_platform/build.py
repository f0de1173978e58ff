"""Puts rooms and resources together."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from cdp_platform.campaigns.defs.definitions import definitions as campaigns
from cdp_platform.campaigns.defs.resources import ChannelsResource
from cdp_platform.catalog.defs.definitions import definitions as catalog
from cdp_platform.catalog.defs.resources import FeedsResource
from cdp_platform.customers.defs.definitions import definitions as customers
from cdp_platform.embeddings.defs.definitions import definitions as embeddings
from cdp_platform.embeddings.defs.resources import EmbeddingProviders
from cdp_platform.enrichment.defs.definitions import definitions as enrichment
from cdp_platform.enrichment.defs.resources import ApolloResource
from cdp_platform.health import alerts, conditions, dagster_home, retention
from cdp_platform.orchestration.alerts import alerts_sensor
from cdp_platform.orchestration.automation import Automation
from cdp_platform.orchestration.code_references import with_code_references
from cdp_platform.orchestration.lost_runs import lost_runs, moving, runs
from cdp_platform.orchestration.registry import tenant_registry
from cdp_platform.orchestration.resources import ArangoResource, SpreadsheetResource, WarehouseResource
from cdp_platform.orchestration.retention import retention_schedule
from cdp_platform.referrals.defs.definitions import definitions as referrals
from cdp_platform.referrals.defs.resources import TrackerResource


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All rooms, with resources that read their settings from the environment.

    Args:
        resources: replaces resources by name, for tests and the command line.

    Raises:
        ConfigurationError: the file that INGESTION_CONFIG_PATH names is wrong.
    """
    shared = dg.Definitions(
        assets=[runs],
        asset_checks=[moving],
        schedules=[retention_schedule(retention.kept, dagster_home.conninfo)],
        sensors=[
            tenant_registry,
            lost_runs,
            alerts_sensor(conditions.found, conditions.KINDS, alerts.tell),
            Automation(),
        ],
        resources={
            "warehouse": WarehouseResource(),
            "arango": ArangoResource(),
            "feeds": FeedsResource(),
            "spreadsheets": SpreadsheetResource(),
            "embedding_providers": EmbeddingProviders(),
            "tracker": TrackerResource(),
            "channels": ChannelsResource(),
            "apollo": ApolloResource(),
            **(resources or {}),
        },
        # Starting a process for each step would take two seconds, and the steps mostly wait for databases.
        executor=dg.in_process_executor,
    )
    return with_code_references(
        dg.Definitions.merge(shared, customers(), catalog(), embeddings(), referrals(), campaigns(), enrichment())
    )
