"""The room of customers: LEO CDP's profiles and conversions in PostgreSQL, and what is computed from them.

`documents`, `contacts`, `profiles` and `transactions` say how a source document becomes a row. `sync`, `full_read`,
`segment_sync` and `reconcile` bring documents, `landing` writes them, and `erased_documents` leaves out those of erased
persons. `metrics` and `value` compute what customers are worth. `defs` is the thin layer for Dagster.
"""
