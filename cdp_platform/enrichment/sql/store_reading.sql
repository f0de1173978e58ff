-- No reading is compared with one of two billing cycles ago.
WITH old AS (
    DELETE FROM enrichment.account_reading WHERE account = %(account)s AND read_at < now() - interval '70 days'
)
INSERT INTO enrichment.account_reading (account, consumed, cycle) VALUES (%(account)s, %(consumed)s, %(cycle)s)
RETURNING read_at, consumed, cycle
