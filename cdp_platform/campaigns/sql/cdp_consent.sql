SELECT receive_email, receive_sms FROM customers.cdp_profiles WHERE tenant_id = %(tenant)s AND profile_id = %(profile)s
