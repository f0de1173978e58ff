"""A customer data platform on Dagster.

Rooms (`customers`, and those to come) hold everything about one data subject; the word is the same for the room,
its PostgreSQL schema and its asset group. README.md says how to run it, CONTRIBUTING.md how to add to it.
"""
