"""Assets, checks, sensors and resources of this room, for Dagster. They call the plain modules beside this package."""
