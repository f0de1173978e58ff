"""Names of the room's jobs, for those who start them or wait for them."""

SYNC = "customers_sync"
RECONCILE = "customers_reconcile"
