"""The variables that a message may show of the person who gets it, and where each comes from.

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
