"""The queue of runs, as dagster.yaml names it."""

import dagster as dg

# Runs with this tag count for the limit in dagster.yaml.
QUEUED = {"cdp/queued": "true"}


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's own queue, which marks the runs that pass through it.

    Dagster's limit of runs at once counts whatever is in progress, also runs that a command executes in its own process
    and that no queue has launched: four commands would keep the daemon from launching anything. Its limit for a tag
    counts only runs that have the tag.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Mark the run and queue it."""
        self._instance.add_run_tags(context.dagster_run.run_id, QUEUED)
        return super().submit_run(context)
