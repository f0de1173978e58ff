-- The ledger of exports has the states of all effects, and no export moves backwards. Rows keep their state: one that was handed
-- over is still resolved by asking the spreadsheet.

-- The function names the column and is made again below.
DROP FUNCTION referrals.waiting();
ALTER TABLE referrals.sheet_export DROP CONSTRAINT sheet_export_outcome_check;
ALTER TABLE referrals.sheet_export RENAME COLUMN outcome TO state;
ALTER TABLE referrals.sheet_export
    ALTER COLUMN state TYPE ops.effect_state,
    ALTER COLUMN state SET DEFAULT 'reserved';
COMMENT ON COLUMN referrals.sheet_export.state IS 'How far the export is: reserved (being staged), handed_over (the changing request was sent), confirmed, unchanged, failed or unknown.';
COMMENT ON COLUMN referrals.sheet_export.ended_at IS 'When it was known how the export ended.';
SELECT ops.guard_effects('referrals.sheet_export');

-- Bodies that are parsed as they are stored keep what this path finds.
SET LOCAL search_path = pg_catalog, pg_temp;

-- What a sensor has to know before it acts for a tenant: quarters of an hour that events touched, and whether events came since
-- the last export of raw data. Times, no content.
CREATE FUNCTION referrals.waiting()
RETURNS TABLE (tenant_id pg_catalog.text, touched pg_catalog.timestamptz[], new_events boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT t.tenant_id,
           ARRAY(SELECT DISTINCT q.starts_at FROM referrals.touched_quarter AS q WHERE q.tenant_id = t.tenant_id),
           EXISTS (SELECT FROM referrals.click_event AS c WHERE c.tenant_id = t.tenant_id AND c.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.signup_event AS s WHERE s.tenant_id = t.tenant_id AND s.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.exported_event AS x WHERE x.tenant_id = t.tenant_id AND x.stale)
    FROM ops.tenant AS t
    CROSS JOIN LATERAL (
        -- Five minutes less: an event may be committed later than it was written.
        SELECT coalesce(pg_catalog.max(e.snapshot_at) - interval '5 minutes', '-infinity') AS seen
        FROM referrals.sheet_export AS e
        WHERE e.tenant_id = t.tenant_id AND e.state IN ('confirmed', 'unchanged')
          AND pg_catalog.jsonb_exists(e.worksheets, 'Tracker_Raw_Data')
    ) AS last
    WHERE t.status = 'active';
END;
REVOKE EXECUTE ON FUNCTION referrals.waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION referrals.waiting TO cdp_platform;

RESET search_path;
