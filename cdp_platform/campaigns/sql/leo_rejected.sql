SELECT relation || ' ' || key, code, document, ARRAY[document ->> 'profile_id']
FROM leo_row WHERE code IS NOT NULL AND code <> 'no_place'
