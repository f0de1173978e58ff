"""A phone number has one form, and in each region it is read as people there dial it.

The measure is ``phonenumbers`` itself, over every region that it knows.
"""

import re
from functools import lru_cache
from itertools import product

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from cdp_platform.customers import contacts

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    ("raw", "region", "normal"),
    [
        ("+84901234567", "VN", "+84901234567"),
        ("0901234567", "VN", "+84901234567"),
        ("+84 90-123-4567", "US", "+84901234567"),
        ("0084901234567", "VN", "+84901234567"),
        ("(212) 555-0142", "US", "+12125550142"),
        # People dial out with 00 in most regions, but not in these.
        ("001 65 6723 4567", "TH", "+6567234567"),
        ("011 84 90 123 4567", "US", "+84901234567"),
        ("0011 84 90 123 4567", "AU", "+84901234567"),
        ("0014 84 90 123 4567", "BR", "+84901234567"),
        ("8~10 84 90 123 4567", "RU", "+84901234567"),
        ("010 84 90 123 4567", "JP", "+84901234567"),
        ("002 1 212 555 0142", "KR", "+12125550142"),
        ("0084 90 123 4567", "US", None),
        ("123", "VN", None),
        ("none", "VN", None),
    ],
)
def test_phones_have_one_normal_form(raw, region, normal):
    assert contacts.phone(raw, region) == normal


def as_the_full_parser_reads_it(raw: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def example_numbers(region: str) -> set[str]:
    """National numbers of a region: one of each type, each also with a digit changed, one too many and one too few."""
    found: set[str] = set()
    for kind in phonenumbers.PhoneNumberType.values():
        if example := phonenumbers.example_number_for_type(region, kind):
            number = phonenumbers.national_significant_number(example)
            middle = len(number) // 2
            changed = number[:middle] + str(9 - int(number[middle])) + number[middle + 1 :]
            found |= {number, changed, number + number[0], number[:-1]}
    return found


def dialled_forms(number: str, region: str) -> set[str]:
    """A national number as it is dialled, right and wrong."""
    code = phonenumbers.country_code_for_region(region)
    prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
    return {
        number,
        prefix + number,
        prefix + prefix + number,
        f"0{number}",
        *(f"{before}{code}{number}" for before in ("", "+", "00", "000", "011")),
        *(f"+{code}{between}{number}" for between in (prefix, "0")),
        f"+{number}",
    }


def written_forms(number: str, region: str) -> set[str]:
    """A national number as people write it, and what only looks like it."""
    code = phonenumbers.country_code_for_region(region)
    prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
    national, international = prefix + number, f"+{code}{number}"
    return {
        f" {international[:4]} {international[4:]} ",
        f"({national[:3]}) {national[3:6]}-{national[6:]}",
        f"{national[:2]}.{national[2:]}",
        f"+{code}(0){number}",
        f"++{code}{number}",
        f"0 0{code}{number}",
        f"{national} x12",
        f"{national}\n",
        f"{national}/{national}",
        f"{national[:3]}a{national[3:]}",
        f"tel:{international}",
        national.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
        national[:3] + " " * 300 + national[3:],
    }


def dial_out_pattern(region: str) -> str:
    """A pattern of the prefixes with which people of a region dial abroad, those of carriers too."""
    plan = PhoneMetadata.metadata_for_region(region)
    assert plan
    assert plan.international_prefix
    return plan.international_prefix


@lru_cache
def up_to_five_digits(pattern: str) -> tuple[str, ...]:
    """All digits that fit a pattern; longer prefixes are left to the random test."""
    fits = re.compile(pattern).fullmatch
    return tuple(
        prefix for length in range(1, 6) for digits in product("0123456789", repeat=length)
        if fits(prefix := "".join(digits))
    )  # fmt: skip


EXAMPLES = sorted((region, number) for region in phonenumbers.SUPPORTED_REGIONS for number in example_numbers(region))


def test_the_short_cut_for_plain_numbers_agrees_with_the_full_parser_in_every_region():
    read_otherwise = [
        (raw, region)
        for region, number in EXAMPLES
        for raw in dialled_forms(number, region)
        if contacts.phone(raw, region) != as_the_full_parser_reads_it(raw, region)
    ]
    assert read_otherwise == []


def test_a_number_abroad_is_read_as_it_is_dialled_in_every_region():
    abroad = ["+84901234567", "+6567234567", "+12125550142", "+442079460958", "+390612345678"]
    read_otherwise, as_meant = [], set()
    for region in REGIONS:
        example = phonenumbers.example_number(region)
        assert example
        own = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for prefix, number in product(up_to_five_digits(dial_out_pattern(region)), [*abroad, own]):
            for raw in (prefix + number[1:], f"{prefix} {number[1:4]} {number[4:]}", f"{prefix}-({number[1:]})"):
                found = contacts.phone(raw, region)
                if found != as_the_full_parser_reads_it(raw, region):
                    read_otherwise.append((raw, region))
                elif found == number:
                    as_meant.add(region)
    assert read_otherwise == []
    assert as_meant == set(REGIONS)


@pytest.mark.parametrize("region", ["VN", "US", "GB", "DE", "IT", "BR", "RU", "SG"])
def test_the_short_cut_for_plain_numbers_agrees_with_the_full_parser_however_they_are_written(region):
    for number in example_numbers(region):
        for raw in written_forms(number, region):
            assert contacts.phone(raw, region) == as_the_full_parser_reads_it(raw, region), raw


@given(st.sampled_from(EXAMPLES), st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), st.booleans(), st.data())
def test_any_text_like_a_number_is_read_as_by_the_full_parser(example, elsewhere, at_home, data):
    region, number = example
    forms = dialled_forms(number, region) | written_forms(number, region)
    prefix = data.draw(st.from_regex(dial_out_pattern(elsewhere), fullmatch=True))
    forms.add(prefix + str(phonenumbers.country_code_for_region(region)) + number)
    raw = list(data.draw(st.sampled_from(sorted(forms))))
    for noise in data.draw(st.lists(st.sampled_from("0123456789+ ()-.,;#*x/~a\u00a0\u0663"), max_size=4)):
        raw.insert(data.draw(st.integers(0, len(raw))), noise)
    dialled_in = region if at_home else elsewhere
    assert contacts.phone("".join(raw), dialled_in) == as_the_full_parser_reads_it("".join(raw), dialled_in)


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("+84901234567", "VN"),
        ("0901234567", "VN"),
        ("090 123.45-67", "VN"),
        ("0084901234567", "VN"),
        ("2015550123", "US"),
    ],
)
def test_a_plain_number_does_not_need_the_full_parser(monkeypatch, raw, region):
    expected = as_the_full_parser_reads_it(raw, region)
    monkeypatch.delattr(phonenumbers, "parse")
    assert contacts.phone(raw, region) == expected is not None
