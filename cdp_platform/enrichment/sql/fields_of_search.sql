-- Names of the fields that came with a search's contacts, and of those that were found.
SELECT
    ARRAY(SELECT DISTINCT k.name FROM enrichment.contact AS c, jsonb_object_keys(c.given) AS k (name)
          WHERE c.tenant_id = %(tenant)s AND c.search_id = %(search)s ORDER BY 1),
    ARRAY(SELECT DISTINCT f.field FROM enrichment.contact AS c
          JOIN enrichment.contact_field AS f ON f.tenant_id = c.tenant_id AND f.contact_id = c.contact_id
          WHERE c.tenant_id = %(tenant)s AND c.search_id = %(search)s ORDER BY 1)
