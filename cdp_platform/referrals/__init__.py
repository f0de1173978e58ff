"""Referrals: clicks and signups through the links of officers and campaigns, and the worksheets that show them."""
