-- Whether an index keeps each key from standing twice, and whether a key is empty.
SELECT EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = %(table)s::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
      AND ARRAY['tenant_id', %(key)s] = ARRAY(
          SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
), EXISTS (SELECT FROM {table} WHERE tenant_id = %(tenant)s AND {key} = '')
