"""The room as Dagster sees it: assets, checks, sensors and jobs."""
