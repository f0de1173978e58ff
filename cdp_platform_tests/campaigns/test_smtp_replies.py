import pytest

from cdp_platform.campaigns.channels.contract import Verdict
from cdp_platform.campaigns.channels.smtp_replies import refusal


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (421, "4.7.0 Too many messages", Verdict.REST),
        (454, "4.7.0 Temporary authentication failure", Verdict.REST),
        (429, "slow down", Verdict.REST),
        (450, "4.2.0 Greylisted", Verdict.LATER),
        (452, "4.2.2 Mailbox full", Verdict.LATER),
        (451, "local error", Verdict.LATER),
        (450, "4.7.1 try again", Verdict.LATER),
        (550, "5.1.1 no such user", Verdict.BAD_ADDRESS),
        (550, "5.1.2 no such domain", Verdict.BAD_ADDRESS),
        (501, "5.1.3 bad syntax", Verdict.BAD_ADDRESS),
        (551, "5.1.6 has moved", Verdict.BAD_ADDRESS),
        (556, "5.1.10 null MX", Verdict.BAD_ADDRESS),
        (550, "5.2.1 mailbox disabled", Verdict.BAD_ADDRESS),
        (550, "5.1.7 bad sender", Verdict.OURS),
        (550, "5.1.8 bad sender system", Verdict.OURS),
        (550, "5.7.1 message refused by policy", Verdict.OURS),
        (550, "5.7.26 unauthenticated mail", Verdict.OURS),
        (530, "Authentication required", Verdict.OURS),
        (550, "no such user", Verdict.FAILED),
        (552, "5.2.2 over quota", Verdict.FAILED),
        (554, "5.6.0 cannot be read", Verdict.FAILED),
        # The enhanced code says more than the basic one.
        (550, "4.2.1 try later", Verdict.LATER),
        (450, "5.1.1 no such user", Verdict.BAD_ADDRESS),
        # An IP address is no code.
        (550, "blocked 5.1.1.5 here", Verdict.FAILED),
    ],
)
def test_a_refusal_of_a_recipient_is_judged_by_its_enhanced_code_first(code: int, text: str, verdict: Verdict) -> None:
    assert refusal(code, text.encode(), about_recipient=True).verdict is verdict


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (550, "5.1.1 sender unknown", Verdict.OURS),
        (554, "no service for you", Verdict.OURS),
        (535, "5.7.8 wrong password", Verdict.OURS),
        (553, "sender refused", Verdict.OURS),
        (451, "4.3.0 out of order", Verdict.REST),
        (452, "4.3.1 disk full", Verdict.REST),
        (454, "TLS not available", Verdict.REST),
        (552, "5.3.4 message too large", Verdict.FAILED),
        (552, "too large", Verdict.FAILED),
    ],
)
def test_before_the_recipient_is_named_nothing_is_about_the_recipient(code: int, text: str, verdict: Verdict) -> None:
    assert refusal(code, text.encode(), about_recipient=False).verdict is verdict


@pytest.mark.parametrize(
    "text",
    [
        "5.1.1 <an.nguyen@example.com>: Recipient address rejected: User an.nguyen unknown",
        "5.1.1 AN.NGUYEN@EXAMPLE.COM is unknown",
        "5.1.1 no mailbox an.nguyen here\r\nan.nguyen@example.com",
    ],
)
def test_an_answer_holds_its_code_and_nothing_of_the_person(text: str) -> None:
    answer = refusal(550, text.encode(), about_recipient=True, address="an.nguyen@example.com")
    assert answer.code == "550 5.1.1"
    assert "nguyen" not in answer.reason.lower()
    assert "\n" not in answer.reason


def test_words_that_are_no_utf8_are_no_error() -> None:
    assert refusal(550, b"5.1.1 \xff\xfe", about_recipient=True).verdict is Verdict.BAD_ADDRESS
