"""Currencies of ISO 4217, one list for the whole platform.

The active ones and their minor units come from the list that the standard's maintenance agency publishes; the package
``iso4217`` ships it. Codes that stand for no money, such as XXX (none), XTS (tests) and XAU (gold), are none of them.
"""

from functools import cache

# Withdrawn within the last 30 years or so: purchases of that time may be in them (list three of the standard).
_WITHDRAWN = frozenset(
    "ADP AFA AON AOR ANG ATS AZM BEF BGL BGN BYB BYR CSD CUC CYP DEM ECS EEK ESP FIM FRF GHC GRD GWP HRK IEP ITL LTL"
    " LUF LVL MGF MRO MTL MZM NLG PTE ROL RUR SDD SIT SKK SLL SRG STD TMM TPE TRL UAK VEB VEF XEU YUM ZMK ZRN ZWD ZWL"
    " ZWN ZWR".split()
)


def minor_units(code: str) -> int | None:
    """How many decimals the smallest amount of an active currency has, such as 2 for EUR and 0 for VND; else None."""
    return _active().get(code)


@cache
def money() -> frozenset[str]:
    """Codes that something can have been paid in: active currencies, and those that were withdrawn lately."""
    return _WITHDRAWN | _active().keys()


@cache
def _active() -> dict[str, int]:
    from iso4217 import Currency  # noqa: PLC0415 (reads its list as it is imported)

    return {each.code: each.exponent for each in Currency if each.exponent is not None}
