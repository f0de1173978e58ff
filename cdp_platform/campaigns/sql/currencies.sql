-- Currencies that the tenant's customers bought in; XXX is none.
SELECT DISTINCT currency FROM customers.customer_metrics WHERE tenant_id = %(tenant)s AND currency <> 'XXX' ORDER BY 1
