"""What this room keeps of a person: rows of each store, where {p} is the person's key and {n} a number of theirs.

``ALLOWED`` has values that the constraints of its tables ask for.
"""

ALLOWED = {
    "campaigns.campaign": {"code": "c1"},
    "campaigns.consent_management": {"state": "given"},
    "campaigns.consent_change": {"after": "given"},
    "campaigns.delivery_log": {"state": "reserved", "due_at": "2026-01-01"},
    "campaigns.delivery_outcome": {"kind": "delivered"},
    "campaigns.effect": {"holdout": "event", "verdict": "too_few"},
    "campaigns.marketing_event": {
        "event_id": "e1",
        "campaign_code": "c1",
        "type": "message",
        "status": "planned",
        "holdout_share": 0,
        "grace": "1 hour",
    },
    "campaigns.message_template": {"template": "t1", "channel_kind": "email", "state": "draft"},
    "campaigns.recipient": {"soft_bounces": []},
    "campaigns.segment": {"kind": "membership", "origin": "cdp"},
    "campaigns.segment_snapshot_member": {"decision": "included"},
    "campaigns.suppression": {"reason": "manual"},
}

STORES = {
    "campaigns.consent_management": [{"profile_id": "{p}", "channel": "email"}],
    "campaigns.consent_change": [{"profile_id": "{p}", "channel": "email"}],
    "campaigns.segment_snapshot_member": [{"profile_id": "{p}", "snapshot_id": "e1", "member": "{n}"}],
    "campaigns.delivery_log": [
        {"profile_id": "{p}", "delivery_id": "d{n}", "event_id": "e1", "channel": "email", "message_key": "key of {p}"}
    ],
}
IMPERSONAL = {
    "campaigns.campaign",
    "campaigns.delivery_outcome",
    "campaigns.effect",
    "campaigns.marketing_event",
    "campaigns.message_template",
    "campaigns.recipient",
    "campaigns.segment",
    "campaigns.segment_snapshot",
    "campaigns.suppression",
}
