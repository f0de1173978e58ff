"""Schema ``ops``: the tables and rules that all rooms share.

Tenants, watermarks, rejected documents, erasure, locks, the brake on removals, leases of work and of runs, gates of
outside accounts, spend, and effects. What does not belong here: how to use PostgreSQL (`warehouse`), a room's own
tables, Dagster (`orchestration`).
"""
