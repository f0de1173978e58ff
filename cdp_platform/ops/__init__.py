"""Schema ``ops``: the tables and rules that all rooms share.

What does not belong here: how to use PostgreSQL (`warehouse`), a room's own tables, Dagster (`orchestration`).
"""
