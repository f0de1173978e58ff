-- Record an export before it does anything. An export that is recorded already stays as it is.
INSERT INTO referrals.sheet_export
    (tenant_id, export_id, spreadsheet_id, link, snapshot_at, worksheets, rows, checksum)
VALUES (%(tenant)s, %(export)s, %(spreadsheet)s, %(link)s, now(), '{}', 0, '')
ON CONFLICT (tenant_id, export_id) DO UPDATE SET link = excluded.link
RETURNING snapshot_at
