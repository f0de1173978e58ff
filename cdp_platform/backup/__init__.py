"""Backup of the warehouse and of Dagster's database, and their restore.

A backup is a folder: a dump of each database, made by PostgreSQL's own `pg_dump`, and a manifest that is written last.
What a dump does not hold is taken up by the restore: erasures since the backup, and effects that may have been done
since.
"""
