"""What rooms share of Dagster: partitions, automation, metadata, failures, resources.

What does not belong here: anything about a particular room.
"""
