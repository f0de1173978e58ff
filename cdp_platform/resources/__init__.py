"""Clients of the outside systems, one file each: how to reach it, how to read it, what its errors mean.

What does not belong here: what the data means (the rooms) and Dagster (`build` hands these out as resources).
"""
