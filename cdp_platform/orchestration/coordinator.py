"""The queue of runs that dagster.yaml configures."""

import dagster as dg

# The limit of runs in dagster.yaml counts runs with this tag.
QUEUED = {"cdp/queued": "true"}


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's own queue, which tags the runs that pass through it.

    Dagster's general limit counts every run in progress, also runs that a command executes in its own process: four
    commands would stop the daemon from launching anything. Its limit for a tag counts only runs that have the tag.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag the run and queue it."""
        self._instance.add_run_tags(context.dagster_run.run_id, QUEUED)
        return super().submit_run(context)
