"""Enrichment: paid searches become enriched contacts, and no answer is paid for twice.

Here belong searches and their contacts, payments, calls of the provider with what they cost, and its answers. Profiles
belong to the room `customers`; this room only adds what it found to them.
"""
