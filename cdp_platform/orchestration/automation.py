"""When assets run by themselves.

What reads an outside system is asked for by the sensor that sees the change, which knows how many tenants share a run.
From there the change walks down the graph by this condition, whoever made it. Schedules stay as the net beneath: they
ask for the same work, which costs little when nothing changed.
"""

import dagster as dg


def follow_upstream() -> dg.AutomationCondition:
    """Run for a tenant when something upstream of it changed.

    Whether upstream is fit to build on is not asked here but by the asset itself, tenant by tenant
    (`tenant_runs.for_each_tenant`, ``only_if``). A condition can only ask for the state of Dagster's checks, and a run
    over a range of tenants leaves none per tenant that it would believe: it would wait for ever.
    """
    return dg.AutomationCondition.eager().with_label("follow_upstream")


# Op tags of a check that blocks nothing. A run makes one step after the other, and assets that are ready come first.
AFTER_ASSETS = {"dagster/priority": "-1"}
