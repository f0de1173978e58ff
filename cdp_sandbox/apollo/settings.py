"""How the account behaves: what `GET` and `PUT /_settings` show and set.

- `plan`: `paid` or `free`, which decides the limits of requests.
- `limits`: by endpoint, what differs from the plan's limits, such as `{"people/bulk_match": {"minute": 6000}}`; null is
  no limit. Endpoints without limits of their own have those of `*`.
- `keys`: what each API key may ask for: endpoints, or `*` for everything, as a master key may.
- `credits`: the allowance of each type of credit in the billing cycle.
- `latency_seconds`: how long a request for people takes at least.
- `counter_lag_seconds`: how long ago a charge has to be for `credit_usage_stats` to count it; Apollo speaks of seconds.
- `delivery_seconds`, `deliveries`: how long after the request phone numbers are delivered, and how often; 0 is never.
  They are posted as often as that, whatever the webhook answers.
- `result_days`: how long after that `webhook_result` knows them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from cdp_sandbox.apollo import KEY, PEOPLE_KEY

BULK_MATCH, MATCH = "people/bulk_match", "people/match"
API_STATS, CREDIT_STATS = "usage_stats/api_usage_stats", "usage_stats/credit_usage_stats"
RESULT = "webhook_result/show"
LEAD, DIRECT_DIAL = "lead_credit", "direct_dial_credit"

Limits = dict[str, dict[str, int | None]]

PLANS: dict[str, Limits] = {
    "paid": {
        BULK_MATCH: {"minute": 1000, "hour": None, "day": None},
        MATCH: {"minute": 1000, "hour": None, "day": None},
        "*": {"minute": 200, "hour": 400, "day": 2000},
    },
    "free": {
        BULK_MATCH: {"minute": 20, "hour": 100, "day": 600},
        MATCH: {"minute": 50, "hour": 200, "day": 600},
        "*": {"minute": 50, "hour": 200, "day": 600},
    },
}


@dataclass(frozen=True)
class Settings:
    """The settings of one account; the module says what each means."""

    plan: str = "paid"
    limits: Limits = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=lambda: {KEY: ["*"], PEOPLE_KEY: [BULK_MATCH, MATCH]})
    credits: dict[str, int] = field(default_factory=lambda: {LEAD: 1_000_000, DIRECT_DIAL: 1_000_000})
    latency_seconds: float = 0
    counter_lag_seconds: float = 0
    delivery_seconds: float = 1
    deliveries: int = 1
    result_days: float = 30

    def changed(self, given: Any) -> Settings:
        """Return these settings with others in their place; what is not given stays.

        Raises:
            ValueError: Something given is no setting, or of another type.
        """
        if not isinstance(given, dict) or (unknown := given.keys() - {one.name for one in fields(self)}):
            raise ValueError(f"no setting: {', '.join(sorted(unknown)) if isinstance(given, dict) else given!r}")
        for name, value in given.items():
            kind = type(getattr(self, name))
            if not isinstance(value, (int, float) if kind in {int, float} else kind):
                raise ValueError(f"{name} is not as in {asdict(Settings())[name]!r}")
        if given.get("plan", self.plan) not in PLANS:
            raise ValueError(f"plan must be one of {', '.join(PLANS)}")
        return replace(self, **given)

    def limits_of(self, endpoint: str) -> dict[str, int | None]:
        """Requests that are allowed in a `minute`, an `hour` and a `day`."""
        of_plan = PLANS[self.plan]
        return of_plan.get(endpoint, of_plan["*"]) | self.limits.get(endpoint, self.limits.get("*", {}))
