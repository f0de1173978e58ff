"""The variables that a message may show, and where each comes from.

Nothing else of a person reaches a template: not the document, and nobody else's data.
"""

from collections.abc import Mapping
from typing import LiteralString

VARIABLES: Mapping[str, LiteralString] = {
    "first_name": "p.first_name",
    "middle_name": "p.middle_name",
    "last_name": "p.last_name",
    "gender": "p.gender",
    "city": "p.living_city",
    "country": "p.living_country",
    "email": "p.primary_email",
    "phone": "p.primary_phone",
}
"""Name of the variable, and SQL over ``p``, a row of ``customers.cdp_profiles``."""

OPT_OUT, PREFERENCES, CONFIRM = "opt_out_url", "preferences_url", "confirm_url"
"""The links of a message; the last one is only in messages of events that ask for consent."""

SENDER, POSTAL_ADDRESS = "sender_name", "postal_address"
"""The sender's name and postal address."""

KNOWN = frozenset(VARIABLES) | {OPT_OUT, PREFERENCES, CONFIRM, SENDER, POSTAL_ADDRESS}
"""Every variable."""

SAMPLE: Mapping[str, str] = {
    "first_name": "Linh",
    "middle_name": "Thị",
    "last_name": "Nguyễn",
    "gender": "female",
    "city": "Đà Nẵng",
    "country": "Vietnam",
    "email": "linh@example.com",
    "phone": "+84901234567",
    OPT_OUT: "https://messages.example.com/u/sample",
    PREFERENCES: "https://messages.example.com/p/sample",
    CONFIRM: "https://messages.example.com/c/sample",
    POSTAL_ADDRESS: "1 Sample Street, Sample City",
    SENDER: "Sample Shop",
}
"""A made-up person's values, for the checks of an approval."""
