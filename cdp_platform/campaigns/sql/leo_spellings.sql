SELECT DISTINCT spelling
FROM leo_row, unnest(ARRAY[document ->> 'marketing_event_channel', document ->> 'event_channel', document ->> 'channel',
    document ->> 'marketing_event_type', document ->> 'event_type']) AS spelling
WHERE spelling <> ''
