"""What this room keeps of a person: rows of each store, where {p} is the person's key and {n} a number of theirs."""

STORES = {
    "customers.cdp_profiles": [
        {
            "profile_id": "{p}",
            "first_name": "{p}",
            "primary_email": "{p}@example.com",
            "segments": [{"id": "readers"}],
        }
    ],
    "customers.segment_member": [{"profile_id": "{p}", "segment_id": "readers"}],
    "customers.transactions": [{"profile_id": "{p}", "line_id": "e1-{p}"}, {"profile_id": "{p}", "line_id": "e2-{p}"}],
    "customers.customer_metrics": [{"profile_id": "{p}"}],
    "customers.customer_value": [{"profile_id": "{p}"}],
    "customers.touched_customer": [{"profile_ids": ["{p}"]}],
    "ops.rejected_record": [
        {"source": "cdp_profile2conversion", "document_key": "e3-{p}", "profile_ids": ["{p}"], "document": {"v": "{p}"}}
    ],
}
IMPERSONAL = {
    "customers.cdp_segments",
    "customers.metrics_refresh",
    "customers.metrics_segment",
    "customers.product_name",
    "customers.tenant_metrics_config",
    "customers.value_model",
}
