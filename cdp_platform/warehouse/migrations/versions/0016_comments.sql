-- What each table and column holds. Dagster's UI shows it with the assets, and so does every client of PostgreSQL.

-- Columns that mean the same wherever they stand.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT a.attrelid::regclass AS relation, a.attname AS name, said.words
        FROM (VALUES
            ('tenant_id', 'The tenant that the row belongs to.'),
            ('synced_at', 'When the platform last wrote the row.'),
            ('ingested_at', 'When the row was last written here.'),
            ('first_seen_at', 'When the row was first taken from its source.'),
            ('tombstoned_at', 'When the row left its source; NULL while it is there.'),
            ('document_hash', 'Hash of the document and of the version of its mapping: equal hashes need no write.')
        ) AS said (name, words)
        JOIN pg_attribute AS a ON a.attname = said.name AND a.attnum > 0
        JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'v', 'p')
        WHERE c.relnamespace::regnamespace::text IN ('ops', 'customers', 'catalog', 'embeddings', 'referrals')
          AND col_description(a.attrelid, a.attnum) IS NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', each.relation, each.name, each.words);
    END LOOP;
END
$$;

COMMENT ON COLUMN catalog.brand.organization_id IS 'The organization that owns the brand (URN).';
COMMENT ON COLUMN catalog.brand.brand_id IS 'URN of the brand.';
COMMENT ON COLUMN catalog.brand.name IS 'Name of the brand, as the registry writes it.';
COMMENT ON COLUMN catalog.brand.logo IS 'Address of the logo.';
COMMENT ON COLUMN catalog.brand.document IS 'The whole item of the registry.';

COMMENT ON COLUMN catalog.brand_category.organization_id IS 'The organization that owns the brand (URN).';
COMMENT ON COLUMN catalog.brand_category.brand_id IS 'URN of the brand.';
COMMENT ON COLUMN catalog.brand_category.category_id IS 'The category, as slugs from the root.';

COMMENT ON COLUMN catalog.category.organization_id IS 'The organization whose catalogue has the category (URN).';
COMMENT ON COLUMN catalog.category.category_id IS 'Slugs from the root, such as gifts/gift-cards.';
COMMENT ON COLUMN catalog.category.name IS 'Names from the root, as the feed writes them first, such as Gifts > Gift cards.';
COMMENT ON COLUMN catalog.category.parent_id IS 'The category above; NULL at the root.';

COMMENT ON COLUMN catalog.feed_round.organization_id IS 'Whose feed was read (URN); empty for a registry.';
COMMENT ON COLUMN catalog.feed_round.ingestor IS 'Name of the ingestor in ingestion.yaml.';
COMMENT ON COLUMN catalog.feed_round.generation IS 'Number of the round, counted up per ingestor and organization.';
COMMENT ON COLUMN catalog.feed_round.started_at IS 'When the reading began.';
COMMENT ON COLUMN catalog.feed_round.finished_at IS 'When the reading ended, whatever its outcome.';
COMMENT ON COLUMN catalog.feed_round.reason IS 'Why the round was blocked or failed.';
COMMENT ON COLUMN catalog.feed_round.groups IS 'Product groups in the feed.';
COMMENT ON COLUMN catalog.feed_round.products IS 'Products in the feed.';
COMMENT ON COLUMN catalog.feed_round.offers IS 'Offers of the products in the feed.';
COMMENT ON COLUMN catalog.feed_round.new IS 'Items that were not in the tables before.';
COMMENT ON COLUMN catalog.feed_round.changed IS 'Items that differ from what the tables had.';
COMMENT ON COLUMN catalog.feed_round.unchanged IS 'Items that are as the tables had them; nothing was written for them.';
COMMENT ON COLUMN catalog.feed_round.rejected IS 'Items that broke a rule and wait in ops.rejected_record.';
COMMENT ON COLUMN catalog.feed_round.rejected_by_code IS 'Number of rejected items by reason code.';
COMMENT ON COLUMN catalog.feed_round.remarks IS 'Number of items with a peculiarity that cost nothing, by name of the peculiarity.';
COMMENT ON COLUMN catalog.feed_round.shards IS 'Files of the feed that were read.';
COMMENT ON COLUMN catalog.feed_round.bytes IS 'Size of those files, in bytes.';

COMMENT ON COLUMN catalog.feed_state.ingestor IS 'Name of the ingestor in ingestion.yaml.';
COMMENT ON COLUMN catalog.feed_state.path IS 'Path or address of the file, as the index or the configuration names it.';
COMMENT ON COLUMN catalog.feed_state.etag IS 'ETag that the server sent with the file.';
COMMENT ON COLUMN catalog.feed_state.last_modified IS 'Last-Modified that the server sent, or the modification time of the file.';
COMMENT ON COLUMN catalog.feed_state.size IS 'Size of the file in bytes.';
COMMENT ON COLUMN catalog.feed_state.digest IS 'Hash of the content, in hex.';
COMMENT ON COLUMN catalog.feed_state.taken_at IS 'When the file was last taken.';

COMMENT ON COLUMN catalog.offer.organization_id IS 'The organization whose feed has the offer (URN).';
COMMENT ON COLUMN catalog.offer.product_id IS 'The product that is offered (URN).';
COMMENT ON COLUMN catalog.offer.offer_number IS 'Position of the offer in the product''s item, from 1.';
COMMENT ON COLUMN catalog.offer.currency IS 'ISO 4217 code of the price.';
COMMENT ON COLUMN catalog.offer.inventory_level IS 'Units in stock, as the offer states them.';
COMMENT ON COLUMN catalog.offer.price_valid_until IS 'Until when the price holds.';
COMMENT ON COLUMN catalog.offer.url IS 'Page where the offer can be bought.';
COMMENT ON COLUMN catalog.offer.generation IS 'The round of the feed that last changed the row.';

COMMENT ON COLUMN catalog.organization.organization_id IS 'URN of the organization.';
COMMENT ON COLUMN catalog.organization.name IS 'Name of the organization, as the registry writes it.';
COMMENT ON COLUMN catalog.organization.description IS 'What the registry says of the organization.';
COMMENT ON COLUMN catalog.organization.url IS 'Web site of the organization.';
COMMENT ON COLUMN catalog.organization.logo IS 'Address of the logo.';
COMMENT ON COLUMN catalog.organization.same_as IS 'Other addresses of the organization, such as its social media pages.';
COMMENT ON COLUMN catalog.organization.feed_url IS 'Index of the organization''s product feed.';
COMMENT ON COLUMN catalog.organization.document IS 'The whole item of the registry.';

COMMENT ON COLUMN catalog.organization_category.organization_id IS 'URN of the organization.';
COMMENT ON COLUMN catalog.organization_category.category_id IS 'The category, as slugs from the root.';

COMMENT ON COLUMN catalog.product.organization_id IS 'The organization whose feed has the product (URN).';
COMMENT ON COLUMN catalog.product.product_id IS 'URN of the product.';
COMMENT ON COLUMN catalog.product.brand_id IS 'URN of the brand.';
COMMENT ON COLUMN catalog.product.brand_name IS 'Name of the brand, as the registry writes it.';
COMMENT ON COLUMN catalog.product.sku IS 'The seller''s stock keeping unit.';
COMMENT ON COLUMN catalog.product.name IS 'Name of the product.';
COMMENT ON COLUMN catalog.product.description IS 'Description of the product, or of its group where the product has none.';
COMMENT ON COLUMN catalog.product.url IS 'Page of the product.';
COMMENT ON COLUMN catalog.product.images IS 'Addresses of its images, the main one first.';
COMMENT ON COLUMN catalog.product.categories IS 'Categories as people read them, such as Gifts > Gift cards; those of the group where the product has none.';
COMMENT ON COLUMN catalog.product.category_ids IS 'The same categories as slugs from the root.';
COMMENT ON COLUMN catalog.product.inherits_categories IS 'The product has no category of its own, and the categories are its group''s.';
COMMENT ON COLUMN catalog.product.attributes IS 'Properties such as colour and size, by name, as text.';
COMMENT ON COLUMN catalog.product.gtin IS 'Global Trade Item Number of 8, 12, 13 or 14 digits.';
COMMENT ON COLUMN catalog.product.mpn IS 'Manufacturer part number.';
COMMENT ON COLUMN catalog.product.document IS 'The whole item of the feed.';

COMMENT ON COLUMN catalog.product_group.organization_id IS 'The organization whose feed has the group (URN).';
COMMENT ON COLUMN catalog.product_group.group_id IS 'URN of the group.';
COMMENT ON COLUMN catalog.product_group.brand_id IS 'URN of the brand.';
COMMENT ON COLUMN catalog.product_group.brand_name IS 'Name of the brand, as the registry writes it.';
COMMENT ON COLUMN catalog.product_group.name IS 'Name of the group.';
COMMENT ON COLUMN catalog.product_group.description IS 'Description of the group; its variants without one have it too.';
COMMENT ON COLUMN catalog.product_group.url IS 'Page of the group.';
COMMENT ON COLUMN catalog.product_group.image IS 'Address of the main image.';
COMMENT ON COLUMN catalog.product_group.categories IS 'Categories as people read them, such as Gifts > Gift cards.';
COMMENT ON COLUMN catalog.product_group.category_ids IS 'The same categories as slugs from the root.';
COMMENT ON COLUMN catalog.product_group.varies_by IS 'Properties in which the variants differ, as the feed names them.';
COMMENT ON COLUMN catalog.product_group.media IS 'Further media of the group, as the feed has them (cmp:media).';
COMMENT ON COLUMN catalog.product_group.document IS 'The whole item of the feed, without its variants.';

COMMENT ON COLUMN customers.cdp_profiles.profile_id IS 'The _key of the profile in the CDP.';
COMMENT ON COLUMN customers.cdp_profiles.status IS 'active; suspended or archived for a closed profile.';
COMMENT ON COLUMN customers.cdp_profiles.status_code IS 'Status number of the CDP; 0 and below close the profile.';
COMMENT ON COLUMN customers.cdp_profiles.profile_type IS 'Type number of the CDP.';
COMMENT ON COLUMN customers.cdp_profiles.root_profile_id IS 'The profile that this one was merged into.';
COMMENT ON COLUMN customers.cdp_profiles.merge_code IS 'How the CDP merged the profile.';
COMMENT ON COLUMN customers.cdp_profiles.closed_at IS 'When the profile closed, by the stamps of the source.';
COMMENT ON COLUMN customers.cdp_profiles.identities IS 'All identifiers that the CDP knows the person by.';
COMMENT ON COLUMN customers.cdp_profiles.visitor_id IS 'Identifier of the web visitor.';
COMMENT ON COLUMN customers.cdp_profiles.visitor_ids IS 'All identifiers of web visitors that belong to the person.';
COMMENT ON COLUMN customers.cdp_profiles.fingerprint_id IS 'Fingerprint of the browser or device.';
COMMENT ON COLUMN customers.cdp_profiles.crm_ref_id IS 'Identifier of the person in a CRM.';
COMMENT ON COLUMN customers.cdp_profiles.primary_email_raw IS 'The primary e-mail address as the CDP has it.';
COMMENT ON COLUMN customers.cdp_profiles.secondary_emails IS 'Further e-mail addresses, normalised; unusable ones are left out.';
COMMENT ON COLUMN customers.cdp_profiles.primary_phone_raw IS 'The primary phone number as the CDP has it.';
COMMENT ON COLUMN customers.cdp_profiles.secondary_phones IS 'Further phone numbers in E.164; invalid ones are left out.';
COMMENT ON COLUMN customers.cdp_profiles.first_name IS 'First name.';
COMMENT ON COLUMN customers.cdp_profiles.middle_name IS 'Middle name.';
COMMENT ON COLUMN customers.cdp_profiles.last_name IS 'Last name.';
COMMENT ON COLUMN customers.cdp_profiles.gender IS 'Gender, from the number that the CDP has; unknown for a number that is new to the platform.';
COMMENT ON COLUMN customers.cdp_profiles.age IS 'Age in years; NULL where the CDP has 0.';
COMMENT ON COLUMN customers.cdp_profiles.primary_nationality IS 'Nationality, as the CDP has it.';
COMMENT ON COLUMN customers.cdp_profiles.living_location IS 'Where the person lives, in one text that may be an address.';
COMMENT ON COLUMN customers.cdp_profiles.living_country IS 'Country where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_state IS 'State where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_province IS 'Province where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_county IS 'County where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_city IS 'City where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_district IS 'District where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.living_ward IS 'Ward where the person lives.';
COMMENT ON COLUMN customers.cdp_profiles.job_titles IS 'Job titles, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.data_labels IS 'Labels that the CDP put on the profile, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.content_keywords IS 'Keywords of content that the person is interested in, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.product_keywords IS 'Keywords of products that the person is interested in, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.media_channels IS 'Media channels through which the person was reached, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.behavioral_events IS 'Names of the events that the person triggered, as a list of texts.';
COMMENT ON COLUMN customers.cdp_profiles.segments IS 'Segments that the person is in, as a list of {id, name}.';
COMMENT ON COLUMN customers.cdp_profiles.campaigns IS 'Campaigns that the person is in, as a list of {id, name}.';
COMMENT ON COLUMN customers.cdp_profiles.accounts IS 'Accounts that the person belongs to, as a list of {id, name}.';
COMMENT ON COLUMN customers.cdp_profiles.journey_maps IS 'Journey maps that the person is on, as a list of {id, name, funnelIndex}.';
COMMENT ON COLUMN customers.cdp_profiles.event_statistics IS 'Number of events by name of the event.';
COMMENT ON COLUMN customers.cdp_profiles.top_engaged_touchpoints IS 'The touchpoints that the person used most, each with its document from the CDP.';
COMMENT ON COLUMN customers.cdp_profiles.funnel_stage IS 'Stage of the funnel that the person is in.';
COMMENT ON COLUMN customers.cdp_profiles.last_purchase_event IS 'The last purchase, as the CDP has it.';
COMMENT ON COLUMN customers.cdp_profiles.purchased_items IS 'Items that the person bought, as the CDP has them.';
COMMENT ON COLUMN customers.cdp_profiles.total_lead_score IS 'Lead score of the CDP.';
COMMENT ON COLUMN customers.cdp_profiles.rfm_score IS 'RFM score of the CDP; the platform''s own is in another table.';
COMMENT ON COLUMN customers.cdp_profiles.churn_score IS 'Churn score of the CDP.';
COMMENT ON COLUMN customers.cdp_profiles.total_clv IS 'Customer lifetime value of the CDP, without a currency.';
COMMENT ON COLUMN customers.cdp_profiles.total_cac IS 'Customer acquisition cost of the CDP, without a currency.';
COMMENT ON COLUMN customers.cdp_profiles.total_transaction_value IS 'Sum of all transactions in the CDP, without a currency.';
COMMENT ON COLUMN customers.cdp_profiles.ext_data IS 'Further attributes of the CDP (extAttributes).';
COMMENT ON COLUMN customers.cdp_profiles.created_at IS 'When the CDP made the profile.';
COMMENT ON COLUMN customers.cdp_profiles.updated_at IS 'When the CDP last changed the profile.';
COMMENT ON COLUMN customers.cdp_profiles.updated_by_crm_at IS 'When a CRM last changed the profile.';

COMMENT ON COLUMN customers.customer_metrics.profile_id IS 'The customer''s profile.';
COMMENT ON COLUMN customers.customer_metrics.currency IS 'ISO 4217 code of the amounts in the row.';
COMMENT ON COLUMN customers.customer_metrics.last_purchase IS 'Moment of the last purchase.';
COMMENT ON COLUMN customers.customer_metrics.freq_90d IS 'Purchases (orders) in the 90 days before the refresh.';
COMMENT ON COLUMN customers.customer_metrics.avg_order_value IS 'Average amount of an order over all time, in units of currency.';
COMMENT ON COLUMN customers.customer_metrics.monetary_90d IS 'Sum of the orders in the 90 days before the refresh, in units of currency.';
COMMENT ON COLUMN customers.customer_metrics.clv_est IS 'Estimated lifetime value, in units of currency; the formula is in customers.customer_figures.';
COMMENT ON COLUMN customers.customer_metrics.experience_score IS 'Score of the customer''s experience: recency, spending and frequency; the formula is in customers.customer_figures.';
COMMENT ON COLUMN customers.customer_metrics.segment IS 'happy, first_time, target, inactive or prospective; the rules are in customers.customer_figures.';
COMMENT ON COLUMN customers.customer_metrics.segment_reason IS 'The figures that the segment follows from.';

COMMENT ON COLUMN customers.metrics_refresh.as_of IS 'The moment for which the tenant''s metrics were computed.';

COMMENT ON VIEW customers.orders IS 'One row per customer, order and currency: the sum of its open lines. A line without transactionId is an order of its own.';
COMMENT ON COLUMN customers.orders.profile_id IS 'The customer''s profile.';
COMMENT ON COLUMN customers.orders.order_id IS 'transactionId of the lines, or the line''s key where it has none.';
COMMENT ON COLUMN customers.orders.currency IS 'ISO 4217 code; NULL where the source has none.';
COMMENT ON COLUMN customers.orders.lines IS 'Lines of the order.';
COMMENT ON COLUMN customers.orders.quantity IS 'Sum of the quantities of its lines.';
COMMENT ON COLUMN customers.orders.amount IS 'Sum of the amounts of its lines, in units of currency.';
COMMENT ON COLUMN customers.orders.ordered_at IS 'Moment of the latest line.';

COMMENT ON COLUMN customers.tenant_metrics_config.currency IS 'ISO 4217 code of the amounts in the row, or * for all currencies.';
COMMENT ON COLUMN customers.tenant_metrics_config.expected_lifetime_years IS 'How long a customer is expected to stay, in years.';
COMMENT ON COLUMN customers.tenant_metrics_config.clv_happy_threshold IS 'Lifetime value from which a customer can be happy, in units of currency.';

COMMENT ON COLUMN customers.touched_customer.profile_id IS 'The customer''s profile.';

COMMENT ON COLUMN customers.transactions.profile_id IS 'The profile that the edge begins at: who bought.';
COMMENT ON COLUMN customers.transactions.product_id IS 'Key of the product that the edge ends at.';
COMMENT ON COLUMN customers.transactions.event_name IS 'Name of the conversion event (eventMetricId).';
COMMENT ON COLUMN customers.transactions.currency IS 'ISO 4217 code; NULL where the source has none.';
COMMENT ON COLUMN customers.transactions.quantity IS 'Units of the product.';
COMMENT ON COLUMN customers.transactions.event_score IS 'Score that the CDP gives the event.';
COMMENT ON COLUMN customers.transactions.total_event IS 'Number of events that the CDP counts in the edge.';
COMMENT ON COLUMN customers.transactions.segment_ids IS 'Segments that the buyer was in, as a list of keys.';
COMMENT ON COLUMN customers.transactions.asset_group_ids IS 'Asset groups of the product, as a list of keys.';
COMMENT ON COLUMN customers.transactions.touchpoint_id IS 'The touchpoint where it happened (targetMediaUnitId).';
COMMENT ON COLUMN customers.transactions.occurred_at IS 'When it happened (createdAt).';
COMMENT ON COLUMN customers.transactions.updated_at IS 'When the CDP last changed the edge.';
COMMENT ON COLUMN customers.transactions.closed_reason IS 'Why the line no longer counts: deleted in the source. NULL while it counts.';
COMMENT ON COLUMN customers.transactions.closed_at IS 'When the platform found that the line is gone.';
COMMENT ON COLUMN customers.transactions.document IS 'The whole source document.';

COMMENT ON COLUMN embeddings.embedding.kind IS 'profile, transaction, event or product.';
COMMENT ON COLUMN embeddings.embedding.entity_id IS 'Key of the row that the text is made of.';
COMMENT ON COLUMN embeddings.embedding.model_id IS 'The model that made the vector.';
COMMENT ON COLUMN embeddings.embedding.vector IS 'The vector, of length 1, in the dimensions of its model.';
COMMENT ON COLUMN embeddings.embedding.content_hash IS 'SHA-256 of the text that the vector is of.';
COMMENT ON COLUMN embeddings.embedding.embedded_at IS 'When the vector was made.';

COMMENT ON COLUMN embeddings.embedding_job.kind IS 'profile, transaction, event or product.';
COMMENT ON COLUMN embeddings.embedding_job.entity_id IS 'Key of the row that the text is made of.';
COMMENT ON COLUMN embeddings.embedding_job.status IS 'pending, processing, completed, failed (to be tried again) or dead (a person has to look).';
COMMENT ON COLUMN embeddings.embedding_job.not_before IS 'The job is not taken before this moment.';
COMMENT ON COLUMN embeddings.embedding_job.lease_until IS 'Until when the claim holds; after that another worker may take the job.';
COMMENT ON COLUMN embeddings.embedding_job.last_error IS 'Why the last attempt failed, without any of the text.';
COMMENT ON COLUMN embeddings.embedding_job.enqueued_at IS 'When the text last came into the queue.';
COMMENT ON COLUMN embeddings.embedding_job.finished_at IS 'When the job was last completed or given up.';

COMMENT ON COLUMN embeddings.embedding_model.model_id IS 'Number of the model.';
COMMENT ON COLUMN embeddings.embedding_model.provider IS 'local, openai or sentence-transformers.';
COMMENT ON COLUMN embeddings.embedding_model.name IS 'Name of the model at its provider.';
COMMENT ON COLUMN embeddings.embedding_model.dimensions IS 'Dimensions of its vectors.';
COMMENT ON COLUMN embeddings.embedding_model.state IS 'building: vectors are being made; active: serves searches; retired: its vectors may be deleted.';
COMMENT ON COLUMN embeddings.embedding_model.added_at IS 'When the model was added.';
COMMENT ON COLUMN embeddings.embedding_model.activated_at IS 'When the model began to serve searches.';
COMMENT ON COLUMN embeddings.embedding_model.retired_at IS 'When the model ceased to serve searches.';
COMMENT ON COLUMN embeddings.embedding_model.pause_reason IS 'Why nothing is sent until paused_until.';

COMMENT ON COLUMN embeddings.entity_text.kind IS 'profile, transaction, event or product.';
COMMENT ON COLUMN embeddings.entity_text.entity_id IS 'Key of the row that the text is made of.';
COMMENT ON COLUMN embeddings.entity_text.content IS 'The text that is embedded; NULL where there is nothing to embed.';

COMMENT ON COLUMN embeddings.lookalike_audience.segment_id IS 'The seed: a segment of profiles.';
COMMENT ON COLUMN embeddings.lookalike_audience.profile_id IS 'A profile outside of the segment.';
COMMENT ON COLUMN embeddings.lookalike_audience.place IS 'Rank within the audience, from 1 for the most similar.';
COMMENT ON COLUMN embeddings.lookalike_audience.computed_at IS 'When the audience was computed.';

COMMENT ON COLUMN embeddings.passage.kind IS 'profile, transaction, event or product.';
COMMENT ON COLUMN embeddings.passage.entity_id IS 'Key of the row that the text is made of.';
COMMENT ON COLUMN embeddings.passage.content IS 'The text that was embedded, at most 20,000 characters of it.';
COMMENT ON COLUMN embeddings.passage.words IS 'The words of the text, for search by words.';

COMMENT ON VIEW embeddings.product_texts IS 'One row per product: the text that is embedded.';
COMMENT ON COLUMN embeddings.product_texts.kind IS 'Always product.';
COMMENT ON COLUMN embeddings.product_texts.entity_id IS 'product_key of the product.';
COMMENT ON COLUMN embeddings.product_texts.content IS 'The text; NULL where there is nothing to embed.';

COMMENT ON COLUMN embeddings.profile_cluster.profile_id IS 'The profile.';
COMMENT ON COLUMN embeddings.profile_cluster.cluster IS 'Number of its cluster, from 1 for the largest.';
COMMENT ON COLUMN embeddings.profile_cluster.computed_at IS 'When the clusters were computed.';

COMMENT ON VIEW embeddings.profile_texts IS 'One row per profile: the text that is embedded.';
COMMENT ON COLUMN embeddings.profile_texts.kind IS 'Always profile.';
COMMENT ON COLUMN embeddings.profile_texts.entity_id IS 'Key of the profile.';
COMMENT ON COLUMN embeddings.profile_texts.content IS 'The text; NULL where there is nothing to embed.';

COMMENT ON VIEW embeddings.transaction_texts IS 'One row per conversion edge: the text that is embedded.';
COMMENT ON COLUMN embeddings.transaction_texts.kind IS 'Always transaction.';
COMMENT ON COLUMN embeddings.transaction_texts.entity_id IS 'Key of the line.';
COMMENT ON COLUMN embeddings.transaction_texts.content IS 'The text; NULL where there is nothing to embed.';

COMMENT ON COLUMN embeddings.usage.model_id IS 'The model that the texts were sent to.';
COMMENT ON COLUMN embeddings.usage.day IS 'Day in UTC.';
COMMENT ON COLUMN embeddings.usage.calls IS 'Requests.';
COMMENT ON COLUMN embeddings.usage.texts IS 'Texts in those requests.';
COMMENT ON COLUMN embeddings.usage.tokens IS 'Tokens that the provider counted, or an estimate where it does not say.';

COMMENT ON TABLE ops.alembic_version IS 'One row: the migration that the warehouse is at.';
COMMENT ON COLUMN ops.alembic_version.version_num IS 'Number of the newest migration that has run.';

COMMENT ON COLUMN ops.erased_document.source IS 'Collection or table that the document is from.';
COMMENT ON COLUMN ops.erased_document.document_key IS 'Key of the document in its source.';
COMMENT ON COLUMN ops.erased_document.erased_at IS 'When the person was erased.';

COMMENT ON COLUMN ops.reconciliation.source IS 'Collection that was compared.';
COMMENT ON COLUMN ops.reconciliation.compared_at IS 'When the comparison ended.';
COMMENT ON COLUMN ops.reconciliation.source_count IS 'Documents in the source.';
COMMENT ON COLUMN ops.reconciliation.target_checksum IS 'The same of the keys on this side.';

COMMENT ON COLUMN ops.rejected_record.source IS 'Where the document is from: a collection, or a feed of an ingestor.';
COMMENT ON COLUMN ops.rejected_record.document_key IS 'Key of the document in its source.';
COMMENT ON COLUMN ops.rejected_record.code IS 'Reason code, such as not_a_currency.';
COMMENT ON COLUMN ops.rejected_record.path IS 'JSON path of the field that broke a rule.';
COMMENT ON COLUMN ops.rejected_record.message IS 'What is wrong, in words without the data.';
COMMENT ON COLUMN ops.rejected_record.attempts IS 'How often the document was tried.';
COMMENT ON COLUMN ops.rejected_record.first_seen_at IS 'When the document was first rejected.';
COMMENT ON COLUMN ops.rejected_record.last_seen_at IS 'When the document was last rejected.';
COMMENT ON COLUMN ops.rejected_record.resolved_at IS 'When the document was taken after all, or is no longer in the source; NULL while it waits.';

COMMENT ON COLUMN ops.sync_watermark.source IS 'Collection or table of the source.';
COMMENT ON COLUMN ops.sync_watermark.document_key IS 'Key of the last document at that stamp.';
COMMENT ON COLUMN ops.sync_watermark.moved_at IS 'When the watermark last moved.';
COMMENT ON COLUMN ops.sync_watermark.source_count IS 'Documents in the source when it was last read to its end.';

COMMENT ON COLUMN ops.tenant.name IS 'Name that people call the tenant by.';
COMMENT ON COLUMN ops.tenant.status IS 'active or retired.';
COMMENT ON COLUMN ops.tenant.arango_database IS 'ArangoDB database of the tenant.';
COMMENT ON COLUMN ops.tenant.settings IS 'Settings of the tenant, such as its time zone and phone region.';
COMMENT ON COLUMN ops.tenant.created_at IS 'When the tenant was added.';
COMMENT ON COLUMN ops.tenant.retired_at IS 'When the tenant was retired.';

COMMENT ON COLUMN ops.turn.name IS 'The account and kind of call.';
COMMENT ON COLUMN ops.turn.granted IS 'Moments of the turns that were granted within the last minute.';
COMMENT ON COLUMN ops.turn.rests_until IS 'No turn is granted before this moment.';

COMMENT ON COLUMN referrals.address_salt.salt IS 'Secret key of the hash.';

COMMENT ON COLUMN referrals.campaign.campaign_id IS 'Key of the campaign in the tracker.';
COMMENT ON COLUMN referrals.campaign.name IS 'Name of the campaign.';
COMMENT ON COLUMN referrals.campaign.description IS 'What the campaign is about.';
COMMENT ON COLUMN referrals.campaign.starts_at IS 'When the campaign begins.';
COMMENT ON COLUMN referrals.campaign.is_active IS 'Whether the campaign runs.';

COMMENT ON COLUMN referrals.click_event.click_event_id IS 'Key of the click in the tracker.';
COMMENT ON COLUMN referrals.click_event.referral_link_id IS 'The link that was clicked.';
COMMENT ON COLUMN referrals.click_event.ip IS 'IP address that the click came from; NULL after erasure.';
COMMENT ON COLUMN referrals.click_event.user_agent IS 'Browser that the click came from; NULL after erasure.';
COMMENT ON COLUMN referrals.click_event.geo_country IS 'Country that the click came from.';
COMMENT ON COLUMN referrals.click_event.geo_city IS 'City that the click came from.';
COMMENT ON COLUMN referrals.click_event.geo_region IS 'Region that the click came from.';
COMMENT ON COLUMN referrals.click_event.fraud_score IS 'Score of the tracker; above 7 the click is flagged and in no figure.';

COMMENT ON COLUMN referrals.daily_metrics.referral_link_id IS 'The link.';
COMMENT ON COLUMN referrals.daily_metrics.metric_date IS 'Day in the tenant''s time zone.';
COMMENT ON COLUMN referrals.daily_metrics.total_signups IS 'Signups of the day, without flagged ones.';
COMMENT ON COLUMN referrals.daily_metrics.flagged_signups IS 'Signups with a fraud score that makes them a finding: in no other figure.';
COMMENT ON COLUMN referrals.daily_metrics.click_to_signup_rate IS 'Signups / clicks x 100, of the sums; 0 without clicks.';
COMMENT ON COLUMN referrals.daily_metrics.updated_at IS 'When a figure of this row last changed.';

COMMENT ON COLUMN referrals.erased_address.address_hash IS 'Keyed hash of the normalised address.';
COMMENT ON COLUMN referrals.erased_address.erased_at IS 'When the person was erased.';

COMMENT ON COLUMN referrals.exported_event.spreadsheet_id IS 'The spreadsheet.';
COMMENT ON COLUMN referrals.exported_event.event_type IS 'click or signup.';
COMMENT ON COLUMN referrals.exported_event.event_id IS 'Key of the event in the tracker.';
COMMENT ON COLUMN referrals.exported_event.position IS 'Place of the row among the raw data, from 1.';
COMMENT ON COLUMN referrals.exported_event.export_id IS 'The export that wrote the row.';

COMMENT ON COLUMN referrals.metrics_zone.time_zone IS 'Name in the time zone database, such as Asia/Ho_Chi_Minh.';

COMMENT ON COLUMN referrals.officer.officer_id IS 'Key of the officer in the tracker.';
COMMENT ON COLUMN referrals.officer.full_name IS 'Name of the officer.';
COMMENT ON COLUMN referrals.officer.is_active IS 'Whether the officer hands out links.';

COMMENT ON COLUMN referrals.referral_link.referral_link_id IS 'Key of the link in the tracker.';
COMMENT ON COLUMN referrals.referral_link.officer_id IS 'Who hands out the link.';
COMMENT ON COLUMN referrals.referral_link.campaign_id IS 'The campaign that the link is for.';
COMMENT ON COLUMN referrals.referral_link.full_link IS 'The link as people click it.';
COMMENT ON COLUMN referrals.referral_link.ref_code IS 'The code in the link, unique within the tenant.';
COMMENT ON COLUMN referrals.referral_link.is_active IS 'Whether the link works.';
COMMENT ON COLUMN referrals.referral_link.revoke_at IS 'When the link ceases to work.';

COMMENT ON COLUMN referrals.sheet_export.export_id IS 'Number of the export.';
COMMENT ON COLUMN referrals.sheet_export.spreadsheet_id IS 'The spreadsheet that was written.';
COMMENT ON COLUMN referrals.sheet_export.link IS 'Address of the spreadsheet.';
COMMENT ON COLUMN referrals.sheet_export.rows IS 'Rows of all its worksheets.';
COMMENT ON COLUMN referrals.sheet_export.outcome IS 'reserved (being staged), handed_over (the changing request was sent), confirmed, unchanged, failed or unknown (its answer was lost; the next export asks the spreadsheet).';
COMMENT ON COLUMN referrals.sheet_export.reason IS 'Why the export did not arrive, or is unknown.';
COMMENT ON COLUMN referrals.sheet_export.started_at IS 'When the export began.';
COMMENT ON COLUMN referrals.sheet_export.ended_at IS 'When the outcome was known.';

COMMENT ON COLUMN referrals.signup_event.signup_event_id IS 'Key of the signup in the tracker.';
COMMENT ON COLUMN referrals.signup_event.referral_link_id IS 'The link that the signup came through.';
COMMENT ON COLUMN referrals.signup_event.occurred_at IS 'When the person signed up: the day that it counts for.';
COMMENT ON COLUMN referrals.signup_event.conversion_minutes IS 'Minutes from the click to the signup.';
COMMENT ON COLUMN referrals.signup_event.email IS 'E-mail address of the person; NULL after erasure.';
COMMENT ON COLUMN referrals.signup_event.fraud_score IS 'Score of the tracker; above 7 the signup is flagged and in no figure.';
COMMENT ON COLUMN referrals.signup_event.erased_at IS 'When the signup was emptied of what it said of its person; no later writing takes that back.';

COMMENT ON COLUMN referrals.touched_quarter.starts_at IS 'Beginning of the quarter of an hour.';
