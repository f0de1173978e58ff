-- Leases of runs: the process that executes a run says every few seconds that it is alive. A run whose process is silent
-- is ended, so that it holds up no other.

CREATE TABLE ops.run_lease (
    run_id text PRIMARY KEY,
    command text NOT NULL,
    host text NOT NULL,
    space text NOT NULL,
    pid integer NOT NULL,
    process_started_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.run_lease IS 'One row per Dagster run that a process executes now. Belongs to the platform and says nothing of any tenant.';
COMMENT ON COLUMN ops.run_lease.run_id IS 'The run, as Dagster names it.';
COMMENT ON COLUMN ops.run_lease.command IS 'What executes the run, such as "cdp sync" or "dagster api".';
COMMENT ON COLUMN ops.run_lease.host IS 'Name of the machine or container, for people.';
COMMENT ON COLUMN ops.run_lease.space IS 'Where process numbers mean the same: one boot of a machine, and one container on it.';
COMMENT ON COLUMN ops.run_lease.pid IS 'Number of the process.';
COMMENT ON COLUMN ops.run_lease.process_started_at IS 'When the process started: its number may be given to another one later.';
COMMENT ON COLUMN ops.run_lease.renewed_at IS 'When the process last said that it is alive, by the clock of this server.';
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.run_lease TO cdp_platform;
