-- Mark rows in which a column breaks a rule; the path names the first such column.
UPDATE {stage} AS s SET code = %(code)s, message = %(message)s, path = '$.' || CASE {column} END
WHERE s.code IS NULL AND ({broken})
