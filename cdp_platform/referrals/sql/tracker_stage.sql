-- code, path and message say why a row is rejected.
CREATE TEMPORARY TABLE {stage} ({columns}, erased_at timestamptz, code text, path text, message text) ON COMMIT DROP
