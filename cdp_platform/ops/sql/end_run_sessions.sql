-- Waits until they are gone, and their locks with them. A role may end sessions of its own.
SELECT pg_terminate_backend(pid, 5000)
FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
    AND starts_with(application_name, %s)
