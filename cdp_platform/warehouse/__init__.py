"""PostgreSQL: connections, the tenant they act for, migrations, bulk load, SQL files.

What belongs here: how to use PostgreSQL, whatever the data is about. What does not: tables that all rooms share
(`ops`), a room's own tables (their SQL lies in the room, their migration in `migrations/`), Dagster and other outside
systems.
"""
