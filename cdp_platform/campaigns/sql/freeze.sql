WITH people AS MATERIALIZED (
    SELECT DISTINCT profile_id FROM ({people}) AS segment
), {decision}, snapshot AS (
    INSERT INTO campaigns.segment_snapshot (
        tenant_id, snapshot_id, event_id, segment_id, segment_version, segment_hash, template, template_version, people,
        taken_at, holdout_share, global_holdout_share)
    SELECT %(tenant)s, %(event)s, %(event)s, %(segment)s, %(segment_version)s, %(segment_hash)s, %(template)s,
        %(template_version)s, count(*), %(moment)s, %(holdout_of_event)s, %(holdout_of_all)s
    FROM decided
), members AS (
    INSERT INTO campaigns.segment_snapshot_member (
        tenant_id, snapshot_id, member, profile_id, decision, reason, time_zone, time_zone_source)
    SELECT %(tenant)s, %(event)s, member, profile_id, CASE WHEN reason IS NULL THEN 'included' ELSE 'excluded' END, reason,
        zone, source
    FROM decided
), deliveries AS (
    INSERT INTO campaigns.delivery_log (
        tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, time_zone)
    SELECT %(tenant)s, %(event)s, d.profile_id, %(channel)s, d.address_hash,
        campaigns.message_key(s.salt, %(event)s, d.profile_id, %(channel)s, 1), d.due_at, d.zone
    FROM decided AS d JOIN ops.address_salt AS s ON s.tenant_id = %(tenant)s
    WHERE d.reason IS NULL
)
SELECT reason, count(*) FROM decided GROUP BY reason
