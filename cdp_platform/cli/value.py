"""Commands on what customers are worth: `value`."""

import dataclasses
from contextlib import nullcontext
from datetime import datetime

import click

from cdp_platform import settings
from cdp_platform.cli.printing import console, json_option, show, show_json
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect


@click.group()
def value() -> None:
    """What customers are worth."""


@value.command("backtest")
@tenant_option
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Last day that is known; YYYY-MM-DD.")
@click.option("--days", type=click.IntRange(min=1), required=True, help="How many days after it to predict.")
@json_option
def value_backtest(tenant_id: str, *, until: datetime, days: int, as_json: bool) -> None:
    """Predict the spend of a past time, and compare.

    Fits the models on what happened until a day, as the asset customer_value does on everything, and compares what they
    expect of the days after it with what customers did. The assumption of clv_est, that the last 90
    days go on, is shown beside it. Changes nothing. Exit code 1 if no currency has a model.
    """
    from cdp_platform.customers.backtest import backtest

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        require_active(tenant)
        with nullcontext() if as_json else console.status("Fitting"):
            results = backtest(connection, tenant, until.date(), days)
    if as_json:
        show_json([{**dataclasses.asdict(each), "parameters": each.fitted.parameters()} for each in results])
    else:
        ways = [
            (each, way, judged)
            for each in results
            for way, judged in (("model", each.model), ("clv_est", each.older))
            if judged is not None
        ]
        show(
            f"{days} days after {until.date()} of {tenant_id}",
            ["currency", "by", "customers", "predicted", "actual", "error %", "top tenth %", "none %"],
            [
                (
                    *(each.currency, way, each.customers, judged.spend, each.actual_spend),
                    *(None if share is None else 100 * share for share in dataclasses.astuple(judged)[1:]),
                )
                for each, way, judged in ways
            ],
            empty="Nothing to compare.",
        )
        console.print(
            "top tenth: share of the actual spend that the best tenth of customers by prediction brought. none: share "
            "that customers brought of whom nothing was expected.",
            highlight=False,
        )
        for each in results:
            known = {name: number for name, number in each.fitted.parameters().items() if number is not None}
            words = ", ".join(f"{name} {number:.4g}" for name, number in known.items())
            reason = f"{each.fitted.reason}. " if each.fitted.reason else ""
            console.print(f"{each.currency}: {reason}{words}", highlight=False, soft_wrap=True)
    if not any(each.model for each in results):
        raise click.exceptions.Exit(1)
