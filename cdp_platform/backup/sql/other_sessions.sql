-- Processes of the server itself have no role.
SELECT usename FROM pg_stat_activity
WHERE datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid() AND pid <> ALL (%(own)s)
