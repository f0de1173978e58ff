"""What this room keeps of a person: rows of each store, where {p} is the person's key and {n} a number of theirs."""

BEFORE = {
    "referrals.officer": [{"officer_id": "o1"}],
    "referrals.campaign": [{"campaign_id": "c1"}],
    "referrals.referral_link": [{"referral_link_id": "l1", "officer_id": "o1", "campaign_id": "c1"}],
}
STORES = {
    "referrals.signup_event": [
        {"signup_event_id": "s{n}", "click_event_id": "k{n}", "referral_link_id": "l1", "email": " {p}@Example.com"}
    ],
    "referrals.click_event": [{"click_event_id": "k{n}", "referral_link_id": "l1", "user_agent": "{p}'s browser"}],
}
IMPERSONAL = {
    "referrals.campaign",
    "referrals.daily_metrics",
    "referrals.exported_event",
    "referrals.metrics_zone",
    "referrals.officer",
    "referrals.referral_link",
    "referrals.sheet_export",
    "referrals.touched_quarter",
}
