"""Currencies of ISO 4217, one list for the whole platform.

Active currencies and their minor units are those of the list that the standard's maintenance agency publishes, from the
package ``iso4217``. Codes that are no money, such as XXX (none), XTS (tests) and XAU (gold), are left out.
"""

from functools import cache

# Currencies withdrawn in about the last 30 years, which older purchases may have (list three of the standard).
_WITHDRAWN = frozenset(
    "ADP AFA AON AOR ANG ATS AZM BEF BGL BGN BYB BYR CSD CUC CYP DEM ECS EEK ESP FIM FRF GHC GRD GWP HRK IEP ITL LTL"
    " LUF LVL MGF MRO MTL MZM NLG PTE ROL RUR SDD SIT SKK SLL SRG STD TMM TPE TRL UAK VEB VEF XEU YUM ZMK ZRN ZWD ZWL"
    " ZWN ZWR".split()
)


def minor_units(code: str) -> int | None:
    """Number of decimals of an active currency, such as 2 for EUR and 0 for VND; None for any other code."""
    return _active().get(code)


@cache
def money() -> frozenset[str]:
    """Codes in which a purchase can have been paid: active currencies, and recently withdrawn ones."""
    return _WITHDRAWN | _active().keys()


@cache
def _active() -> dict[str, int]:
    from iso4217 import Currency  # noqa: PLC0415 (reads its list at import)

    return {each.code: each.exponent for each in Currency if each.exponent is not None}
