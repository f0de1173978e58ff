-- Ids, channels and campaigns of their rows. An event's channel is in its channel or in its type, as its writer understood it.
UPDATE leo_row AS r
SET event_id = campaigns.as_id(coalesce(r.document ->> 'marketing_event_id', r.document ->> 'event_id'), 128),
    channel = coalesce(named.channel, typed.channel, other.channel, 'unknown'),
    campaign_code = coalesce(
        campaigns.as_id(coalesce(nullif(trim(coalesce(c.document, r.document) ->> 'campaign_code'), ''), c.document ->> 'campaign_id'), 63),
        'leo-activation'),
    remark = CASE WHEN named.channel IS NULL AND typed.channel IS NULL AND r.relation IN (
        'marketing_event', 'delivery_log', 'consent_management') THEN 'channel' END
FROM leo_row AS self
LEFT JOIN leo_channel AS named ON named.is_known AND named.spelling = coalesce(
    self.document ->> 'marketing_event_channel', self.document ->> 'event_channel', self.document ->> 'channel')
LEFT JOIN leo_channel AS typed ON typed.is_known AND typed.spelling = coalesce(
    self.document ->> 'marketing_event_type', self.document ->> 'event_type')
LEFT JOIN leo_channel AS other ON NOT other.is_known AND other.spelling = coalesce(
    self.document ->> 'marketing_event_channel', self.document ->> 'event_channel', self.document ->> 'channel')
LEFT JOIN leo_row AS c ON c.relation = 'campaign' AND c.document ->> 'campaign_id' = self.document ->> 'campaign_id'
WHERE r.ctid = self.ctid
