"""What this room keeps of a person: rows of each store, where {p} is the person's key and {n} a number of theirs.

``ALLOWED`` has values that the constraints of its tables ask for.
"""

_SEARCH = "00000000-0000-4000-8000-000000000000"
_CALL = "00000000-0000-4000-8000-00000000000{n}"
_HASH = "\\x0{n}"

ALLOWED = {
    "enrichment.search": {"status": "preview"},
    "enrichment.contact": {"outcome": "unusable", "question": None, "question_hash": None},
    "enrichment.provider_call": {"state": "reserved", "phones_state": "none"},
    "enrichment.answer": {"state": "asked", "fields": None, "answered_at": None, "expires_at": None},
    "enrichment.payment_event": {"outcome": "noted"},
}

BEFORE = {
    "enrichment.search": [{"search_id": _SEARCH, "status": "preview"}],
    "enrichment.provider_call": [
        {"call_id": _CALL.replace("{n}", number), "search_id": _SEARCH, "state": "reserved", "phones_state": "none"}
        for number in "12"
    ],
    "enrichment.call_question": [{"call_id": _CALL, "place": 1, "question_hash": _HASH}],
}
STORES = {
    "enrichment.answer": [
        {
            "question_hash": _HASH,
            "call_id": _CALL,
            "state": "match",
            "fields": {"title": {"value": "{p}"}},
            "addresses": ["{p}@example.com"],
            "answered_at": "2026-01-01",
            "expires_at": "2026-01-01",
        }
    ],
    "enrichment.contact": [
        {
            "contact_id": "{n}",
            "search_id": _SEARCH,
            "line": "{n}",
            "given": {"title": "{p}"},
            "question": {"email": "{p}@example.com"},
            "question_hash": _HASH,
            "email": "{p}@example.com",
            "outcome": "waiting",
        }
    ],
    "enrichment.contact_field": [{"contact_id": "{n}", "field": "title", "value": "{p}"}],
    "enrichment.phone_delivery": [{"call_id": _CALL, "payload": {"title": "{p}"}}],
}
IMPERSONAL = {
    "enrichment.account_reading",
    "enrichment.call_question",
    "enrichment.payment_event",
    "enrichment.provider_call",
    "enrichment.search",
    "enrichment.spend",
}
