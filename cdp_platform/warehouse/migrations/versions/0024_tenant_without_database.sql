COMMENT ON COLUMN ops.tenant.arango_database IS 'ArangoDB database of the tenant; empty if it has none.';
