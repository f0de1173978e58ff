"""The enhanced status code of an answer says whether an address is bad, the sender is, or it may work later."""

import pytest

from cdp_platform.campaigns import status_codes


@pytest.mark.parametrize("code", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])
def test_an_address_that_does_not_work_is_told(code: str):
    assert status_codes.is_bad_address(f"550 {code} no such user")
    assert not status_codes.is_about_us(code)


@pytest.mark.parametrize("code", ["5.1.7", "5.1.8", "5.7.1", "5.7.26", "5.7.509"])
def test_what_is_about_the_sender_is_no_fault_of_the_address(code: str):
    assert status_codes.is_about_us(f"550-{code} [192.0.2.1] refused")
    assert not status_codes.is_bad_address(code)


@pytest.mark.parametrize("code", ["5.0.0", "5.2.2", "5.1.0", "5.4.4", "4.1.1", "2.1.5", "5.1.11", "550", ""])
def test_no_other_code_makes_an_address_bad(code: str):
    assert not status_codes.is_bad_address(code)
    assert not status_codes.is_about_us(code)


@pytest.mark.parametrize(
    ("code", "soft"),
    [
        *((code, True) for code in ("4.2.2", "4.7.1", "5.2.2", "5.0.0", "550", "")),
        *((code, False) for code in ("5.1.1", "5.7.1", "5.1.8", "5.3.4", "5.6.0")),
    ],
)
def test_a_bounce_is_soft_where_the_address_may_work_later(code: str, *, soft: bool):
    assert status_codes.is_soft(code) is soft


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", "5.1.10"),
        ("550-5.1.1 The email account", "5.1.1"),
        ("host 10.5.1.1 said: 452 4.2.2 full", "4.2.2"),
        ("connect to 5.1.1.4 timed out", ""),
        ("550 user unknown", ""),
    ],
)
def test_the_code_is_found_in_an_answer_and_not_in_an_address(answer: str, code: str):
    assert status_codes.found(answer) == code
