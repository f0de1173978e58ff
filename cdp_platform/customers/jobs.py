"""Names of the room's jobs, for code that starts them or waits for them."""

SYNC = "customers_sync"
RECONCILE = "customers_reconcile"
