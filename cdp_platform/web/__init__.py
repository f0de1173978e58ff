"""The web app of `cdp serve`: pages that links in messages lead to, and addresses that providers report to.

The rules are in the rooms; here is what HTTP asks for. Each module makes the routes of one kind of caller, and
`cdp serve` lists those that are configured.
"""
