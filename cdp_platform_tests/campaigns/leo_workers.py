"""A database of the LEO data workers, in either shape: the columns of `sql-scripts/schema.sql` that an import reads."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

TENANT = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

_SHARED = """
CREATE TABLE tenant (tenant_id uuid PRIMARY KEY, tenant_name text NOT NULL);
CREATE TABLE campaign (tenant_id uuid, campaign_id text, campaign_code text NOT NULL, campaign_name text NOT NULL,
    objective text, status text DEFAULT 'active', start_at timestamptz, end_at timestamptz, updated_at timestamptz,
    PRIMARY KEY (tenant_id, campaign_id));
CREATE TABLE segment_snapshot (tenant_id uuid, snapshot_id text, segment_name text NOT NULL, segment_version text,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, snapshot_id));
CREATE TABLE segment_snapshot_member (tenant_id uuid, snapshot_id text, profile_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, snapshot_id, profile_id));
CREATE TABLE consent_management (consent_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, profile_id text,
    channel text, is_allowed boolean NOT NULL DEFAULT false, source text, legal_basis text,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, profile_id, channel));
CREATE TABLE message_templates (template_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid, channel text,
    template_name text, subject_template text, body_template text, template_engine text DEFAULT 'jinja2',
    status text DEFAULT 'draft', version int DEFAULT 1, updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, channel, template_name, version));
CREATE TABLE activation_outcomes (outcome_id bigserial PRIMARY KEY, tenant_id uuid, delivery_id bigint, profile_id text,
    outcome_type text, occurred_at timestamptz);
"""
# Of April 2026.
_NEWER = """
CREATE TABLE cdp_profiles (tenant_id uuid, profile_id text PRIMARY KEY);
CREATE TABLE marketing_event (tenant_id uuid, marketing_event_id text, campaign_id text,
    marketing_event_name text NOT NULL, marketing_event_type text NOT NULL, marketing_event_channel text NOT NULL,
    start_at timestamptz NOT NULL, end_at timestamptz NOT NULL, status text NOT NULL DEFAULT 'planned', embedding text,
    PRIMARY KEY (tenant_id, marketing_event_id)) PARTITION BY HASH (tenant_id);
CREATE TABLE marketing_event_p0 PARTITION OF marketing_event FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE delivery_log (tenant_id uuid, delivery_id bigserial PRIMARY KEY, campaign_id text,
    marketing_event_id text NOT NULL, profile_id text NOT NULL, channel text NOT NULL, delivery_status text NOT NULL,
    provider_response jsonb, sent_at timestamptz, created_at timestamptz NOT NULL DEFAULT now());
"""
# Of December 2025 and January 2026.
_OLDER = """
CREATE TABLE cdp_profiles (tenant_id uuid, profile_id text PRIMARY KEY, ext_id text);
CREATE TABLE marketing_event (tenant_id uuid, event_id text, event_name text NOT NULL, event_description text,
    event_type text NOT NULL, event_channel text NOT NULL, start_at timestamptz NOT NULL, end_at timestamptz NOT NULL,
    timezone text DEFAULT 'UTC', campaign_code text, status text NOT NULL DEFAULT 'planned', embedding text,
    PRIMARY KEY (tenant_id, event_id)) PARTITION BY HASH (tenant_id);
CREATE TABLE marketing_event_p0 PARTITION OF marketing_event FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE delivery_log (tenant_id uuid, delivery_id bigserial PRIMARY KEY, campaign_id text, event_id text NOT NULL,
    profile_id text NOT NULL, channel text NOT NULL, delivery_status text NOT NULL, provider_response jsonb,
    sent_at timestamptz, created_at timestamptz NOT NULL DEFAULT now());
"""


class LeoWorkers:
    """Their database, with one tenant."""

    def __init__(self, connection: psycopg.Connection, url: str, *, older: bool = False) -> None:
        self.connection, self.url = connection, url
        connection.execute(sql.SQL(_SHARED + (_OLDER if older else _NEWER)))
        self.add("tenant", tenant_name="LEO")

    def add(self, table: str, **columns: Any) -> None:
        """A row of the tenant."""
        given = {"tenant_id": TENANT} | {
            name: Jsonb(value) if isinstance(value, dict) else value for name, value in columns.items()
        }
        self.connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, given)),
                sql.SQL(", ").join(sql.Placeholder() * len(given)),
            ),
            list(given.values()),
        )
