"""The plain form of profiles: which attribute, of which kind, is in which column."""

from functools import cache

from cdp_platform.customers import typed


@cache
def form() -> typed.Form:
    """Profiles as LEO CDP writes them."""
    return typed.Form(
        {
            "profile_id": ("_key", typed.KEY),
            "revision": ("_rev", typed.TEXT),
            "profile_type": ("type", typed.INT32),
            "status_code": ("status", typed.INT32),
            "root_profile_id": ("rootProfileId", typed.TEXT),
            "merge_code": ("mergeCode", typed.INT32),
            "identities": ("identities", typed.TEXTS),
            "visitor_id": ("visitorId", typed.TEXT),
            "visitor_ids": ("visitorIds", typed.TEXTS),
            "fingerprint_id": ("fingerprintId", typed.TEXT),
            "crm_ref_id": ("crmRefId", typed.TEXT),
            "primary_email_raw": ("primaryEmail", typed.TEXT),
            "secondary_emails": ("secondaryEmails", typed.ANY_TEXTS),
            "primary_phone_raw": ("primaryPhone", typed.TEXT),
            "secondary_phones": ("secondaryPhones", typed.ANY_TEXTS),
            "first_name": ("firstName", typed.TEXT),
            "middle_name": ("middleName", typed.TEXT),
            "last_name": ("lastName", typed.TEXT),
            "gender": ("gender", typed.INT32),
            "age": ("age", typed.INT32),
            "primary_nationality": ("primaryNationality", typed.TEXT),
            "living_location": ("livingLocation", typed.TEXT),
            "living_city": ("livingCity", typed.TEXT),
            "living_country": ("livingCountry", typed.TEXT),
            "living_state": ("livingState", typed.TEXT),
            "living_province": ("livingProvince", typed.TEXT),
            "living_county": ("livingCounty", typed.TEXT),
            "living_district": ("livingDistrict", typed.TEXT),
            "living_ward": ("livingWard", typed.TEXT),
            "job_titles": ("jobTitles", typed.TEXTS),
            "data_labels": ("dataLabels", typed.TEXTS),
            "content_keywords": ("contentKeywords", typed.TEXTS),
            "product_keywords": ("productKeywords", typed.TEXTS),
            "media_channels": ("mediaChannels", typed.TEXTS),
            "behavioral_events": ("behavioralEvents", typed.TEXTS),
            "segments": ("inSegments", typed.NAMED),
            "campaigns": ("inCampaigns", typed.NAMED),
            "accounts": ("inAccounts", typed.NAMED),
            "journey_maps": ("inJourneyMaps", typed.JOURNEYS),
            "event_statistics": ("eventStatistics", typed.OBJECT),
            "top_engaged_touchpoints": ("topEngagedTouchpointIds", typed.ANY_TEXTS),
            "funnel_stage": ("funnelStage", typed.TEXT),
            "last_purchase_event": ("lastPurchaseEvent", typed.OBJECT_OR_NULL),
            "purchased_items": ("purchasedItems", typed.OBJECTS),
            "total_lead_score": ("totalLeadScore", typed.NUMBER),
            "rfm_score": ("rfmScore", typed.NUMBER),
            "churn_score": ("churnScore", typed.NUMBER),
            "total_clv": ("totalCLV", typed.NUMBER),
            "total_cac": ("totalCAC", typed.NUMBER),
            "total_transaction_value": ("totalTransactionValue", typed.NUMBER),
            "receive_email": ("receiveEmail", typed.CONSENT),
            "receive_sms": ("receiveSMS", typed.CONSENT),
            "receive_web_push": ("receiveWebPush", typed.CONSENT),
            "receive_app_push": ("receiveAppPush", typed.CONSENT),
            "receive_ads": ("receiveAds", typed.CONSENT),
            "ext_data": ("extAttributes", typed.OBJECT),
            "created_at": ("createdAt", typed.MOMENT),
            "updated_at": ("updatedAt", typed.MOMENT),
            "updated_by_crm_at": ("updatedByCrmAt", typed.MOMENT),
        }
    )
