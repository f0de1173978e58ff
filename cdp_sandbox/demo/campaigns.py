"""Plans of a demo tenant's campaigns, as the YAML that `cdp campaign apply` takes.

Two events are due at once: an e-mail to those who like coffee, and an SMS to those who buy often. One is planned for
next week, and one should have begun yesterday, which is too late. The file is written once, so that a later demo finds
the same plans and sends nothing twice.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

from cdp_sandbox.demo.markets import MARKETS
from cdp_sandbox.demo.model import SAIGON
from cdp_sandbox.demo.segments import segment_key

TENANT = SAIGON
"""Whose plans they are."""

SENT, SENT_BY_SMS, PLANNED, MISSED = "coffee-is-back", "thanks-by-sms", "new-roast", "flash-sale"
"""Ids of the events, by what becomes of them in the demo."""

SETTINGS = {
    # Most customers of the demo have no other consent than the CDP's.
    "trust_cdp_consent": "true",
    "postal_address": "Saigon Retail, 12 Le Loi, District 1, Ho Chi Minh City",
    # A demo is run at any hour.
    "quiet_from": "00:00",
    "quiet_until": "00:00",
}
"""The tenant's settings that its campaigns need."""

_PLANS = Template("""\
# What `cdp demo` plans for the tenant $tenant. Change it, and `cdp campaign apply --tenant $tenant --file $file`.

campaigns:
  - code: coffee-week
    name: Coffee week
    objective: Bring customers back who like coffee.

templates:
  - template: coffee-letter
    channel_kind: email
    subject: "{{ first_name|default('Hello') }}, your coffee is back"
    html: |
      <!doctype html>
      <html lang="en">
      <head><style>
      body { margin: 0; background: #f4f1ec; font: 16px/1.5 sans-serif; color: #2b2320; }
      .letter { max-width: 560px; margin: 24px auto; background: #fff; border-radius: 12px; }
      .top { padding: 28px 32px; background: #4a2c1d; border-radius: 12px 12px 0 0; color: #fff; font-size: 24px; }
      .words { padding: 20px 32px 28px; }
      .code { padding: 10px 16px; background: #f4e6d4; border-radius: 6px; font-weight: bold; }
      .foot { padding: 16px 32px 24px; border-top: 1px solid #ece6de; color: #665a54; font-size: 13px; }
      .foot a { color: #7a4a2b; }
      </style></head>
      <body><div class="letter">
      <div class="top">Your coffee is back</div>
      <div class="words">
      <p>Hello {{ first_name|default('there') }},</p>
      <p>the roast that you like is on the shelf again, at 20 % less until Sunday.</p>
      <p><span class="code">COFFEE20</span></p>
      <p>See you{% if city %} in {{ city }}{% endif %} soon!</p>
      </div>
      <div class="foot">{{ postal_address }}<br>
      <a href="{{ opt_out_url }}">Unsubscribe</a> · <a href="{{ preferences_url }}">Choose what you get</a></div>
      </div></body>
      </html>
    approve: true

  - template: thanks-text
    channel_kind: webhook
    text: |
      Saigon Retail: thank you, {{ first_name|default('dear customer') }}! 10 % off with THANKS10.
      No more of this: {{ opt_out_url }}
    approve: true

events:
  - event: $sent
    campaign: coffee-week
    name: Your coffee is back
    channel: email
    segment: $coffee_lovers
    template: coffee-letter
    start: $now
    end: $in_a_week
    grace_minutes: 1440
    holdout_share: 0.1

  - event: $sent_by_sms
    campaign: coffee-week
    name: Thank you
    channel: sms
    segment: $repeat_buyers
    template: thanks-text
    start: $now
    end: $in_a_week
    grace_minutes: 1440

  # At nine in the morning, wherever the person is.
  - event: $planned
    campaign: coffee-week
    name: A new roast
    channel: email
    segment: $coffee_lovers
    template: coffee-letter
    start: $next_week
    end: $in_two_weeks
    local_time: true

  # Nobody was there to send it in time, and its grace is an hour.
  - event: $missed
    campaign: coffee-week
    name: Flash sale
    channel: email
    segment: $repeat_buyers
    template: coffee-letter
    start: $yesterday
    end: $in_a_week
""")


def write_plans(folder: Path, now: datetime | None = None) -> Path:
    """Write the plans into the folder, unless they are there, and return the file."""
    file = folder / f"{TENANT.id}-campaigns.yaml"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        file.write_text(_plans(file, now or datetime.now(UTC)))
    return file


def _plans(file: Path, now: datetime) -> str:
    market, hour = MARKETS[TENANT.id], now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    next_week = (hour + timedelta(days=7)).replace(hour=9)
    return _PLANS.substitute(
        tenant=TENANT.id,
        file=f"{file.parent.parent.name}/{file.parent.name}/{file.name}",
        sent=SENT,
        sent_by_sms=SENT_BY_SMS,
        planned=PLANNED,
        missed=MISSED,
        coffee_lovers=segment_key(market, "Coffee Lovers"),
        repeat_buyers=segment_key(market, "Repeat Buyers"),
        now=hour.isoformat(),
        yesterday=(hour - timedelta(days=1)).isoformat(),
        in_a_week=(hour + timedelta(days=7)).isoformat(),
        # The clock time of each person, hence without an offset.
        next_week=next_week.replace(tzinfo=None).isoformat(),
        in_two_weeks=(next_week + timedelta(days=7)).isoformat(),
    )
