"""Schema ``ops``: the tables and rules that all rooms share.

Tenants, watermarks, rejected documents, erasure, locks, the brake on removals, turns at outside systems, and leases of
runs. What does not belong here: how to use PostgreSQL (`warehouse`), a room's own tables, Dagster (`orchestration`).
"""
