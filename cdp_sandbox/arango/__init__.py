"""Stand-in for ArangoDB 3.11: its HTTP API, its document store, and its query language."""
