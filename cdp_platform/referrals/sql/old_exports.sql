-- Exports that ended, that no event in a spreadsheet came with, and that a later one has taken the place of: sensors and people
-- look at the last export, and at the last one with raw data.
SELECT e.ctid FROM referrals.sheet_export AS e
WHERE e.tenant_id = %(tenant)s AND e.ended_at < %(until)s AND e.state IN ('confirmed', 'unchanged', 'failed')
  AND NOT EXISTS (SELECT FROM referrals.exported_event AS x WHERE x.tenant_id = e.tenant_id AND x.export_id = e.export_id)
  AND EXISTS (
      SELECT FROM referrals.sheet_export AS later
      WHERE later.tenant_id = e.tenant_id AND later.spreadsheet_id = e.spreadsheet_id AND later.started_at > e.started_at
        AND later.state IN ('confirmed', 'unchanged')
        AND (jsonb_exists(later.worksheets, 'Tracker_Raw_Data') OR NOT jsonb_exists(e.worksheets, 'Tracker_Raw_Data')))
