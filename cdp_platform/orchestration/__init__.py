"""The parts of Dagster that rooms share: partitions, automation, metadata, failures, resources.

What does not belong here: anything about a particular room.
"""
