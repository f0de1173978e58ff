"""What the shared tables keep of a person that is no room's to declare: nothing but random keys and hashes."""

IMPERSONAL = {
    "ops.address_salt",
    "ops.erased_address",
    "ops.erased_document",
    "ops.person_store",
    "ops.reconciliation",
    "ops.effect_move",
    "ops.gate",
    "ops.gate_window",
    "ops.gate_allowance",
    "ops.run_lease",
    "ops.alert",
    "ops.alert_message",
    "ops.source_look",
    "ops.sync_watermark",
    "ops.tenant",
}
