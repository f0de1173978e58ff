"""When assets run by themselves.

External assets are reported by sensors; from there the change walks down the graph by these conditions. Schedules stay
as the net beneath: they ask for the same work, which costs little when nothing changed.
"""

import dagster as dg


def follow_upstream() -> dg.AutomationCondition:
    """Run for a tenant when something upstream of it changed and no blocking check of it fails.

    `eager` alone does not look at checks. A dependency that is about to run in the same tick has not been checked yet;
    its check runs before us in the same run and blocks it there.
    """
    checked = dg.AutomationCondition.all_checks_match(dg.AutomationCondition.check_passed(), blocking_only=True)
    return (
        dg.AutomationCondition.eager()
        & dg.AutomationCondition.all_deps_match(checked | dg.AutomationCondition.will_be_requested())
    ).with_label("follow_upstream")
