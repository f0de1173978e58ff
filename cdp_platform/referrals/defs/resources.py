"""The tracker's database as a Dagster resource, which tests, the command line and a deployment can replace."""

from contextlib import AbstractContextManager

import dagster as dg

from cdp_platform import settings
from cdp_platform.referrals.tracker_database import TrackerDatabase, open_tracker


class TrackerResource(dg.ConfigurableResource):
    """The tracker's own PostgreSQL, from REFERRAL_DATABASE_URL."""

    @property
    def is_set(self) -> bool:
        """Whether the tracker has a database of its own; otherwise it writes into the warehouse."""
        return bool(settings.referrals().referral_database_url.get_secret_value())

    def open(self) -> AbstractContextManager[TrackerDatabase]:
        """One reading of the database; see `cdp_platform.referrals.tracker_database.open_tracker`."""
        return open_tracker(settings.referrals().referral_database_url.get_secret_value())
