"""What Dagster knows of this room: assets, checks, sensors. It calls the plain modules beside it."""
