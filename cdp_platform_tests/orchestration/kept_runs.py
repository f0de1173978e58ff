"""Assets, partitions and checks whose runs retention looks at. Loaded by tests, and by the `dagster-graphql` of one."""

import dagster as dg

KEYS = dg.StaticPartitionsDefinition(["a", "b", "c"])

feed = dg.AssetSpec("feed", partitions_def=KEYS)


class Fails(dg.Config):
    fails: bool = False


@dg.asset(partitions_def=KEYS, deps=[feed], backfill_policy=dg.BackfillPolicy.single_run())
def table(context: dg.AssetExecutionContext, config: Fails) -> None:
    context.log.info("A message.")
    if config.fails:
        raise dg.Failure("told to", allow_retries=False)


@dg.asset(partitions_def=KEYS, deps=[table], automation_condition=dg.AutomationCondition.eager())
def report() -> None: ...


@dg.asset(deps=[dg.AssetDep("table", partition_mapping=dg.AllPartitionMapping())])
def total() -> dg.Output[int]:
    return dg.Output(1, data_version=dg.DataVersion("1"))


@dg.asset
def watched(context: dg.AssetExecutionContext) -> None:
    context.log_event(dg.AssetObservation("watched", metadata={"seen": 1}))


@dg.asset_check(asset=total)
def positive() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset=feed.key)
def arrives() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


definitions = dg.Definitions(assets=[feed, table, report, total, watched], asset_checks=[positive, arrives])
