"""Assets, checks and sensors of this room, for Dagster. They call the plain modules beside this package."""
