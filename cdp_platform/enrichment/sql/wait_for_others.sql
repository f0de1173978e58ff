-- Searches under way with nothing left to ask wait for a person, for phones, or for calls that others make.
UPDATE enrichment.search AS s SET
    status_reason = CASE
        WHEN s.held > 0 THEN format('The answer of a call was lost: %%s contacts are held. `cdp enrichment resolve` ends that.', s.held)
        WHEN s.waiting + s.original > 0 THEN 'Another search buys what is missing.'
        ELSE 'Phone numbers are awaited.' END,
    not_before = now() + make_interval(secs => %(seconds)s)
WHERE s.tenant_id = %(tenant)s AND s.status = 'enriching' AND s.not_before IS NULL
