SELECT profile_id, channel, (document ->> 'is_allowed')::boolean, document ->> 'legal_basis', document ->> 'source',
       coalesce((document ->> 'updated_at')::timestamptz, (document ->> 'created_at')::timestamptz)
FROM leo_row WHERE relation = 'consent_management' AND code IS NULL
ORDER BY key
