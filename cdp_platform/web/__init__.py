"""The web app of `cdp serve`: pages that links in messages lead to, and addresses that providers report to.

The rules are in the rooms; here is what HTTP asks for. Another room adds its routes in a module of its own, and
`app.app` lists them.
"""
