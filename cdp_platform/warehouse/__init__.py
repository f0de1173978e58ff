"""PostgreSQL: connections, tenants, migrations, bulk load, watermarks, rejected records.

What belongs here: whatever every room needs of the warehouse. What does not: a room's own tables (their SQL lives in
the room, their migration in `migrations/`) and anything that knows Dagster or another outside system.
"""
