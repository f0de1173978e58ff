"""Marketing campaigns: a due event becomes messages that go out once, to people who may have them.

Here belong segments, audiences, consent, templates, channels, deliveries and their effect. Profiles and orders belong
to the room `customers`, and lookalike audiences to `embeddings`.
"""
