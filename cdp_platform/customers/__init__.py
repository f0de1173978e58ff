"""The room of customers: LEO CDP's profiles and conversions in PostgreSQL, and what is computed from them.

`documents`, `contacts`, `profiles` and `transactions` say how a source document becomes a row; `sync` moves them;
`metrics` values customers. `assets`, `checks` and `sensors` are the thin layer that Dagster sees.
"""
