"""Deliveries of phone numbers to webhooks, in threads of their own.

One that is still to come when the process ends comes after the next start.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import httpx2

from cdp_sandbox.apollo.store import Delivery, Store

_SECONDS = 10


class Deliverer:
    """Posts what the account owes to webhooks, when it is due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # One for all, since making one takes longer than a delivery.
        self._http = httpx2.Client(timeout=_SECONDS, trust_env=False)
        self._timers: dict[int, threading.Timer] = {}
        for delivery in store.deliveries("WHERE posted < times"):
            self.later(delivery)

    def later(self, delivery: Delivery) -> None:
        """Post a delivery as often as it says, from the moment on when it is due."""
        if delivery.times:
            seconds = (delivery.due - datetime.now(UTC)).total_seconds()
            timer = threading.Timer(max(0, seconds), self._post_all, [delivery])
            timer.daemon = True
            self._timers[delivery.call] = timer
            timer.start()

    def post(self, delivery: Delivery) -> None:
        """Post a delivery once, now, and write down the answer."""
        try:
            headers = {"content-type": "application/json"}
            outcome = str(self._http.post(delivery.url, content=delivery.body, headers=headers).status_code)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            outcome = type(error).__name__
        self._store.note_post(delivery.call, outcome)

    def cancel(self) -> None:
        """Post nothing any more of what is still to come."""
        for timer in list(self._timers.values()):
            timer.cancel()
        self._timers.clear()

    def close(self) -> None:
        """End the timers, and wait for posts that have begun."""
        timers = list(self._timers.values())
        self.cancel()
        for timer in timers:
            timer.join(_SECONDS)
        self._http.close()

    def _post_all(self, delivery: Delivery) -> None:
        for _ in range(delivery.times - delivery.posted):
            self.post(delivery)
        self._timers.pop(delivery.call, None)
