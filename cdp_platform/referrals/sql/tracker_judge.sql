-- The rows of which a column breaks a rule, named by the first such column.
UPDATE {stage} AS s SET code = %(code)s, message = %(message)s, path = '$.' || CASE {column} END
WHERE s.code IS NULL AND ({broken})
